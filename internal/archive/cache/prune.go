package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/budget"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/flock"
)

// How long things stay that nobody uses.
const (
	keepLists   = 3 * 24 * time.Hour // a new Release leaves 50 to 150 MB of old indices behind
	keepPartial = 24 * time.Hour     // a download that may be resumed
	keepScratch = time.Minute        // a file being written: its owner has it locked by then
)

// Sweep removes what crashes and time left behind: unfinished files that no process holds, and
// lists that nobody used for days.
func (c *Cache) Sweep() error {
	dir := filepath.Join(c.dir, dirPartial)
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
	lists, err := c.entries(context.Background(), Lists)
	if err != nil {
		return err
	}
	old := time.Now().Add(-keepLists)
	_, _, err = c.Trim(slices.DeleteFunc(lists, func(e Entry) bool { return e.Used.After(old) }))
	return err
}

// removeUnlocked removes a file unless a process holds its lock.
func removeUnlocked(name string) error {
	f, err := flock.Open(name, os.O_RDONLY, flock.Exclusive)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, flock.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Entry is a file of the cache that can be had again.
type Entry struct {
	Kind string // "lists", "debs", "copies" or "sources"
	Path string
	Size int64
	Used time.Time
}

// Kinds are the parts of the cache that Entries lists.
func Kinds() []string { return []string{Lists, Debs, Copies, Sources} }

// Entries lists the files of the cache, without what is being downloaded.
func (c *Cache) Entries(ctx context.Context) ([]Entry, error) {
	var all []Entry
	for _, kind := range Kinds() {
		entries, err := c.entries(ctx, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

func (c *Cache) entries(ctx context.Context, kind string) ([]Entry, error) {
	var out []Entry
	err := filepath.WalkDir(filepath.Join(c.dir, kind),
		func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") {
				return err
			}
			var st unix.Stat_t
			err = unix.Lstat(path, &st)
			if errors.Is(err, unix.ENOENT) {
				return nil
			}
			if err != nil {
				return &fs.PathError{Op: "lstat", Path: path, Err: err}
			}
			used := time.Unix(st.Mtim.Unix())
			if read := time.Unix(st.Atim.Unix()); read.After(used) {
				used = read
			}
			out = append(out, Entry{kind, path, st.Size, used})
			return nil
		})
	return out, err
}

// Remove deletes files of the cache, also those that are in use, and returns how many bytes that
// freed.
func (c *Cache) Remove(entries []Entry) (freed int64, err error) {
	for _, e := range entries {
		if err := os.Remove(e.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return freed, err
		}
		freed += e.Size
	}
	return freed, nil
}

// Verify reads the whole cache and deletes what is not what its name says. It returns how many
// files were good, and those that were not.
func (c *Cache) Verify(ctx context.Context) (good int, bad []Entry, err error) {
	entries, err := c.Entries(ctx)
	if err != nil {
		return 0, nil, err
	}
	machine, err := budget.Read()
	if err != nil {
		return 0, nil, err
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(machine.Processors)
	for _, e := range entries {
		digest := filepath.Base(e.Path)
		if e.Kind == Copies {
			digest = CopyDigest(e.Path)
		}
		digest, _, _ = strings.Cut(digest, ".")
		// named after an older kind of digest; a note; named after a key
		if len(digest) != 2*sha256.Size || strings.HasSuffix(e.Path, ".plain") ||
			strings.HasSuffix(e.Path, parsedExt) {
			continue
		}
		group.Go(func() error {
			f, err := os.Open(e.Path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			defer f.Close()
			sum := sha256.New()
			if _, err := io.Copy(sum, ctxio.NewReader(ctx, f)); err != nil {
				return err
			}
			ok := hashes.Hex(sum) == digest
			mu.Lock()
			defer mu.Unlock()
			if ok {
				good++
				return nil
			}
			bad = append(bad, e)
			_, err = c.Remove([]Entry{e})
			return err
		})
	}
	err = group.Wait()
	return good, bad, err
}
