package pkgbuild

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox"
)

// scratch is where runs keep what they will not leave behind: one directory per process, locked
// while the process lives, so that the next run knows which were left by a kill.
type scratch struct {
	root string // below the state directory
	own  string
	lock *os.File
}

// OpenScratch makes this process's scratch directory and deletes those of processes that were
// killed.
func (e *Env) OpenScratch(ctx context.Context) error {
	e.shared = newShared()
	root := filepath.Join(e.StateDir, "run")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := e.sweepScratch(ctx, root); err != nil {
		return err
	}
	for {
		own, err := os.MkdirTemp(root, "run-")
		if err != nil {
			return err
		}
		lock, err := flock.Open(own, os.O_RDONLY, flock.Exclusive)
		if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
			continue // another process, which sweeps, was faster and deletes it
		}
		if err != nil {
			return err
		}
		e.scratch = scratch{root: root, own: own, lock: lock}
		return nil
	}
}

// sweepTime bounds how long a command cleans up behind others. What is left then is the next one's.
const sweepTime = 5 * time.Second

// sweepScratch deletes the directories whose process is gone. Most are empty; trees of mapped ids
// in them need a holder. One that cannot be deleted is no failure of the command that comes by.
func (e *Env) sweepScratch(ctx context.Context, root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeoutCause(ctx, sweepTime, errSweepTime)
	defer cancel()
	for _, entry := range entries {
		dir := filepath.Join(root, entry.Name())
		err := sweepDir(short, dir)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errSweepTime):
			e.Log.Debugf("%s: %v", dir, err)
			return nil
		}
		e.Log.Warnf("what a killed nsbuild has left cannot be deleted: %v", err)
	}
	return nil
}

// errSweepTime says why a sweep ends before its end.
var errSweepTime = errors.New("there is much to delete; the next command goes on")

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

// dir makes a directory that is deleted at the latest when the process ends.
func (s *scratch) dir(pattern string) (string, error) { return os.MkdirTemp(s.own, pattern) }

// CloseScratch deletes this process's scratch directory.
func (e *Env) CloseScratch(ctx context.Context) error {
	if e.scratch.own == "" {
		return nil
	}
	err := e.unlessLate(sandbox.RemoveTree(ctx, e.scratch.own))
	return errors.Join(err, e.scratch.lock.Close())
}

// unlessLate lets a deletion be that was cut short: the next command goes on with it.
func (e *Env) unlessLate(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		e.Log.Info(
			"what was written is not all deleted yet; the next nsbuild command goes on with that")
		return nil
	}
	return err
}

// ScratchDir is this process's own directory, which is deleted at the latest after its death.
func (e *Env) ScratchDir() string { return e.scratch.own }
