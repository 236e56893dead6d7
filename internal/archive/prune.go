package archive

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long things stay that nobody uses.
const (
	keepLists   = 3 * 24 * time.Hour // a new Release leaves 50 to 150 MB of old indices behind
	keepPartial = 24 * time.Hour     // a download that may be resumed
	keepScratch = time.Minute        // a file being written: its owner has it locked by then
)

// sweep removes what crashes and time left behind: unfinished files that no process holds, and lists that nobody used for days.
func (c *Client) sweep() error {
	dir := filepath.Join(c.opt.CacheDir, dirPartial)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		keep := keepPartial
		if strings.HasPrefix(e.Name(), scratchPrefix) {
			keep = keepScratch
		}
		fi, err := e.Info()
		if err != nil || time.Since(fi.ModTime()) < keep {
			continue // gone by now, or too young
		}
		if err := removeUnlocked(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	_, err = c.prune(context.Background(), dirLists, time.Now().Add(-keepLists), -1)
	return err
}

// removeUnlocked removes a file unless a process holds its lock.
func removeUnlocked(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Prune removes packages and sources from the cache that nobody used since a time, and then the longest unused ones until no more than maxBytes are left (below 0: no such
// limit). It returns how many bytes it freed. What another process is about to use may go too; it will fetch it again.
func (c *Client) Prune(ctx context.Context, unusedSince time.Time, maxBytes int64) (int64, error) {
	var freed int64
	for _, kind := range []string{dirSources, dirDebs} {
		n, err := c.prune(ctx, kind, unusedSince, maxBytes)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func (c *Client) prune(ctx context.Context, kind string, unusedSince time.Time, maxBytes int64) (freed int64, err error) {
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	err = filepath.WalkDir(filepath.Join(c.opt.CacheDir, kind), func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !strings.HasSuffix(path, ".json") {
			files = append(files, file{path, fi.Size(), fi.ModTime()})
			total += fi.Size()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if !f.used.Before(unusedSince) && (maxBytes < 0 || total-freed <= maxBytes) {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return freed, err
		}
		freed += f.size
	}
	return freed, nil
}

const scratchPrefix = "scratch-"

// scratch makes a file to be written and then renamed. It is locked, so that sweep leaves it alone.
func (c *Client) scratch() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(c.opt.CacheDir, dirPartial), scratchPrefix)
	if err != nil {
		return nil, diskError(c.opt.CacheDir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}
