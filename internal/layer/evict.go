package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/store"
)

// Where a kill can have come between two steps, what is older than this belongs to nobody.
const abandoned = time.Minute

// Take takes layers away for their deletion and returns their directories; those in use are left
// out. What is taken is found by nobody any more, also when the deletion is cut short. With drafts,
// those whose maker is gone are among them. release unlocks what was taken, and must be called
// after the deletion.
func (s *Store) Take(keys []string, drafts bool) (dirs []string, release func() error, err error) {
	var claimed []*store.Dir
	release = func() error {
		var errs []error
		for _, d := range claimed {
			errs = append(errs, d.Close())
		}
		return errors.Join(errs...)
	}
	if drafts {
		left, err := store.Drafts(s.dir)
		if err != nil {
			return nil, release, fmt.Errorf("listing layers: %w", err)
		}
		for _, dir := range left {
			d, err := claim(dir)
			if err != nil {
				return dirs, release, err
			}
			if d != nil {
				claimed, dirs = append(claimed, d), append(dirs, dir)
			} else if store.Abandoned(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	for _, key := range keys {
		d, err := claim(filepath.Join(s.dir, key))
		if err != nil {
			return dirs, release, err
		}
		if d == nil {
			continue
		}
		claimed = append(claimed, d)
		dir, err := d.Retire()
		if err != nil {
			return dirs, release, fmt.Errorf("taking layer %.12s away: %w", key, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, release, nil
}

// Tidy deletes the notes of requests whose layer is gone, and half-written ones.
func (s *Store) Tidy() error {
	dir := filepath.Join(s.dir, requests)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("listing layers: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), newPrefix) {
			if st, err := os.Lstat(name); err != nil || time.Since(st.ModTime()) < abandoned {
				continue
			}
		} else {
			key, err := os.ReadFile(name)
			if err != nil {
				continue // gone by now, or not ours to read
			}
			if !store.Gone(filepath.Join(s.dir, strings.TrimSpace(string(key)))) {
				continue
			}
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting a layer: %w", err)
		}
	}
	return nil
}
