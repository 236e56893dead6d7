package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"nsbuild/internal/console"
	"nsbuild/internal/sandbox"
)

// waiter waits for a command and passes signals on.
type waiter struct {
	e       *errand
	p       *sandbox.Process
	console *console.Console // nil without a terminal
	// the terminal whose keys the command gets when it asks for them; nil: it has them, or never
	// will
	keys    *os.File
	pausing bool           // that the command stops next is our doing
	asked   bool           // SIGINT was passed on
	end     syscall.Signal // what has asked the command to end, first; 0 where its time was over
	kill    <-chan time.Time
	silent  <-chan time.Time // when there is nothing more to wait for
	sent    chan syscall.Signal
}

// TimeoutStatus is the exit status of a command that --timeout ended, as timeout(1) gives it.
const TimeoutStatus = 124

func (w *waiter) wait(ctx context.Context) (sandbox.Status, error) {
	type result struct {
		status sandbox.Status
		err    error
	}
	ended := make(chan result, 1)
	go func() {
		status, err := w.p.Wait(ctx)
		ended <- result{status, err}
	}()
	defer w.e.attention.heed()
	failed := w.startSending()
	defer close(w.sent)
	for _, s := range w.e.early {
		if err := w.signal(s); err != nil {
			return sandbox.Status{}, err
		}
	}
	var timeout <-chan time.Time
	if w.e.Timeout > 0 {
		timeout = time.After(w.e.Timeout)
	}
	timedOut := false
	for {
		var err error
		select {
		case r := <-ended:
			if timedOut && r.err == nil {
				return sandbox.Status{Code: TimeoutStatus, MaxRSS: r.status.MaxRSS,
					User: r.status.User, System: r.status.System}, nil
			}
			return r.status, r.err
		case <-timeout:
			timedOut = true
			w.e.log.Errorf("the command is ended: it has taken longer than %v", w.e.Timeout)
			w.ask(syscall.SIGTERM)
		case <-w.kill:
			w.killIt()
		case <-w.silent:
			if timedOut {
				w.e.log.Error(w.errSilent())
				return sandbox.Status{Code: TimeoutStatus}, nil
			}
			return sandbox.Status{}, w.errSilent()
		case err = <-failed:
		case s := <-w.e.Signals:
			err = w.signal(s)
		case <-w.p.Paused():
			err = w.paused()
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, sandbox.ErrClosed) {
			return sandbox.Status{}, fmt.Errorf("passing a signal on: %w", err)
		}
	}
}

// startSending sends signals one after the other, and tells of what fails: that a jail does not
// answer must keep nobody from waiting for its end.
func (w *waiter) startSending() <-chan error {
	w.sent = make(chan syscall.Signal, 64)
	failed := make(chan error, 1)
	go func() {
		for sig := range w.sent {
			if err := w.p.Signal(sig); err != nil {
				select {
				case failed <- err:
				default: // one is enough
				}
			}
		}
	}()
	return failed
}

// send passes a signal on.
func (w *waiter) send(sig syscall.Signal) {
	select {
	case w.sent <- sig:
	default: // as many have not been taken: the jail does not answer
	}
}

// ask sends a signal that asks the command to end, also when it was stopped.
func (w *waiter) ask(sig syscall.Signal) {
	if w.e.KillAfter > 0 && w.kill == nil {
		w.kill = time.After(w.e.KillAfter)
	}
	w.send(sig)
	w.send(syscall.SIGCONT)
}

// killIt ends the command without asking.
func (w *waiter) killIt() {
	w.send(syscall.SIGKILL)
	if w.silent == nil {
		w.silent = time.After(grace)
	}
}

func (w *waiter) signal(s os.Signal) error {
	sig, ok := s.(syscall.Signal)
	if !ok {
		return nil
	}
	switch sig {
	case syscall.SIGINT:
		if w.asked {
			w.killIt()
			return nil
		}
		w.asked = true
		w.askedBy(sig)
		return nil
	case syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		w.askedBy(sig)
		return nil
	case syscall.SIGWINCH:
		if w.console != nil {
			if err := w.console.Resize(); err != nil || w.console.Taken() {
				return err // the kernel tells the processes inside
			}
		}
	case syscall.SIGTSTP:
		if w.console == nil || !w.console.Taken() {
			return w.pause()
		}
	case syscall.SIGCONT:
		if w.console != nil {
			if err := errors.Join(w.console.Resume(), w.console.Resize()); err != nil {
				return err
			}
		}
	}
	w.send(sig)
	return nil
}

// askedBy is ask for a signal of the user's.
func (w *waiter) askedBy(sig syscall.Signal) {
	if w.end == 0 {
		w.end = sig
	}
	w.ask(sig)
}

// pauseGrace is how long a command has to stop by itself.
const pauseGrace = 100 * time.Millisecond

// pause stops a command without a terminal, and then us. SIGTSTP alone does not do it: the kernel
// ignores it in a session whose parent is outside.
func (w *waiter) pause() error {
	w.pausing = w.keys != nil
	if err := w.p.Signal(syscall.SIGTSTP); err != nil {
		return err
	}
	time.Sleep(pauseGrace)
	if err := w.p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	// SIGCONT, when we go on, is passed on as every signal
	return syscall.Kill(os.Getpid(), syscall.SIGSTOP)
}

// stopSelf gives the terminal back and stops us as the command was stopped, so that the caller's
// shell takes over. It returns when we are continued.
func (w *waiter) stopSelf() error {
	if w.console == nil || !w.console.Taken() {
		return nil
	}
	if err := w.console.Suspend(); err != nil {
		return err
	}
	// The whole process group, as the terminal would have done.
	if err := syscall.Kill(0, syscall.SIGSTOP); err != nil {
		return err
	}
	// The signal may stop us a moment later than kill(2) returns: only SIGCONT says that the shell
	// has put us into the foreground again.
	for s := range w.e.Signals {
		if err := w.signal(s); err != nil || s == syscall.SIGCONT {
			return err
		}
	}
	return nil
}
