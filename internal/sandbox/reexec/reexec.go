// Package reexec is how this program starts itself as another process of the sandbox, and what
// every such process begins with. What the process then does is in the package of that process:
// pid1, inside, applet.
package reexec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The names by which a re-executed binary knows its part. They stand in argv[0], which no user
// types, and are seen in ps(1).
const (
	Init   = "nsbuild-init"
	Helper = "nsbuild-helper"
	Applet = "nsbuild-applet"
	// Session leads the session of a command on a terminal; see inside.spawnSession.
	Session = "nsbuild-session"
	// First becomes a command that is PID 1; see inside.startFirst.
	First = "nsbuild-first"
	// Limited becomes a command whose memory is limited; see inside.startProgram.
	Limited = "nsbuild-limited"
	// IDs only holds a user namespace for others to refer to; see usersOf in sandbox.
	IDs = "nsbuild-ids"
	// Watch ends what PID 1 leaves running where the kernel does not; see pid1.WatchMain.
	Watch = "nsbuild-watch"
)

// QuickStart is the environment of processes that do one thing at a time, as PID 1.
func QuickStart() []string { return append(detector(), "GOMAXPROCS=2") }

// NameProcess makes ps(1) and top(1) show a name instead of that of the descriptor we were started
// by. The name is decoration: that it could not be set harms nobody.
func NameProcess(name string) {
	if text, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(text)), 0, 0, 0)
	}
}

// The statuses of a command that could not be run, as a shell gives them.
const CannotRun, notFound = 126, 127

// Complain says why a command could not be started, and returns the status for that.
func Complain(err error) int {
	fmt.Fprintf(os.Stderr, "nsbuild: %v\n", err)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound
	}
	return CannotRun
}

// Capabilities lists every capability the kernel knows.
func Capabilities() ([]uintptr, error) {
	data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, fmt.Errorf("asking the kernel for its capabilities: %w", err)
	}
	last, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil {
		return nil, fmt.Errorf("/proc/sys/kernel/cap_last_cap: %w", err)
	}
	caps := make([]uintptr, last+1)
	for i := range caps {
		caps[i] = uintptr(i)
	}
	return caps, nil
}

// Umask is what everything in a jail begins with, and what PID 1 makes its directories with:
// the caller's may keep the jail's users out of them.
const Umask = 0o022

// Descriptors lists fds for ForkExec.
func Descriptors(files []*os.File) []uintptr {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	return fds
}

// Func is a function of this program that runs as a process of its own, in a jail
// (Command.Applet) or in H (Holder.Applet). Descriptor 3 and on are Command.Files. What it returns
// is its exit status.
type Func func(args []string) int
