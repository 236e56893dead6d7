package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox"
)

// scratch is where runs keep what they will not leave behind: one directory per process, locked while the process lives, so that the next run knows which were left by a kill.
type scratch struct {
	root string // below the state directory
	own  string
	lock *os.File
}

// OpenScratch makes this process's scratch directory and deletes those of processes that were killed.
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

// sweepScratch deletes the directories whose process is gone. Most are empty; trees of mapped ids in them need a holder.
func (e *Env) sweepScratch(ctx context.Context, root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		dir := filepath.Join(root, entry.Name())
		f, err := flock.Open(dir, os.O_RDONLY, flock.Exclusive)
		if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) { // its process lives, or another sweeps
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(sandbox.RemoveTree(ctx, dir), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// dir makes a directory that is deleted at the latest when the process ends.
func (s *scratch) dir(pattern string) (string, error) { return os.MkdirTemp(s.own, pattern) }

// CloseScratch deletes this process's scratch directory.
func (e *Env) CloseScratch(ctx context.Context) error {
	if e.scratch.own == "" {
		return nil
	}
	return errors.Join(sandbox.RemoveTree(ctx, e.scratch.own), e.scratch.lock.Close())
}

// ScratchDir is this process's own directory, which is deleted at the latest after its death.
func (e *Env) ScratchDir() string { return e.scratch.own }
