package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"nsbuild/internal/pump"
	"nsbuild/internal/sandbox"
)

// Host runs the commands that sbuild defines for the host: as the caller, with the caller's
// environment. They come from the caller's command line or configuration and from nowhere else.
type Host struct {
	Set     *Set
	Out     io.Writer
	Log     Logger
	Context Context
	Pause   func() (resume func()) // takes progress off the terminal
}

// Run runs the commands of a stage, up to the first that fails.
func (r *Host) Run(ctx context.Context, stage Stage) (ran []Run, err error) {
	hooks := r.Set.At(stage)
	if len(hooks) == 0 {
		return nil, nil
	}
	r.Log.Subsection(stage.Title())
	for _, h := range hooks {
		run := Run{Hook: h, Begin: time.Now(), Network: true}
		run.Status, run.Err = r.one(ctx, h)
		run.Seconds = time.Since(run.Begin).Seconds()
		ran = append(ran, run)
		if ctx.Err() != nil {
			return ran, context.Cause(ctx)
		}
		if run.Err != nil || !run.Status.Success() {
			return ran, fmt.Errorf("command %q failed: %s", h.command, run.Outcome())
		}
		r.Log.Info("Finished running '%s'.", h.Name)
	}
	return ran, nil
}

func (r *Host) one(ctx context.Context, h *Hook) (s sandbox.Status, err error) {
	person := interactive(h.command)
	if r.Set.Timeout > 0 && !person {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Set.Timeout, errTimeout)
		defer cancel()
	}
	c := exec.CommandContext(ctx, "/bin/sh", "-c", r.Context.expand(h.command, true))
	c.Stdout, c.Stderr, c.WaitDelay = r.Out, r.Out, pump.Grace
	if person {
		defer r.Pause()()
		err = c.Run()
	} else {
		err = r.group(h, c)
	}
	var exit *exec.ExitError
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return s, fmt.Errorf("%w: it was ended after %v (--hook-timeout)", errTimeout,
			r.Set.Timeout)
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			s.Signal = ws.Signal()
			return s, nil
		}
		s.Code = exit.ExitCode()
		return s, nil
	case errors.Is(err, exec.ErrWaitDelay): // only the output of what it left was waited for
		return s, nil
	}
	return s, err
}

// group runs a command as a process group of its own, so that all of it can be ended. The shell of
// a person must stay in the terminal's.
func (r *Host) group(h *Hook, c *exec.Cmd) error {
	var mu sync.Mutex
	ended := false // then the group's number may be another's
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return os.ErrProcessDone
		}
		return syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	}
	if err := c.Start(); err != nil {
		return err
	}
	left, err := sandbox.EndGroup(c.Process.Pid)
	mu.Lock()
	ended = true
	mu.Unlock()
	switch {
	case err != nil:
		err = fmt.Errorf("ending what it left: %w", err)
	case left:
		r.Log.Warning("command '%s' left processes, which were ended", h.Name)
	}
	// What the command itself returned comes first: its caller asks for an exec.ExitError.
	return errors.Join(c.Wait(), err)
}
