package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
)

// Weaker says of the shared level what it is without, for people.
const Weaker = "without a PID namespace of its own: builds see the processes of this container, " +
	"and builds that run at the same time could end each other's"

// refusesProc tells the one reason for a level that is weaker: the kernel grants no new /proc.
func refusesProc(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == "mount proc on" && errors.Is(e.Errno, unix.EPERM)
}

// startShared starts a holder at the shared level, when the full one was refused.
func startShared(ctx context.Context, spec HolderSpec, refusal error) (*Holder, error) {
	end, err := newSharedEnd()
	if err != nil {
		return nil, err
	}
	h, err := begin(end)
	if err != nil {
		return nil, errors.Join(err, end.close())
	}
	if err := h.begun(ctx, spec); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fault.Wrap(fault.Internal, fault.HintOf(refusal),
			fmt.Errorf("%w; nor does the weaker level work: %w", refusal, err))
	}
	return h, nil
}

// sharedEnd is the caller's end of a pipe that PID 1 and its watcher have: it ends when neither is
// there any more, and so nothing that they would have ended.
type sharedEnd struct{ r, w *os.File }

func newSharedEnd() (*sharedEnd, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &sharedEnd{r, w}, nil
}

// handOver is what PID 1 is sent with its specification.
func (s *sharedEnd) handOver() []*os.File {
	if s == nil {
		return nil
	}
	return []*os.File{s.w}
}

// endPatience is more than the watcher gives what it kills to end.
const endPatience = time.Minute + 10*time.Second

// wait waits until all is gone. PID 1 has been reaped.
func (s *sharedEnd) wait() error {
	if s == nil {
		return nil
	}
	err := errors.Join(s.w.Close(), s.r.SetReadDeadline(time.Now().Add(endPatience)))
	if err == nil {
		if _, err = io.Copy(io.Discard, s.r); err != nil {
			err = fmt.Errorf("waiting for the end of what ran in the sandbox: %w", err)
		}
	}
	return errors.Join(err, s.r.Close())
}

func (s *sharedEnd) close() error { return errors.Join(s.r.Close(), s.w.Close()) }

// namespaces are those that PID 1 begins in.
func (h *Holder) namespaces() uintptr {
	const most = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	if h.shared != nil {
		return most
	}
	return most | syscall.CLONE_NEWPID
}

// Level says how much of a wall the holder's namespaces are.
func (h *Holder) Level() Level {
	if h.shared != nil {
		return LevelShared
	}
	return LevelFull
}
