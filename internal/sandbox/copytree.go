package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	appletCopyTree  = "copy-tree"
	appletSaveLayer = "save-layer"
)

// CopyTree copies a tree of mapped ids: owners, modes, times, hard links, extended attributes and whiteouts (overlayfs.rst) stay. to must not exist; its parent must.
func (h *Holder) CopyTree(ctx context.Context, from, to string) error {
	source, err := resolve(from)
	if err != nil {
		return err
	}
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return err
	}
	return h.Applet(ctx, appletCopyTree, []string{source, filepath.Join(parent, filepath.Base(to))})
}

// SaveLayer copies the frozen upper directory of a closed jail to a host directory, and tells how many bytes its files have. It may run while later jails
// use the layer. to must not exist; its parent must.
func (h *Holder) SaveLayer(ctx context.Context, jail int, to string) (int64, error) {
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	err = h.Applet(ctx, appletSaveLayer, []string{strconv.Itoa(jail), filepath.Join(parent, filepath.Base(to))}, w)
	w.Close()
	if err != nil {
		return 0, err
	}
	var size int64
	if _, err := fmt.Fscan(r, &size); err != nil {
		return 0, fmt.Errorf("%s: %w", appletSaveLayer, err)
	}
	return size, nil
}

// saveLayerApplet is told the upper directory by PID 1 (see pid1.applet): jails are numbered, and only PID 1 knows where they are.
func saveLayerApplet(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "a layer and a directory are expected, not %q\n", args)
		return 2
	}
	unix.Umask(0)
	c := treeCopier{from: args[0], to: HostRoot + args[1], links: map[inode]string{}, layer: true}
	err := c.copy()
	if err == nil {
		_, err = fmt.Fprintln(os.NewFile(3, "result"), c.bytes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// syncTree has everything on the file system of a directory reach the disk (syncfs(2)).
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return sysErr("syncfs", dir, unix.Syncfs(int(f.Fd())))
}

func copyTreeApplet(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "two directories are expected, not %q\n", args)
		return 2
	}
	unix.Umask(0)
	c := treeCopier{from: HostRoot + args[0], to: HostRoot + args[1], links: map[inode]string{}}
	if err := c.copy(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// inode identifies a file that has several names.
type inode struct{ dev, ino uint64 }

type treeCopier struct {
	from, to string
	links    map[inode]string // the first copy of each
	dirs     []dirTimes       // set last: making entries changes them
	layer    bool             // leave out what overlayfs notes about its own lowers
	bytes    int64            // of regular files
	without  map[string]bool  // what is left out, with all below it
}

type dirTimes struct {
	name string
	st   unix.Stat_t
}

func (c *treeCopier) copy() error {
	err := filepath.WalkDir(c.from, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, c.from)
		if c.without[rel] {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		return c.entry(name, c.to+rel)
	})
	if err != nil {
		return err
	}
	for i := len(c.dirs) - 1; i >= 0; i-- {
		if err := setTimes(c.dirs[i].name, &c.dirs[i].st); err != nil {
			return err
		}
	}
	return nil
}

// entry copies one file of any type, without its children.
func (c *treeCopier) entry(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return sysErr("stat", from, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := c.links[id]; ok {
			return os.Link(first, to)
		}
		c.links[id] = to
	}
	if err := c.create(from, to, kind, &st); err != nil {
		return err
	}
	if err := unix.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return sysErr("chown", to, err)
	}
	if kind != unix.S_IFLNK {
		// After chown, which takes the setuid and setgid bits away.
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return sysErr("chmod", to, err)
		}
	}
	if kind == unix.S_IFREG {
		c.bytes += st.Size
	}
	if err := c.copyXattrs(from, to); err != nil {
		return err
	}
	if kind == unix.S_IFDIR {
		c.dirs = append(c.dirs, dirTimes{to, st})
		return nil
	}
	return setTimes(to, &st)
}

func (c *treeCopier) create(from, to string, kind uint32, st *unix.Stat_t) error {
	switch kind {
	case unix.S_IFDIR:
		return sysErr("mkdir", to, unix.Mkdir(to, 0o700))
	case unix.S_IFREG:
		return copyContent(from, to)
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	return sysErr("mknod", to, unix.Mknod(to, st.Mode, int(st.Rdev)))
}

func copyContent(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // copy_file_range(2), where the file systems can
	return errors.Join(err, out.Close())
}

func setTimes(name string, st *unix.Stat_t) error {
	return sysErr("utimensat", name, unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW))
}

// overlayNotes are attributes that are true only where the upper directory was made (overlayfs.rst).
var overlayNotes = []string{"user.overlay.origin", "user.overlay.uuid", "user.overlay.impure", "user.overlay.nlink"}

func (c *treeCopier) copyXattrs(from, to string) error {
	names := make([]byte, 64<<10) // the kernel's own limit (XATTR_LIST_MAX)
	n, err := unix.Llistxattr(from, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return sysErr("listxattr", from, err)
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" || c.layer && slices.Contains(overlayNotes, name) {
			continue
		}
		size, err := unix.Lgetxattr(from, name, value)
		if err != nil {
			return sysErr("getxattr "+name, from, err)
		}
		if err := unix.Lsetxattr(to, name, value[:size], 0); err != nil {
			return sysErr("setxattr "+name, to, err)
		}
	}
	return nil
}
