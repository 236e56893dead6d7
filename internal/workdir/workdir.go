// Package workdir is the directory of this process below the state directory: what a command will
// not leave behind. It is locked while the process lives, so that the next command knows which
// directories were left by a kill, and deletes them. The sandboxes of the command are started over
// it.
//
// What is written there, and what runs in the sandboxes, is left to whoever starts them.
package workdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
	"nsbuild/internal/jails"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// Dir is the directory of one process.
type Dir struct {
	// Start starts holders: jails.Start, or what makes them up.
	Start func(context.Context, sandbox.HolderSpec) (jails.Holder, error)

	// Require is the least level of isolation that will do; "" is any.
	Require sandbox.Level

	state string // directory
	own   string
	lock  *os.File
	// weaker is called with the first holder that is weaker than it could be.
	weaker func()
}

// Open makes this process's directory and deletes those of processes that were killed.
func Open(ctx context.Context, state string, log logrus.FieldLogger) (*Dir, error) {
	root := filepath.Join(state, "run")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := sweep(ctx, root, log); err != nil {
		return nil, err
	}
	for {
		own, err := os.MkdirTemp(root, "run-")
		if err != nil {
			return nil, err
		}
		lock, err := flock.Open(own, os.O_RDONLY, flock.Exclusive)
		if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
			continue // another process, which sweeps, was faster and deletes it
		}
		if err != nil {
			return nil, err
		}
		return &Dir{Start: jails.Start, state: state, own: own, lock: lock,
			weaker: sync.OnceFunc(func() {
				log.WithField(fault.Shown, true).Warn("the sandbox is " + sandbox.Weaker)
			})}, nil
	}
}

// sweepTime bounds how long a command cleans up behind others. What is left then is the next one's.
const sweepTime = 5 * time.Second

// ErrSweepTime says why a sweep ends before its end.
var ErrSweepTime = errors.New("there is much to delete; the next command goes on")

// Sweeping is a context for deleting what others have left: it ends soon, with ErrSweepTime.
func Sweeping(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, sweepTime, ErrSweepTime)
}

// sweep deletes the directories whose process is gone. Most are empty; trees of mapped ids in them
// need a holder. One that cannot be deleted is no failure of the command that comes by.
func sweep(ctx context.Context, root string, log logrus.FieldLogger) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	short, cancel := Sweeping(ctx)
	defer cancel()
	for _, entry := range entries {
		dir := filepath.Join(root, entry.Name())
		err := sweepDir(short, dir)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrSweepTime):
			log.Debugf("%s: %v", dir, err)
			return nil
		}
		log.Warnf("what a killed nsbuild has left cannot be deleted: %v", err)
	}
	return nil
}

// sweepDir deletes what a process has left, unless it lives or another sweeps.
func sweepDir(ctx context.Context, dir string) error {
	f, err := flock.Open(dir, os.O_RDONLY, flock.Exclusive)
	if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(sandbox.RemoveTree(ctx, dir), f.Close())
}

// Path is the directory.
func (d *Dir) Path() string { return d.own }

// Make makes a directory in it, which is deleted at the latest when the process ends.
func (d *Dir) Make(pattern string) (string, error) { return os.MkdirTemp(d.own, pattern) }

// Had tells whether a path leads into such a directory, of this process or of another, with which
// it is gone.
func (d *Dir) Had(file string) bool { return strings.HasPrefix(file, filepath.Dir(d.own)+"/") }

// Hide takes the directory out of the text of an error: a user knows a file of ours by its own
// name.
func (d *Dir) Hide(err error) error {
	if err == nil || !strings.Contains(err.Error(), d.own+"/") {
		return err
	}
	return &hidden{err, d.own + "/"}
}

// hidden is an error whose text names files as a user knows them.
type hidden struct {
	error
	dir string
}

func (h *hidden) Unwrap() error { return h.error }

func (h *hidden) Error() string {
	parts := strings.Split(h.error.Error(), h.dir)
	for i, rest := range parts[1:] {
		// the first name is that of a directory of Make, unless it is all
		if made, file, ok := strings.Cut(rest, "/"); ok && !strings.ContainsAny(made, " :\n") {
			parts[i+1] = file
		}
	}
	return strings.Join(parts, "")
}

// Close deletes the directory.
func (d *Dir) Close(ctx context.Context, log logrus.FieldLogger) error {
	err := UnlessLate(log, sandbox.RemoveTree(ctx, d.own))
	return errors.Join(err, d.lock.Close())
}

// UnlessLate lets a deletion be that was cut short: the next command goes on with it.
func UnlessLate(log logrus.FieldLogger, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		log.Info(
			"what was written is not all deleted yet; the next nsbuild command goes on with that")
		return nil
	}
	return err
}

// Hold starts a holder for trees of the given ids. It prepares nothing for programs of a foreign
// architecture; HoldFor does.
func (d *Dir) Hold(ctx context.Context, ids sandbox.IDMap) (jails.Holder, error) {
	return d.start(ctx, d.complete(sandbox.HolderSpec{IDs: ids}))
}

// HoldFor starts a holder in which programs of an architecture run. The spec says the ids of its
// trees, where its upper directories are, and its limits.
func (d *Dir) HoldFor(ctx context.Context, arch string, spec sandbox.HolderSpec) (jails.Holder,
	error) {
	spec = d.complete(spec)
	if err := machine.Prepare(&spec, arch); err != nil {
		return nil, err
	}
	return d.start(ctx, spec)
}

// start starts a holder, and says once how it is weaker than others.
func (d *Dir) start(ctx context.Context, spec sandbox.HolderSpec) (jails.Holder, error) {
	h, err := d.Start(ctx, spec)
	if err == nil && h.Level() != sandbox.LevelFull && d.weaker != nil {
		d.weaker()
	}
	return h, err
}

// complete adds what holds of each holder of this process.
func (d *Dir) complete(spec sandbox.HolderSpec) sandbox.HolderSpec {
	spec.FallbackDir, spec.Memory = d.own, filepath.Join(d.state, "kernel.json")
	spec.Require = d.Require
	return spec
}

// How long cleaning up may take: at the end of the work, and once the user wants it to end. What is
// not deleted by then is deleted by the next command, see Open.
const (
	cleanupTime     = 30 * time.Second
	interruptedTime = 1200 * time.Millisecond
)

// Afterwards is a context for cleaning up: it goes on when ctx was cancelled, or is now, but not
// for long.
func Afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(interruptedTime, cancel) })
	return out, func() {
		stop()
		cancel()
	}
}
