package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// KillAfter is how long a command usually has to end, once it was asked to.
const KillAfter = 1500 * time.Millisecond

// grace is how long what was cancelled, or killed, has to end in order. Whatever does not answer by
// then is left alone: a helper that was stopped from inside the jail, say.
const grace = 400 * time.Millisecond

// errTimeout is the cause of an end by Command.Timeout before the command has begun.
var errTimeout = errors.New("the time is over")

// attention is who heeds the signals of a run. While the command runs they are the command's.
// Before and after that, those that ask for the end cancel what is being done. The zero pointer
// heeds nothing.
type attention struct {
	signals  <-chan os.Signal
	cancel   context.CancelCauseFunc
	late     *time.Timer // see deadline
	finish   chan struct{}
	finished chan []os.Signal // what was for the command, had it run
}

// asksForEnd tells whether a signal does.
func asksForEnd(s os.Signal) bool {
	return slices.Contains([]os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGQUIT}, s)
}

// heed begins to heed the signals.
func (a *attention) heed() {
	if a == nil {
		return
	}
	a.finish, a.finished = make(chan struct{}), make(chan []os.Signal, 1)
	go func(finish <-chan struct{}, finished chan<- []os.Signal) {
		var others []os.Signal
		for {
			select {
			case <-finish:
				finished <- others
				return
			case s := <-a.signals:
				if sig, ok := s.(syscall.Signal); ok && asksForEnd(s) {
					a.stop(sig)
					continue
				}
				others = append(others, s)
			}
		}
	}(a.finish, a.finished)
}

// stop ends what is being done.
func (a *attention) stop(sig syscall.Signal) {
	a.cancel(&fault.Error{Kind: fault.Interrupted, Err: fault.Stopped{Signal: sig}})
}

// leave leaves the signals to the command, and returns those that have come for it.
func (a *attention) leave() []os.Signal {
	if a == nil {
		return nil
	}
	close(a.finish)
	return <-a.finished
}

// lateStart is how much longer than a command may take its start may: it counts for a jail that
// does not answer, not for a busy machine.
const lateStart = time.Second

// deadline has the start of a command, which comes next, count for its time.
func (a *attention) deadline(timeout time.Duration) {
	if timeout > 0 {
		a.late = time.AfterFunc(timeout+lateStart, func() { a.cancel(errTimeout) })
	}
}

// begun says that the command has begun. Its time is the command's alone.
func (a *attention) begun() {
	if a != nil && a.late != nil {
		a.late.Stop()
	}
}

// attended does work, the run of a command from the opening of its jail to the last of what comes
// after it. What does not end when it is cancelled is cut off by abandon, and not waited for.
func (e *errand) attended(ctx context.Context, abandon func(),
	work func(context.Context) (sandbox.Status, error)) (sandbox.Status, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e.attention = &attention{signals: e.Signals, cancel: cancel}
	e.attention.heed()
	type result struct {
		status sandbox.Status
		err    error
	}
	done := make(chan result, 1)
	go func() {
		status, err := work(ctx)
		e.attention.leave()
		done <- result{status, err}
	}()
	select {
	case r := <-done:
		return r.status, r.err
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	select {
	case r := <-done:
		if r.err == nil {
			return r.status, nil
		}
	case <-time.After(grace):
		abandon()
		select { // the terminal is given back
		case <-done:
		case <-time.After(grace):
		}
	}
	if errors.Is(cause, errTimeout) {
		e.log.Errorf("the command has not begun within %v", e.Timeout)
		return sandbox.Status{Code: TimeoutStatus}, nil
	}
	return sandbox.Status{}, cause
}

// errSilent says that a command does not end although it was killed.
func (w *waiter) errSilent() error {
	const why = "the jail does not answer: its processes have been stopped, or the machine is " +
		"very busy"
	if w.end != 0 {
		return &fault.Error{Kind: fault.Interrupted,
			Err: fmt.Errorf("%w; %s", fault.Stopped{Signal: w.end}, why)}
	}
	return errors.New(why)
}
