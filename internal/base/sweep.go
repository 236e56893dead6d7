package base

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"nsbuild/internal/flock"
	"nsbuild/internal/jails"
	"nsbuild/internal/store"
)

// Stale lists the bases that have something for Sweep to delete. It is cheap.
func (s *Store) Stale() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing bases: %w", err)
	}
	var stale []string
	for _, e := range entries {
		root := filepath.Join(s.dir, e.Name())
		inside, err := os.ReadDir(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing bases: %w", err)
		}
		current, _ := os.Readlink(filepath.Join(root, "current")) // none: everything there is stale
		left := slices.ContainsFunc(inside, func(e fs.DirEntry) bool {
			if !e.IsDir() || e.Name() == current {
				return false
			}
			upon, err := store.Lessees(filepath.Join(root, e.Name()))
			return err != nil || len(upon) == 0
		})
		if left || current == "" {
			stale = append(stale, e.Name())
		}
	}
	return stale, nil
}

// Sweep deletes what killed makers left of a base, and generations that were replaced and that
// nobody uses any more. A base that is being made is left alone.
func (s *Store) Sweep(ctx context.Context, name string, h jails.Holder) error {
	root := filepath.Join(s.dir, name)
	lock, err := flock.Open(filepath.Join(root, "lock"), os.O_RDWR|os.O_CREATE, flock.Exclusive)
	if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("base %s: %w", name, err)
	}
	defer lock.Close()
	if err := s.sweep(ctx, root, h.RemoveTree); err != nil {
		return err
	}
	return removeIfEmpty(root)
}

// sweep is Sweep with the base's lock held.
func (s *Store) sweep(ctx context.Context, root string, removeTree remover) error {
	current, err := os.Readlink(filepath.Join(root, "current"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var failed error
	for _, e := range entries {
		if !e.IsDir() || e.Name() == current {
			continue
		}
		dir := filepath.Join(root, e.Name())
		claimed, err := store.Claim(dir)
		if errors.Is(err, store.ErrUsed) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		err = removeTree(ctx, dir)
		if claimed != nil {
			err = errors.Join(err, claimed.Close())
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("deleting %s: %w", dir, err))
		}
	}
	return failed
}
