package sandbox

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fault"
)

// prepareOverlay resolves the directories of an overlay and finds one that holds both the upper and
// the work directory: an overlay wants them on one mount.
func prepareOverlay(o Overlay) (*Overlay, error) {
	o.Lowers = slices.Clone(o.Lowers)
	for i := range o.Lowers {
		var err error
		if o.Lowers[i], err = resolve(o.Lowers[i]); err != nil {
			return nil, err
		}
	}
	if o.Upper == "" {
		return &o, nil
	}
	upper, err := resolve(o.Upper)
	if err != nil {
		return nil, err
	}
	work, err := resolve(o.Work)
	if err != nil {
		return nil, err
	}
	o.Writable = filepath.Dir(upper)
	for !strings.HasPrefix(work, strings.TrimSuffix(o.Writable, "/")+"/") {
		o.Writable = filepath.Dir(o.Writable)
	}
	if o.Upper, err = filepath.Rel(o.Writable, upper); err != nil {
		return nil, err
	}
	o.Work, err = filepath.Rel(o.Writable, work)
	return &o, err
}

// cloneLayers clones the layers with mapped ids: the overlay itself cannot have its ids mapped.
func cloneLayers(m *Mount, clone func(string, MapKind) (int, error)) error {
	dirs := m.Overlay.Lowers
	if m.Overlay.Writable != "" {
		dirs = append(dirs[:len(dirs):len(dirs)], m.Overlay.Writable)
	}
	m.Overlay.Trees = nil
	for _, dir := range dirs {
		n, err := clone(dir, m.Map)
		if cannotMap(err) {
			return fault.Wrap(fault.Internal,
				"copy the directory to a file system that can, such as ext4, xfs or btrfs",
				fmt.Errorf("the ids of %s cannot be mapped: %w", dir, err))
		}
		if err != nil {
			return err
		}
		m.Overlay.Trees = append(m.Overlay.Trees, n)
	}
	return nil
}
