// Package beneath opens files by descriptor: below a directory that is taken for "/", so that no
// link leads out of it. It belongs to no process, and has the rights of whoever calls it.
//
// Which files PID 1 hands out of a jail is decided in pid1.
package beneath

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/syserr"
)

// OpenPath opens a directory or file to be named by descriptor. A descriptor from before our mount
// namespace could not be an overlay layer (EINVAL).
func OpenPath(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, syserr.Wrap("open", strings.TrimPrefix(name, layout.Host), err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// FDPath is a path to what a descriptor is open on, for system calls that take none.
func FDPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// Open opens name with root as its "/": symbolic links, absolute ones too, stay inside
// (RESOLVE_IN_ROOT in openat2(2)).
func Open(root *os.File, name string, flags uint64) (*os.File, error) {
	fd, err := Openat2(root, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, syserr.Wrap("open", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Openat2 tries again while the kernel says so: with "..", it cannot tell whether a path stays
// inside when anything on the machine was renamed or mounted meanwhile (EAGAIN in openat2(2)).
func Openat2(dir *os.File, name string, how *unix.OpenHow) (fd int, err error) {
	const tries = 1000
	for range tries {
		if fd, err = unix.Openat2(int(dir.Fd()), name, how); !errors.Is(err, unix.EAGAIN) &&
			!errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}

// LeadsNowhere tells the error of a name that is not there, or is a link to nothing or to itself.
func LeadsNowhere(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP)
}

// DanglingLink tells whether name is a link that leads nowhere, with the directory root as "/".
// What cannot be looked at is none.
func DanglingLink(root, name string) bool {
	dir, err := OpenPath(root)
	if err != nil {
		return false
	}
	defer dir.Close()
	f, err := Open(dir, name, unix.O_PATH)
	if err == nil {
		f.Close()
	}
	if !LeadsNowhere(err) {
		return false
	}
	link, err := Open(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	link.Close()
	return true
}
