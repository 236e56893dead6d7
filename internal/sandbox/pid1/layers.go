package pid1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/copytree"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/overlay"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
	"nsbuild/internal/tree"
)

// mountLayers mounts a throwaway root: an overlay, or a copy where there are no overlays.
func (p *pid1) mountLayers(j *openJail, root *wire.Root, trees []*os.File) error {
	var lowers []*os.File
	for _, l := range root.Lowers {
		dir := layout.Host + l.Path
		if l.Path == "" {
			var err error
			if dir, err = p.frozen(strconv.Itoa(l.Jail)); err != nil {
				return err
			}
		}
		if root.Tree > 0 && l.Path != "" {
			// A layer must be mounted in the namespace that mounts the overlay.
			dir = j.target + "-lower"
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			if err := mounts.AttachTree(trees, root.Tree, unix.AT_FDCWD, dir, l.Path); err != nil {
				return err
			}
		}
		f, err := beneath.OpenPath(dir)
		if err != nil {
			return err
		}
		defer f.Close()
		lowers = append(lowers, f)
	}
	if root.Upper != "" {
		return p.mountUpper(j, root, lowers)
	}
	own := path.Join(p.scratch.dir, strconv.Itoa(j.id))
	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}
	j.upper = path.Join(own, "upper")
	switch {
	case p.scratch.kind == wire.ScratchCopy:
		return p.mountCopy(j, root, lowers)
	case root.Plain:
		return p.mountPlain(j, root, lowers)
	}
	var err error
	if root.Seed != "" {
		err = seedUpper(j.upper, layout.Host+root.Seed)
	} else {
		err = makeUpper(j.upper, lowers[0])
	}
	if err != nil {
		return err
	}
	return p.mountOverlay(j, root, lowers, path.Join(own, "work"))
}

// makeUpper makes an empty upper directory. It is what the jail sees of "/" itself, and looks as
// the tree below does.
func makeUpper(upper string, below *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(below.Fd()), &st); err != nil {
		return syserr.Wrap("stat", "the root's tree", err)
	}
	if err := os.Mkdir(upper, 0o755); err != nil {
		return err
	}
	if err := os.Chown(upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return syserr.Wrap("chmod", upper, unix.Chmod(upper, st.Mode&0o7777))
}

// seedUpper makes an upper directory of what another one has.
func seedUpper(upper, from string) error {
	c := copytree.Copier{From: from, To: upper, Layer: true}
	if err := c.Copy(); err != nil {
		return fmt.Errorf("copying what was written: %w", err)
	}
	return nil
}

// mountUpper mounts an overlay that writes to a directory of the host's.
func (p *pid1) mountUpper(j *openJail, root *wire.Root, lowers []*os.File) error {
	if p.scratch.kind == wire.ScratchCopy {
		return errors.New("this kernel has no overlays for us: there is nothing to be written to")
	}
	j.upper = layout.Host + root.Upper
	work := j.upper + "-work"
	if err := tree.Remove(context.Background(), work); err != nil { // of an earlier jail
		return err
	}
	return p.mountOverlay(j, root, lowers, work)
}

// mountPlain copies an overlay of the layers to a plain directory.
func (p *pid1) mountPlain(j *openJail, root *wire.Root, lowers []*os.File) error {
	from := j.target + "-layers"
	if err := os.Mkdir(from, 0o755); err != nil {
		return err
	}
	if len(lowers) == 1 { // of which the kernel makes no overlay
		var err error
		if from, err = os.Readlink(beneath.FDPath(lowers[0])); err != nil {
			return err
		}
	} else {
		data := "userxattr," + lowerdirs(lowers)
		if err := mounts.MountAs("overlay", from, "/", "overlay", unix.MS_NODEV|unix.MS_RDONLY,
			data); err != nil {
			return err
		}
		defer func() { _ = mounts.Detach(from) }() // a mount of ours that nobody sees
	}
	return j.copyTree(from, root)
}

func (p *pid1) mountOverlay(j *openJail, root *wire.Root, lowers []*os.File, work string) error {
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	flags := uintptr(unix.MS_NODEV)
	if root.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	// userxattr: without it an overlay in a user namespace cannot delete a lower directory
	// (overlayfs.rst).
	data := "userxattr," + lowerdirs(lowers) + ",upperdir=" + j.upper + ",workdir=" + work
	if p.scratch.xino {
		data = overlay.Xino + data
	}
	if err := mounts.MountAs("overlay", j.target, "/", "overlay", flags, data); err != nil {
		return err
	}
	j.plain = overlay.LikePlain(j.target)
	return nil
}

// lowerdirs is the option that names layers.
func lowerdirs(lowers []*os.File) string {
	names := make([]string, len(lowers))
	for i, f := range lowers {
		// short, and without the characters that overlay's options split at
		names[i] = beneath.FDPath(f)
	}
	return "lowerdir=" + strings.Join(names, ":")
}

// mountCopy copies the topmost layer that is a whole tree: a closed jail's, which was a copy
// itself, or a base. What lies between is part of it already.
func (p *pid1) mountCopy(j *openJail, root *wire.Root, lowers []*os.File) error {
	whole := 0
	for whole < len(root.Lowers)-1 && root.Lowers[whole].Jail == 0 {
		whole++
	}
	for i := range whole {
		if root.Lowers[i].Path != "" {
			return errors.New("this kernel has no overlays for us, and without them a layer on " +
				"disk cannot be used")
		}
	}
	from, err := os.Readlink(beneath.FDPath(lowers[whole]))
	if err != nil {
		return err
	}
	return j.copyTree(from, root)
}

// copyTree makes a plain copy of a tree the root of a jail.
func (j *openJail) copyTree(from string, root *wire.Root) error {
	c := copytree.Copier{From: from, To: j.upper}
	if err := c.Copy(); err != nil {
		return fmt.Errorf("copying the base: %w", err)
	}
	j.plain, j.whole = true, true
	if err := mounts.MountAs(j.upper, j.target, "/", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV}
	if root.ReadOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	// The scratch has no setuid programs, but the root has: passwd(1) is one.
	attr.Attr_clr = unix.MOUNT_ATTR_NOSUID
	err := unix.MountSetattr(unix.AT_FDCWD, j.target, 0, &attr)
	if errors.Is(err, unix.EPERM) { // a scratch on the host's disk that is itself mounted nosuid
		attr.Attr_clr = 0
		err = unix.MountSetattr(unix.AT_FDCWD, j.target, 0, &attr)
	}
	return syserr.Wrap("mount_setattr", j.target, err)
}
