package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// mountOverlayOf mounts an overlay of host directories on target.
func mountOverlayOf(target, host *os.File, m wire.Mount, trees []*os.File) error {
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
	defer func() { wire.CloseFiles(opened) }()
	// open opens a directory of the n-th layer, below its clone if it has one.
	open := func(n int, dir, below string) (string, error) {
		root := host
		if len(o.Trees) > 0 {
			root, dir = trees[o.Trees[n]-1], "/"
		}
		f, err := beneath.Open(root, filepath.Join(dir, below), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return "", err
		}
		opened = append(opened, f)
		return beneath.FDPath(f), nil
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
		return MountAs("overlay", beneath.FDPath(target), m.Target, "overlay",
			mountFlags(m)|unix.MS_NODEV,
			data)
	}
	if len(o.Trees) > 0 && o.Writable != "" {
		// An overlay writes with the ids of who mounted it. Ours are none on a mapped mount: it
		// would be read-only, without a word.
		return asJailRoot(work)
	}
	return work()
}

// attachLayer mounts a clone where nobody in a jail sees it.
func attachLayer(tree *os.File) error {
	dir := filepath.Join(layout.Layers, strconv.Itoa(int(tree.Fd())))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syserr.Wrap("move_mount on", dir, unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, dir,
		unix.MOVE_MOUNT_F_EMPTY_PATH))
}
