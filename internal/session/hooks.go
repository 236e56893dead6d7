package session

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/base"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/sandbox"
)

// Hooks run in the jail before the command.
type Hooks struct {
	Set     *hook.Set
	Stages  []hook.Stage
	Context func(*base.Generation) hook.Context                             // what they are told; of no base, when there is a Root
	Mounts  func(context.Context, *sandbox.Holder) ([]sandbox.Mount, error) // what they keep from one run to the next
}

// Named are hooks by their names: the supervisor of a session, another process than the one that begins it, finds them itself.
type Named struct {
	hook.Options
	CacheDir string // where they keep what outlives a run
}

// Stopped is the cause of an end before the command has begun: a signal.
type Stopped struct{ Signal syscall.Signal }

func (s Stopped) Error() string {
	return "stopped by a signal (" + s.Signal.String() + ") before the command"
}

// any tells whether there is one to run.
func (h *Hooks) any() bool { return len(h.Set.At(h.Stages...)) > 0 }

// runHooks runs the hooks. What they print goes to standard error: standard output is the command's.
func (o *Options) runHooks(ctx context.Context, jail *sandbox.Jail, log hook.Logger) error {
	if !o.Hooks.any() {
		return nil
	}
	ctx, done := o.heedSignals(ctx)
	defer done()
	r := hook.Runner{Set: o.Hooks.Set, Jail: jail, Out: o.Stderr, Log: log, Context: o.Hooks.Context(o.base)}
	for _, stage := range o.Hooks.Stages {
		if _, _, err := r.Run(ctx, stage); err != nil {
			return err
		}
	}
	return nil
}

// heedSignals ends a context at a signal that asks for the end: there is no command yet to pass it on to.
func (o *Options) heedSignals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	finish, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case <-finish:
				return
			case s := <-o.Signals:
				asks := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
				if sig, ok := s.(syscall.Signal); ok && slices.Contains(asks, s) {
					cancel(&fault.Error{Kind: fault.Interrupted, Err: Stopped{sig}})
				}
			}
		}
	}()
	return ctx, func() {
		close(finish)
		<-finished
		cancel(nil)
	}
}

// hookNotes keeps what the user has to know about hooks, for a process that has nobody to tell it to.
type hookNotes struct{ notes *[]string }

func (l hookNotes) Subsection(string)   {}
func (l hookNotes) Info(string, ...any) {}
func (l hookNotes) Warning(format string, args ...any) {
	*l.notes = append(*l.notes, fmt.Sprintf(format, args...))
}

// hookLog says what the user has to know about hooks, and no more.
type hookLog struct{ log logrus.FieldLogger }

func (l hookLog) Subsection(title string)            { l.log.Debug(title) }
func (l hookLog) Info(format string, args ...any)    { l.log.Debugf(format, args...) }
func (l hookLog) Warning(format string, args ...any) { l.log.Warnf(format, args...) }
