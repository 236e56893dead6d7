package kept

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"nsbuild/internal/store"
)

// Limits say how much is kept.
type Limits struct {
	Count int           // of builds
	Bytes int64         // of all together
	Age   time.Duration // of each
}

// Excess are those that are beyond the limits, the oldest first. Of several that are too many, the
// oldest are.
func (s *Store) Excess(l Limits) ([]Info, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []Info
	var total int64
	count := 0
	for _, i := range all {
		if count+1 > l.Count || total+i.Size > l.Bytes || time.Since(i.Created) > l.Age {
			out = append([]Info{i}, out...)
			continue
		}
		count++
		total += i.Size
	}
	return out, nil
}

// Take takes kept builds away for their deletion, and returns their directories, with those of
// drafts whose maker is gone. Those that somebody uses are left, and returned, too. What is taken
// is found by nobody any more, also when the deletion is cut short. release unlocks what was taken,
// and must be called after the deletion.
func (s *Store) Take(ids []string) (dirs, used []string, release func() error, err error) {
	var claimed []*store.Dir
	release = func() error {
		var errs []error
		for _, d := range claimed {
			errs = append(errs, d.Close())
		}
		return errors.Join(errs...)
	}
	drafts, err := store.Drafts(s.dir)
	if err != nil {
		return nil, nil, release, fmt.Errorf("listing kept builds: %w", err)
	}
	for _, dir := range drafts {
		d, err := store.Claim(dir)
		switch {
		case err == nil:
			claimed, dirs = append(claimed, d), append(dirs, dir)
		case errors.Is(err, fs.ErrNotExist) && store.Abandoned(dir):
			dirs = append(dirs, dir)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUsed):
			return dirs, nil, release, err
		}
	}
	for _, id := range ids {
		d, err := store.Claim(filepath.Join(s.dir, id))
		switch {
		case errors.Is(err, ErrUsed):
			used = append(used, id)
			continue
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return dirs, used, release, fmt.Errorf("forgetting %s: %w", id, err)
		}
		claimed = append(claimed, d)
		dir, err := d.Retire()
		if err != nil {
			return dirs, used, release, fmt.Errorf("forgetting %s: %w", id, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, used, release, nil
}
