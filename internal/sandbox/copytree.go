package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const appletCopyTree = "copy-tree"

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
}

type dirTimes struct {
	name string
	st   unix.Stat_t
}

func (c *treeCopier) copy() error {
	err := filepath.WalkDir(c.from, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return c.entry(name, c.to+strings.TrimPrefix(name, c.from))
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
	if err := copyXattrs(from, to); err != nil {
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

func copyXattrs(from, to string) error {
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
		if name == "" {
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
