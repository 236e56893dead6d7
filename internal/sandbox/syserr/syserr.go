// Package syserr says which system call failed, on what, and why, in every process of the sandbox.
// On its way through a socket the error keeps all three; see wire.
package syserr

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is a system call that failed while a jail was set up or used: which, on what, and why.
type Error struct {
	Op    string // what was being done, such as "mount overlay"
	Path  string
	Errno syscall.Errno
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %s", e.Op, e.Errno.Error())
	}
	return fmt.Sprintf("%s %s: %s", e.Op, e.Path, e.Errno.Error())
}

// Unwrap gives the errno, so that errors.Is(err, fs.ErrNotExist) and the like hold across
// processes.
func (e *Error) Unwrap() error { return e.Errno }

// Wrap wraps err as an Error where it carries an errno.
func Wrap(opName, path string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return &Error{Op: opName, Path: path, Errno: errno}
	}
	return fmt.Errorf("%s %s: %w", opName, path, err)
}
