package progress

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/term"
)

// terminal is what the display must know of the terminal that it draws on.
type terminal interface {
	// size is its width and height in characters, both at least 1.
	size() (width, height int)
	// foreground reports whether we may draw: a background job would write over the shell's prompt.
	foreground() bool
}

// fileTerminal is a terminal that the process has open. Its size is asked for at each drawing,
// which is cheap and needs no handler for SIGWINCH.
type fileTerminal struct{ fd int }

// openTerminal returns the terminal behind f, or nil when it is none.
func openTerminal(f *os.File) terminal {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	return fileTerminal{fd}
}

func (t fileTerminal) size() (width, height int) {
	w, h, err := term.GetSize(t.fd)
	// Serial lines and some pseudo-terminals have no size.
	if err != nil || w < 1 || h < 1 {
		return 80, 24
	}
	return w, h
}

func (t fileTerminal) foreground() bool {
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(t.fd), syscall.TIOCGPGRP,
		uintptr(unsafe.Pointer(&group)))
	// ENOTTY: a terminal, but not the one that controls us; nobody's prompt is there.
	return errno != 0 || int(group) == syscall.Getpgrp()
}
