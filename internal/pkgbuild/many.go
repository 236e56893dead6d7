package pkgbuild

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/bases"
	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/progress"
	"nsbuild/internal/scratch"
)

// shared is what the builds of one command share.
type shared struct {
	grown  atomic.Bool    // whether something was added to the cache that Meter does not count
	memory scratch.Memory // for their tmpfs
	turns  bases.Turns    // what one does for all

	mu     sync.Mutex
	atOnce int               // builds at a time; 0 means one
	left   int               // builds that have not ended
	claims map[string]string // what is or was built, and what the user called it
	// outputs are the directories that were made for results, with the builds that use them
	outputs map[string]int
}

func newShared() *shared {
	return &shared{claims: map[string]string{}, outputs: map[string]int{}}
}

// side is how many builds run beside each other from now on.
func (s *shared) side() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, min(s.atOnce, s.left))
}

// claim makes sure that nothing is built twice by one command, into the same files.
func (s *shared) claim(what, spec string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, ok := s.claims[what]; ok {
		return fault.New(fault.Usage, "name it once",
			"%s is the same as %s, and is not built twice", spec, other)
	}
	s.claims[what] = spec
	return nil
}

// disclaim has something be built again.
func (s *shared) disclaim(spec string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.claims, func(_, by string) bool { return by == spec })
}

// takeOutput makes a directory for results, unless it is there. Of one that was made it counts who
// uses it.
func (s *shared) takeOutput(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := os.Mkdir(dir, 0o777)
	if err == nil || s.outputs[dir] > 0 {
		s.outputs[dir]++
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return err
}

// leaveOutput deletes a directory that takeOutput has made, when the last build that uses it has
// ended and nothing is in it.
func (s *shared) leaveOutput(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outputs[dir] == 0 {
		return nil // it was there before
	}
	if s.outputs[dir]--; s.outputs[dir] > 0 {
		return nil
	}
	err := os.Remove(dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// Ended is a build of several, which is over.
type Ended struct {
	Index   int    // among the requests
	Source  string // short, for people
	Name    string // the same, and of its target what tells it from others
	Outcome *Outcome
	Err     error
	Time    time.Duration
}

// Suitable is how many builds this machine can do at a time.
func Suitable() (int, error) {
	b, err := budget.Read()
	return b.Builds(), err
}

// BuildMany builds what a command asks for, some of it beside each other; the builds begin in the
// given order. A failure does not stop the others, an interruption does. ended is called for each
// when it is over, and kept later for each that is kept, one call at a time; the result is in the
// given order.
//
// One at a time, each begins when the one before has ended.
func (e *Env) BuildMany(ctx context.Context, s *Several, ended func(*Env, *Ended),
	kept func(*Env, *Outcome)) []*Ended {
	all := s.Each()
	e.shared.mu.Lock()
	e.shared.atOnce, e.shared.left = s.AtOnce, len(all)
	e.shared.mu.Unlock()
	e.shared.memory.Divide(min(s.AtOnce, len(all)))
	out := make([]*Ended, len(all))
	next := make(chan int)
	var telling sync.Mutex
	var workers sync.WaitGroup
	for range min(s.AtOnce, len(all)) {
		workers.Go(func() {
			for i := range next {
				name := s.label(&all[i])
				view, end := e.view(name)
				out[i] = view.buildOne(ctx, i, name, all[i], end, func(d *Ended) {
					telling.Lock()
					defer telling.Unlock()
					ended(view, d)
				})
				if d := out[i]; d.Outcome.Kept != "" {
					telling.Lock()
					kept(view, d.Outcome)
					telling.Unlock()
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	return out
}

// BuildOneOf builds one of many, so many of which run beside each other now. Unlike BuildMany it
// may build a source again that it has built before. Functions are as BuildMany's, for this one
// alone.
func (e *Env) BuildOneOf(ctx context.Context, beside int, r Request, ended func(*Env, *Ended),
	kept func(*Env, *Outcome)) *Ended {
	e.shared.mu.Lock()
	e.shared.atOnce, e.shared.left = beside, math.MaxInt32
	e.shared.mu.Unlock()
	e.shared.memory.Divide(beside)
	defer e.shared.disclaim(r.From)
	name := shortName(r.From)
	view, end := e.view(name)
	d := view.buildOne(ctx, 0, name, r, end, func(d *Ended) { ended(view, d) })
	if d.Outcome.Kept != "" {
		kept(view, d.Outcome)
	}
	return d
}

func (e *Env) buildOne(ctx context.Context, i int, name string, r Request,
	end func(note string, err error), ended func(*Ended)) *Ended {
	begin := time.Now()
	d := &Ended{Index: i, Source: shortName(r.From), Name: name}
	over := sync.OnceFunc(func() {
		d.Time = time.Since(begin)
		shown := d.Err
		if ctx.Err() != nil && shown != nil {
			shown = context.Canceled // it was stopped, it did not fail
		}
		note := string(d.Outcome.Status)
		if shown != nil && d.Outcome.Status == buildlog.Failed {
			note = "" // the line says so
		}
		end(note, shown)
		ended(d)
	})
	if ctx.Err() != nil {
		d.Err = fault.Interruption(ctx, context.Cause(ctx))
		d.Outcome = Unbegun(e.Program, r, d.Err)
	} else {
		r.Reported = func(outcome *Outcome, err error) {
			d.Outcome, d.Err = outcome, err
			over()
		}
		d.Outcome, d.Err = e.Build(fetch.WithProgress(ctx, e.Transferred), r)
	}
	e.shared.mu.Lock()
	e.shared.left--
	e.shared.mu.Unlock()
	over()
	return d
}

// view is the environment as one of several builds sees it: what it shows and says has its name.
func (e *Env) view(name string) (*Env, func(note string, err error)) {
	v := *e
	var done func(string, error)
	v.Progress, done = e.Progress.Task(name)
	v.Log = e.Log.WithField(LogSource, name)
	v.Meter = &progress.Meter{}
	return &v, done
}

// LogSource is the field of log lines that names the build which they are about.
const LogSource = "source"

// shortName is what a source is called on the terminal.
func shortName(spec string) string {
	if u, err := url.Parse(spec); err == nil && u.Scheme != "" && u.Host != "" {
		spec = path.Base(u.Path)
	}
	if abs, err := filepath.Abs(spec); err == nil {
		spec = filepath.Base(abs)
	}
	return strings.TrimSuffix(spec, ".dsc")
}

// Worst is the error that stands for all: an interruption before a failure of ours, that before a
// failure of a package, that before a build that could not begin.
func Worst(all []*Ended) error {
	rank := func(err error) int {
		switch fault.KindOf(err) {
		case fault.GivenBack:
			return 1
		case fault.Attempted:
			return 2
		case fault.Usage:
			return 3
		case fault.Interrupted:
			return 5
		}
		return 4
	}
	var worst error
	for _, d := range all {
		if d.Err != nil && (worst == nil || rank(d.Err) > rank(worst)) {
			worst = d.Err
		}
	}
	return worst
}
