package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// scratchMount is where H has its tmpfs for what is thrown away.
const scratchMount = "/scratch"

// openScratch decides where upper directories go. Kernels differ in what an overlay in a user namespace can do (none at all before 5.11; on a tmpfs only since 6.6), so the first
// kind counts that behaves.
func (p *pid1) openScratch(spec *HolderSpec) error {
	data := "mode=0755"
	if spec.ScratchSize > 0 {
		data += ",size=" + strconv.FormatInt(spec.ScratchSize, 10)
	}
	if err := mount("tmpfs", scratchMount, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return err
	}
	type choice struct {
		kind Scratch
		dir  string
	}
	var choices []choice
	if spec.ScratchDir != "" {
		choices = append(choices, choice{ScratchDisk, HostRoot + spec.ScratchDir})
	} else {
		choices = append(choices, choice{ScratchTmpfs, scratchMount})
		if spec.FallbackDir != "" {
			choices = append(choices, choice{ScratchDisk, HostRoot + spec.FallbackDir})
		}
	}
	p.kind, p.scratch = ScratchCopy, scratchMount
	if spec.ScratchDir != "" {
		p.scratch = HostRoot + spec.ScratchDir
	}
	if spec.Copy {
		return nil
	}
	for _, c := range choices {
		ok, err := p.overlays(spec.Known, c.dir)
		if err != nil {
			return err
		}
		if ok {
			p.kind, p.scratch = c.kind, c.dir
			if spec.ScratchDir == "" && c.kind == ScratchDisk {
				// Other holders of the caller's have the same, and number their jails as we do.
				p.scratch, err = os.MkdirTemp(c.dir, "upper-")
			}
			return err
		}
	}
	return nil
}

// overlays tells whether overlays behave with their upper directory below dir, from what is known or by trying.
func (p *pid1) overlays(known map[string]bool, dir string) (bool, error) {
	key := "tmpfs"
	if dir != scratchMount {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return false, sysErr("stat", strings.TrimPrefix(dir, HostRoot), err)
		}
		key = fmt.Sprintf("device %d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	}
	if ok, found := known[key]; found {
		return ok, nil
	}
	ok, err := probeOverlay(dir)
	if err == nil {
		if p.found == nil {
			p.found = map[string]bool{}
		}
		p.found[key] = ok
	}
	return ok, err
}

// probeOverlay tells whether an overlay with its upper directory below dir can do what builds do: replace a directory of a lower layer, and rename.
func probeOverlay(dir string) (ok bool, err error) {
	probe, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return false, err
	}
	merged := path.Join(probe, "merged")
	for _, name := range []string{"lower/old/inside", "upper", "work", "merged"} {
		if err := os.MkdirAll(path.Join(probe, name), 0o755); err != nil {
			return false, err
		}
	}
	data := fmt.Sprintf("userxattr,lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", probe, probe, probe)
	if mount("overlay", merged, "overlay", unix.MS_NODEV, data) == nil {
		ok = behaves(merged)
		if err := unmountTree(merged); err != nil {
			return false, err
		}
	}
	return ok, os.RemoveAll(probe)
}

func behaves(merged string) bool {
	old, other := path.Join(merged, "old"), path.Join(merged, "other")
	if errors.Join(os.RemoveAll(old), os.Mkdir(old, 0o755)) != nil {
		return false
	}
	entries, err := os.ReadDir(old)
	return err == nil && len(entries) == 0 && os.Rename(old, other) == nil && os.Remove(other) == nil
}

// mountLayers mounts a throwaway root: an overlay, or a copy where there are no overlays.
func (p *pid1) mountLayers(j *openJail, root *Root, trees []*os.File) error {
	var lowers []*os.File
	for _, l := range root.Lowers {
		dir := HostRoot + l.Path
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
			if err := attachTree(trees, root.Tree, unix.AT_FDCWD, dir, l.Path); err != nil {
				return err
			}
		}
		f, err := openPath(dir)
		if err != nil {
			return err
		}
		defer f.Close()
		lowers = append(lowers, f)
	}
	own := path.Join(p.scratch, strconv.Itoa(j.id))
	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}
	j.upper = path.Join(own, "upper")
	if p.kind == ScratchCopy {
		return p.mountCopy(j, root, lowers)
	}
	return mountOverlay(j, root, lowers, path.Join(own, "work"))
}

func mountOverlay(j *openJail, root *Root, lowers []*os.File, work string) error {
	for _, dir := range []string{j.upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	// The upper directory is what the jail sees of "/" itself: it looks as the tree below does.
	var st unix.Stat_t
	if err := unix.Fstat(int(lowers[0].Fd()), &st); err != nil {
		return sysErr("stat", "the root's tree", err)
	}
	if err := os.Chown(j.upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(j.upper, st.Mode&0o7777); err != nil {
		return sysErr("chmod", j.upper, err)
	}
	flags := uintptr(unix.MS_NODEV)
	if root.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	names := make([]string, len(lowers))
	for i, f := range lowers {
		names[i] = fdPath(f) // short, and without the characters that overlay's options split at
	}
	// userxattr: without it an overlay in a user namespace cannot delete a lower directory (overlayfs.rst).
	data := "userxattr,lowerdir=" + strings.Join(names, ":") + ",upperdir=" + j.upper + ",workdir=" + work
	return mountAs("overlay", j.target, "/", "overlay", flags, data)
}

// mountCopy copies the topmost layer that is a whole tree: a closed jail's, which was a copy itself, or a base. What lies between is part of it already.
func (p *pid1) mountCopy(j *openJail, root *Root, lowers []*os.File) error {
	whole := 0
	for whole < len(root.Lowers)-1 && root.Lowers[whole].Jail == 0 {
		whole++
	}
	for i := range whole {
		if root.Lowers[i].Path != "" {
			return errors.New("this kernel has no overlays for us, and without them a layer on disk cannot be used")
		}
	}
	from, err := os.Readlink(fdPath(lowers[whole]))
	if err != nil {
		return err
	}
	c := treeCopier{from: from, to: j.upper}
	if err := c.copy(); err != nil {
		return fmt.Errorf("copying the base: %w", err)
	}
	if err := mountAs(j.upper, j.target, "/", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	attr := uint64(unix.MOUNT_ATTR_NODEV)
	if root.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	return setAttr(unix.AT_FDCWD, j.target, attr, false)
}
