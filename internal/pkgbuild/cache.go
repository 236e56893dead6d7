package pkgbuild

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/layer"
	"nsbuild/internal/workdir"
)

// KindLayers is the kind of dependency layers, beside those of archive.Kinds.
const KindLayers = "layers"

// CacheItem is something in the cache that can be had again: a file or a layer.
type CacheItem struct {
	Kind  string
	Size  int64
	Used  time.Time
	file  cache.Entry
	layer layer.Info
}

// CacheItems lists what is in the cache, the last used first.
func (e *Env) CacheItems(ctx context.Context) ([]CacheItem, error) {
	entries, err := e.Client.Cache.Entries(ctx)
	if err != nil {
		return nil, err
	}
	layers, err := e.Layers.List()
	if err != nil {
		return nil, err
	}
	items := make([]CacheItem, 0, len(entries)+len(layers))
	for _, f := range entries {
		items = append(items, CacheItem{Kind: f.Kind, Size: f.Size, Used: f.Used, file: f})
	}
	for _, l := range layers {
		items = append(items, CacheItem{Kind: KindLayers, Size: l.Size, Used: l.Used, layer: l})
	}
	slices.SortStableFunc(items, func(a, b CacheItem) int { return b.Used.Compare(a.Used) })
	return items, nil
}

// Keep says what stays in the cache when it is trimmed.
type Keep struct {
	Bytes int64         // in all; the last used stays
	Age   time.Duration // since the last use; 0 is without limit
	Spare time.Duration // what was used since then stays, whatever it takes
}

// TrimCache deletes what is not to be kept, and what killed builds left. Layers in use stay.
func (e *Env) TrimCache(ctx context.Context, keep Keep) (freed int64, err error) {
	items, err := e.CacheItems(ctx)
	if err != nil {
		return 0, err
	}
	var total int64
	var files []cache.Entry
	var keys []string
	sizes := map[string]int64{}
	for _, item := range items {
		total += item.Size
		age := time.Since(item.Used)
		if age < keep.Spare || total <= keep.Bytes && (keep.Age == 0 || age <= keep.Age) {
			continue
		}
		if item.Kind == KindLayers {
			keys = append(keys, item.layer.Key)
			sizes[item.layer.Key] = item.Size
			continue
		}
		files = append(files, item.file)
	}
	var used int
	if freed, used, err = e.Client.Cache.Trim(files); err != nil {
		return freed, err
	}
	if used > 0 {
		e.Log.Infof("%s in use and stay", fault.Count(used, "file is", "files are"))
	}
	if err := e.removeLayers(ctx, keys); err != nil {
		return freed, err
	}
	left, err := e.Layers.List() // some may be in use
	for _, l := range left {
		delete(sizes, l.Key)
	}
	for _, size := range sizes {
		freed += size
	}
	return freed, err
}

// RemoveLayers deletes all layers but those in use.
func (e *Env) RemoveLayers(ctx context.Context) error {
	layers, err := e.Layers.List()
	if err != nil {
		return err
	}
	var keys []string
	for _, l := range layers {
		keys = append(keys, l.Key)
	}
	return e.removeLayers(ctx, keys)
}

// removeLayers deletes layers, and what killed builds left of some.
func (e *Env) removeLayers(ctx context.Context, keys []string) error {
	dirs, release, err := e.Layers.Take(keys, true)
	if len(dirs) > 0 {
		h, startErr := e.Work.Hold(ctx, e.IDs)
		err = errors.Join(err, startErr)
		if startErr == nil {
			err = errors.Join(err, removeTrees(ctx, h, dirs), h.Close())
		}
	}
	return errors.Join(err, release(), e.Layers.Tidy())
}

func removeTrees(ctx context.Context, h jails.Holder, dirs []string) (err error) {
	for _, dir := range dirs {
		err = errors.Join(err, h.RemoveTree(ctx, dir))
	}
	return err
}

// inUse is how long after its last use something in the cache may still be needed by a build that
// has begun: the time of use is noted once an hour, and a build may be slow to begin.
const inUse = 2 * time.Hour

// MakeRoom keeps the cache within its limit when something was added to it. That it cannot be done
// is no failure of the command that has filled it.
func (e *Env) MakeRoom(ctx context.Context) {
	if !e.shared.grown.Load() && e.Meter.Transferred() == 0 {
		return
	}
	ctx, cancel := workdir.Afterwards(ctx)
	defer cancel()
	if _, err := e.TrimCache(ctx, Keep{Bytes: e.CacheLimit, Spare: inUse}); err != nil {
		e.Log.Warnf("making room in the cache: %v", err)
	}
}

// RemoveHookCaches deletes what hooks have kept.
func (e *Env) RemoveHookCaches(ctx context.Context) error {
	dir := string(e.HookCaches())
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	h, err := e.Work.Hold(ctx, e.IDs)
	if err != nil {
		return err
	}
	return errors.Join(h.RemoveTree(ctx, dir), h.Close())
}
