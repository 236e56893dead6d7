package machine

import (
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nsbuild/internal/sandbox"
)

const binfmtDir = "/proc/sys/fs/binfmt_misc"

// header is the beginning of an architecture's programs: e_ident, e_type and e_machine of elf(5).
func (f format) header() []byte {
	h := []byte{0x7f, 'E', 'L', 'F', byte(f.bits / 32), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0,
		byte(f.machine), byte(f.machine >> 8)}
	if f.big {
		h[5], h[16], h[17], h[18], h[19] = 2, 0, 2, h[19], h[18]
	}
	return h
}

// mask leaves out the operating system's number, and whether a program is position-independent
// (e_type 2 or 3).
func (f format) mask() []byte {
	m := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xfe, 0xff, 0xff, 0xff}
	if f.big {
		m[16], m[17] = 0xff, 0xfe
	}
	return m
}

// emulator looks for QEMU's as Debian installs it: where its name tells it that argv[0] is
// preserved, else as a static program.
func emulator(f format) *sandbox.Emulator {
	e := &sandbox.Emulator{Name: "qemu-" + f.qemu, Magic: f.header(), Mask: f.mask()}
	for _, c := range []struct {
		file  string
		argv0 bool
	}{{"/usr/libexec/qemu-binfmt/" + f.qemu + "-binfmt-P", true},
		{"/usr/bin/qemu-" + f.qemu + "-static", false}, {"/usr/bin/qemu-" + f.qemu, false}} {
		if static(c.file) {
			e.Interpreter, e.KeepArgv0 = c.file, c.argv0
			return e
		}
	}
	return nil
}

// static reports whether a file is a program without an interpreter of its own: in a jail, the
// loader would be another architecture's.
func static(file string) bool {
	program, err := elf.Open(file)
	if err != nil {
		return false
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// entry is one format that binfmt_misc knows.
type entry struct {
	enabled     bool
	interpreter string
	flags       string
	offset      int
	magic, mask []byte
}

// usable reports whether it works in a jail, too: F has the kernel open the interpreter beforehand.
func (e *entry) usable() bool { return strings.Contains(e.flags, "F") }

// matches reports whether the kernel would use the entry for a program that begins like this.
func (e *entry) matches(header []byte) bool {
	if !e.enabled || len(e.magic) == 0 || e.offset+len(e.magic) > len(header) {
		return false
	}
	for i, m := range e.magic {
		mask := byte(0xff)
		if i < len(e.mask) {
			mask = e.mask[i]
		}
		if (header[e.offset+i]^m)&mask != 0 {
			return false
		}
	}
	return true
}

// registered finds the entry for programs of a format; nil when there is none.
func registered(dir string, f format) (*entry, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for emulators: %w", err)
	}
	var found *entry
	for _, file := range files {
		if file.Name() == "register" || file.Name() == "status" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for emulators: %w", err)
		}
		e, err := parseEntry(string(data))
		if err != nil {
			return nil, fmt.Errorf("looking for emulators: %s: %w", file.Name(), err)
		}
		if e.matches(f.header()) && (found == nil || e.usable()) {
			found = e
		}
	}
	return found, nil
}

// parseEntry reads an entry as the kernel shows it (Documentation/admin-guide/binfmt-misc.rst).
func parseEntry(text string) (*entry, error) {
	e := &entry{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "enabled":
			e.enabled = true
		case "interpreter":
			e.interpreter = value
		case "flags:":
			e.flags = value
		case "offset":
			e.offset, err = strconv.Atoi(value)
			if err == nil && e.offset < 0 {
				err = fmt.Errorf("offset %d", e.offset)
			}
		case "magic":
			e.magic, err = hex.DecodeString(value)
		case "mask":
			e.mask, err = hex.DecodeString(value)
		}
		if err != nil {
			return nil, err
		}
	}
	return e, nil
}
