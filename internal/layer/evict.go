package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/flock"
)

// Where a kill can have come between two steps, what is older than this belongs to nobody.
const abandoned = time.Minute

// Take takes layers away for their deletion and returns their directories; those in use are left
// out. What is taken is found by nobody any more, also when the deletion is cut short. With drafts,
// those whose maker is gone are among them. release unlocks what was taken, and must be called
// after the deletion.
func (s *Store) Take(keys []string, drafts bool) (dirs []string, release func() error, err error) {
	var locks []*os.File
	release = func() error {
		var errs []error
		for _, f := range locks {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	if drafts {
		left, err := s.drafts()
		if err != nil {
			return nil, release, err
		}
		for _, dir := range left {
			f, err := lock(filepath.Join(dir, "lock"), os.O_RDWR, flock.Exclusive)
			if err != nil {
				return dirs, release, err
			}
			if f != nil {
				locks, dirs = append(locks, f), append(dirs, dir)
			} else if unlocked(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	for _, key := range keys {
		f, err := lock(filepath.Join(s.dir, key, "lock"), os.O_RDWR, flock.Exclusive)
		if err != nil {
			return dirs, release, err
		}
		if f == nil {
			continue
		}
		locks = append(locks, f)
		dir, err := s.retire(key)
		if err != nil {
			return dirs, release, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, release, nil
}

const draftPrefix = "draft-"

func (s *Store) drafts() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing layers: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), draftPrefix) {
			out = append(out, filepath.Join(s.dir, e.Name()))
		}
	}
	return out, nil
}

// unlocked tells whether a draft has no lock file, because its maker was killed before it made
// that, or its deleter after it had deleted that.
func unlocked(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "lock"))
	st, dirErr := os.Lstat(dir)
	return errors.Is(err, fs.ErrNotExist) && dirErr == nil && time.Since(st.ModTime()) > abandoned
}

// retire makes a layer a draft: a deletion that is cut short then leaves no half layer under its
// key.
func (s *Store) retire(key string) (string, error) {
	dir, err := os.MkdirTemp(s.dir, draftPrefix)
	if err == nil {
		// over the empty directory, which os.Rename would not do
		err = unix.Rename(filepath.Join(s.dir, key), dir)
	}
	if err != nil {
		return "", fmt.Errorf("taking layer %.12s away: %w", key, err)
	}
	return dir, nil
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
			if _, err := os.Lstat(
				filepath.Join(s.dir, strings.TrimSpace(string(key)), "lock")); !errors.Is(err,
				fs.ErrNotExist) {
				continue
			}
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting a layer: %w", err)
		}
	}
	return nil
}
