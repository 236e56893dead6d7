// Package cachedir is the cache directory as a whole: what is in it of all that saves time and can
// be had again, and what goes when it takes too much.
//
// How a file, a layer or what a hook keeps gets there, and who uses it, is left to those who put it
// there: archive/cache, layer, hook.
package cachedir

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// Dir is the cache directory.
type Dir struct {
	Files  *cache.Cache
	Layers *layer.Store
	Hooks  hook.Caches   // what hooks keep from one run to the next
	Limit  int64         // how many bytes it may take, layers included
	Work   *workdir.Dir  // where the sandboxes are started that delete trees
	IDs    sandbox.IDMap // of trees
	Log    logrus.FieldLogger
}

// kindLayers is the kind of dependency layers, beside those of cache.Kinds.
const kindLayers = "layers"

// Kinds are what an item may be.
func Kinds() []string { return append(cache.Kinds(), kindLayers) }

// Item is something in the cache that can be had again: a file or a layer.
type Item struct {
	Kind  string
	Size  int64
	Used  time.Time
	file  cache.Entry
	layer layer.Info
}

// Items lists what is there, the last used first.
func (d *Dir) Items(ctx context.Context) ([]Item, error) {
	entries, err := d.Files.Entries(ctx)
	if err != nil {
		return nil, err
	}
	layers, err := d.Layers.List()
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(entries)+len(layers))
	for _, f := range entries {
		items = append(items, Item{Kind: f.Kind, Size: f.Size, Used: f.Used, file: f})
	}
	for _, l := range layers {
		items = append(items, Item{Kind: kindLayers, Size: l.Size, Used: l.Used, layer: l})
	}
	slices.SortStableFunc(items, func(a, b Item) int { return b.Used.Compare(a.Used) })
	return items, nil
}

// Keep says what stays in the cache when it is trimmed.
type Keep struct {
	Bytes int64         // in all; the last used stays
	Age   time.Duration // since the last use; 0 is without limit
	Spare time.Duration // what was used since then stays, whatever it takes
}

// Trim deletes what is not to be kept, and what killed builds left. Layers in use stay, and what is
// pinned: it counts first.
func (d *Dir) Trim(ctx context.Context, keep Keep) (freed int64, err error) {
	items, err := d.Items(ctx)
	if err != nil {
		return 0, err
	}
	pins, err := d.pins()
	if err != nil {
		return 0, err
	}
	total := pinnedBytes(items, pins)
	var files []cache.Entry
	var layers []layer.Info
	for _, item := range items {
		if item.pinned(pins) {
			continue
		}
		total += item.Size
		age := time.Since(item.Used)
		if age < keep.Spare || total <= keep.Bytes && (keep.Age == 0 || age <= keep.Age) {
			continue
		}
		if item.Kind == kindLayers {
			layers = append(layers, item.layer)
			continue
		}
		files = append(files, item.file)
	}
	var used int
	if freed, used, err = d.Files.Trim(files); err != nil {
		return freed, err
	}
	if used > 0 {
		d.Log.Infof("%s in use and stay", fault.Count(used, "file is", "files are"))
	}
	more, err := d.removeLayers(ctx, layers)
	return freed + more, err
}

// RemoveLayers deletes all layers but those in use, and tells how many bytes they took.
func (d *Dir) RemoveLayers(ctx context.Context) (freed int64, err error) {
	layers, err := d.Layers.List()
	if err != nil {
		return 0, err
	}
	return d.removeLayers(ctx, layers)
}

// removeLayers deletes layers, but those in use, and what killed builds left of some.
func (d *Dir) removeLayers(ctx context.Context, layers []layer.Info) (freed int64, err error) {
	sizes := map[string]int64{}
	for _, l := range layers {
		sizes[l.Key] = l.Size
	}
	if err := d.removeKeys(ctx, slices.Collect(maps.Keys(sizes))); err != nil {
		return 0, err
	}
	left, err := d.Layers.List() // some may be in use
	for _, l := range left {
		delete(sizes, l.Key)
	}
	for _, size := range sizes {
		freed += size
	}
	return freed, err
}

func (d *Dir) removeKeys(ctx context.Context, keys []string) error {
	dirs, release, err := d.Layers.Take(keys, true)
	if len(dirs) > 0 {
		h, startErr := d.Work.Hold(ctx, d.IDs)
		err = errors.Join(err, startErr)
		if startErr == nil {
			err = errors.Join(err, removeTrees(ctx, h, dirs), h.Close())
		}
	}
	return errors.Join(err, release(), d.Layers.Tidy())
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

// MakeRoom keeps the cache within its limit. That it cannot be done is no failure of the command
// that has filled it.
func (d *Dir) MakeRoom(ctx context.Context) {
	ctx, cancel := workdir.Afterwards(ctx)
	defer cancel()
	if _, err := d.Trim(ctx, Keep{Bytes: d.Limit, Spare: inUse}); err != nil {
		d.Log.Warnf("making room in the cache: %v", err)
	}
}

// RemoveHooks deletes what hooks have kept, and tells how many bytes that took.
func (d *Dir) RemoveHooks(ctx context.Context) (freed int64, err error) {
	dir := string(d.Hooks)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	h, err := d.Work.Hold(ctx, d.IDs)
	if err != nil {
		return 0, err
	}
	size, err := h.TreeSize(ctx, dir)
	if err == nil {
		err = h.RemoveTree(ctx, dir)
	}
	if err == nil {
		freed = size
	}
	return freed, errors.Join(err, h.Close())
}
