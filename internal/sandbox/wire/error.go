package wire

import (
	"errors"
	"syscall"

	"nsbuild/internal/sandbox/syserr"
)

// Failure is an error on its way through a socket.
type Failure struct {
	Op, Path, Text string
	Errno          syscall.Errno
}

// ToWire is err as it is sent; nil for none.
func ToWire(err error) *Failure {
	if err == nil {
		return nil
	}
	var e *syserr.Error
	if errors.As(err, &e) {
		return &Failure{Op: e.Op, Path: e.Path, Errno: e.Errno}
	}
	return &Failure{Text: err.Error()}
}

// AsError is the error that was sent; nil for none.
func (w *Failure) AsError() error {
	switch {
	case w == nil:
		return nil
	case w.Errno != 0:
		return &syserr.Error{Op: w.Op, Path: w.Path, Errno: w.Errno}
	}
	return errors.New(w.Text)
}
