package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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

// mountOverlayOf mounts an overlay of host directories on target.
func mountOverlayOf(target, host *os.File, m Mount, trees []*os.File) error {
	o := m.Overlay
	for _, n := range o.Trees {
		if n < 1 || n > len(trees) {
			return fmt.Errorf("mounting on %s: there is no tree %d", m.Target, n)
		}
		if err := attachLayer(trees[n-1]); err != nil {
			return err
		}
	}
	var opened []*os.File
	defer func() { closeFiles(opened) }()
	// open opens a directory of the n-th layer, below its clone if it has one.
	open := func(n int, dir, below string) (string, error) {
		root := host
		if len(o.Trees) > 0 {
			root, dir = trees[o.Trees[n]-1], "/"
		}
		f, err := openBeneath(root, filepath.Join(dir, below), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return "", err
		}
		opened = append(opened, f)
		return fdPath(f), nil
	}
	names := make([]string, len(o.Lowers))
	for i, dir := range o.Lowers {
		var err error
		if names[i], err = open(i, dir, ""); err != nil {
			return err
		}
	}
	data := "userxattr,lowerdir=" + strings.Join(names, ":")
	if o.Writable != "" {
		upper, err := open(len(o.Lowers), o.Writable, o.Upper)
		if err != nil {
			return err
		}
		work, err := open(len(o.Lowers), o.Writable, o.Work)
		if err != nil {
			return err
		}
		data += ",upperdir=" + upper + ",workdir=" + work
	}
	work := func() error {
		return mountAs("overlay", fdPath(target), m.Target, "overlay", mountFlags(m)|unix.MS_NODEV,
			data)
	}
	if len(o.Trees) > 0 && o.Writable != "" {
		// An overlay writes with the ids of who mounted it. Ours are none on a mapped mount: it
		// would be read-only, without a word.
		return asJailRoot(work)
	}
	return work()
}

// layerDir is where clones are mounted that are layers of overlays: a layer must be in the mount
// namespace of who mounts the overlay.
const layerDir = "/layers"

// attachLayer mounts a clone where nobody in a jail sees it.
func attachLayer(tree *os.File) error {
	dir := filepath.Join(layerDir, strconv.Itoa(int(tree.Fd())))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return sysErr("move_mount on", dir, unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, dir,
		unix.MOVE_MOUNT_F_EMPTY_PATH))
}
