// Package flock locks files and directories with flock(2). A lock ends with its descriptor, so with
// its holder, however that dies.
//
// What the locks guard, and what a missing or held one means, is the callers' business.
package flock

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Mode says who else may hold the same lock.
type Mode int

const (
	// Shared is with others that want no more.
	Shared Mode = syscall.LOCK_SH
	// Exclusive is with nobody.
	Exclusive Mode = syscall.LOCK_EX
)

// ErrHeld means that another holds a lock.
var ErrHeld = errors.New("it is locked")

// Open opens a file or directory as os.OpenFile does, and locks it unless another holds it: then
// the error is ErrHeld. A lock on a file that was deleted or replaced meanwhile would guard
// nothing: then it is fs.ErrNotExist.
func Open(name string, flags int, mode Mode) (*os.File, error) {
	// Without O_NONBLOCK the open of a named pipe would wait for a writer.
	f, err := os.OpenFile(name, flags|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, int(mode)|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	held, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Lstat(name); err == nil && !os.SameFile(held, there) {
			err = &fs.PathError{Op: "lock", Path: name, Err: fs.ErrNotExist}
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Try locks an open file unless another holds it: then the error is ErrHeld.
func Try(f *os.File, mode Mode) error { return flock(f, int(mode)|syscall.LOCK_NB) }

// Wait locks an open file when nobody else holds it any more.
func Wait(f *os.File, mode Mode) error { return flock(f, int(mode)) }

// Close unlocks and closes a file. Closing alone is not enough where the process has threads: a
// child that has been forked and has not called execve yet has the descriptor, too, and with it the
// lock.
func Close(f *os.File) error {
	released := Release(f)
	if err := f.Close(); err != nil {
		return err
	}
	return released
}

// Release unlocks an open file, which stays open.
func Release(f *os.File) error { return flock(f, syscall.LOCK_UN) }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR): // a signal, of which the Go runtime has its own
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrHeld
		default:
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
