package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"nsbuild/internal/sandbox"
)

// Caches is the directory of what hooks keep from one run to the next.
type Caches string

// CachesIn is the directory's place in the cache directory.
func CachesIn(cacheDir string) Caches { return Caches(filepath.Join(cacheDir, "hooks")) }

// RootMaker makes directories that belong to root in a jail: a jails.Holder, or less.
type RootMaker interface {
	MakeRoot(ctx context.Context, dir string) error
}

// Mounts show the hooks of a set what they keep.
func (c Caches) Mounts(ctx context.Context, h RootMaker, set *Set) (mounts []sandbox.Mount,
	err error) {
	for _, name := range set.Caches() {
		dir, err := c.make(ctx, h, name)
		if err != nil {
			return nil, fmt.Errorf("the cache of hook %s: %w", name, err)
		}
		mounts = append(mounts,
			sandbox.Mount{Type: "bind", Source: dir, Target: CacheDir(name),
				Mkdir: true, NoSuid: true, NoDev: true})
	}
	return mounts, nil
}

// make is where a hook keeps what outlives a run. It belongs to the jail's ids.
func (c Caches) make(ctx context.Context, h RootMaker, name string) (string, error) {
	if err := os.MkdirAll(string(c), 0o700); err != nil {
		return "", err
	}
	dir := filepath.Join(string(c), name)
	if _, err := os.Lstat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return dir, err
	}
	err := h.MakeRoot(ctx, dir)
	if _, there := os.Lstat(dir); there == nil { // another may have been faster
		err = nil
	}
	return dir, err
}
