// Package fault is the one error type that nsbuild shows to its users.
//
// An error of this type knows which documented exit status it stands for and what the user can do
// about it. Packages return ordinary wrapped errors; where they know the way out they attach it
// here. Mapping a Kind to a number, and printing, is left to cmd/nsbuild.
package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Kind is a class of failure. sbuild's statuses are the model: given-back means that the
// surroundings failed, attempted that the package did.
type Kind int

const (
	// Internal is anything of our own or of the host: exit status 1.
	Internal Kind = iota
	// Usage is a command line or configuration that cannot be understood.
	Usage
	// Attempted means that the package itself failed to build.
	Attempted
	// GivenBack means that the build could not begin: fetching, verification, unsatisfiable build
	// dependencies.
	GivenBack
	// Interrupted means that the user stopped it.
	Interrupted
	// Differs means that two things which were compared are not the same.
	Differs
)

// Error is a failure with its kind and a hint. The zero Hint is allowed.
type Error struct {
	Kind Kind
	Hint string // one line: what to do next, as a command where there is one
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind with a hint.
func New(kind Kind, hint, format string, args ...any) error {
	return &Error{Kind: kind, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// Wrap gives err a kind and a hint; a hint that err already carries wins, since it was nearer to
// the cause. Wrap of nil is nil.
func Wrap(kind Kind, hint string, err error) error {
	if err == nil {
		return nil
	}
	if inner := given(err); inner != "" {
		hint = inner
	}
	return &Error{Kind: kind, Hint: hint, Err: err}
}

// KindOf is the kind of the outermost Error in err's chain, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// HintOf is the first hint found in err's chain; without one, what mends a full disk where that is
// the cause; or "".
func HintOf(err error) string {
	if hint := given(err); hint != "" || !errors.Is(err, syscall.ENOSPC) {
		return hint
	}
	return "free some space there, or choose other places with --state-dir and --cache-dir"
}

// given is the first hint in err's chain.
func given(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Shown is the field of a warning that is shown however quiet nsbuild is to be: something that was
// asked for does not hold.
const Shown = "shown"

// Count is a number of things in words: “1 process”, “3 processes”.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Size writes a number of bytes in the largest unit that it has one of.
func Size(n int64) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<u.shift {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// Stopped is the cause of an end that a signal has asked for. It is of kind Interrupted.
type Stopped struct{ Signal syscall.Signal }

func (s Stopped) Error() string {
	names := map[syscall.Signal]string{syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM",
		syscall.SIGHUP: "SIGHUP", syscall.SIGQUIT: "SIGQUIT"}
	if name, ok := names[s.Signal]; ok {
		return "stopped by " + name
	}
	return fmt.Sprintf("stopped by signal %d", int(s.Signal))
}

// Interruption makes whatever the end of a context broke an error of that kind.
func Interruption(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &Error{Kind: Interrupted, Err: context.Cause(ctx)}
}
