package session

import (
	"context"
	"fmt"
	"os"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/base"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Hooks run in the jail before the command.
type Hooks struct {
	Set    *hook.Set
	Stages []hook.Stage
	// what they are told; of no base, when there is a Root
	Context func(*base.Generation) hook.Context
	// what they keep from one run to the next
	Mounts func(context.Context, jails.Holder) ([]sandbox.Mount, error)
}

// Named are hooks by their names: the supervisor of a session, another process than the one that
// begins it, finds them itself.
type Named struct {
	hook.Options
	CacheDir string // where they keep what outlives a run
}

// any tells whether there is one to run.
func (h *Hooks) any() bool { return len(h.Set.At(h.Stages...)) > 0 }

// keep tells whether one of them keeps things from one run to the next.
func (h *Hooks) keep() bool { return h.any() && len(h.Set.Caches()) > 0 }

// run runs the hooks in an open jail. What they print goes to standard error: standard output is
// the command's.
func (h *Hooks) run(ctx context.Context, in *room, stderr *os.File, log hook.Logger) error {
	if !h.any() {
		return nil
	}
	r := hook.Runner{Set: h.Set, Jail: jails.Of(in.jail), Out: stderr, Log: log,
		Context: h.Context(in.base)}
	for _, stage := range h.Stages {
		if _, _, err := r.Run(ctx, stage); err != nil {
			return err
		}
	}
	return nil
}

// hookNotes keeps what the user has to know about hooks, for a process that has nobody to tell it
// to.
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
