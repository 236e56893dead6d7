// Package copytree copies trees of mapped ids with all that files have. It runs in H: in PID 1,
// where a root is a copy, and in applets. The trees are hostile, and of any depth.
package copytree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/tree"
)

// Copier copies a tree, however deep it is: of either side, a bounded number of directories is
// open.
type Copier struct {
	From, To string
	into     *tree.Chain
	links    *linkTable
	Layer    bool  // leave out what overlayfs notes about its own lowers
	Bytes    int64 // of regular files, on disk
	// Owner, when set, says who owns the copy of what an id owns.
	Owner   func(id int) int
	Without map[string]bool // what is left out, with all below it
	names   []byte          // of extended attributes: the buffers of copyXattrs
	value   []byte
}

// Copy makes To, which must not exist, a copy of From.
func (c *Copier) Copy() (err error) {
	if err := unix.Mkdir(c.To, 0o700); err != nil {
		return syserr.Wrap("mkdir", c.To, err)
	}
	if c.into, err = tree.Open(c.To); err != nil {
		return err
	}
	defer c.into.Close()
	if c.links, err = newLinkTable(filepath.Dir(c.To)); err != nil {
		return err
	}
	err = tree.Walk(context.Background(), c.From, c) // whoever wants it to end kills this process
	return errors.Join(err, c.links.remove())
}

// Visit copies one file of any type. A directory gets its attributes when it is left: making
// entries in it changes its times.
func (c *Copier) Visit(e *tree.Entry) (bool, error) {
	if c.Without[e.Path] {
		return false, nil
	}
	if e.IsDir() {
		err := unix.Mkdirat(c.into.Fd(), e.Name, 0o700)
		if err == nil {
			err = c.into.Enter(e.Name)
		}
		return true, syserr.Wrap("mkdir", e.Path, err)
	}
	if e.Stat.Nlink > 1 {
		return false, c.linked(e)
	}
	return false, c.file(e, c.into.Fd(), e.Name)
}

// Leave gives the copy of a directory its attributes.
func (c *Copier) Leave(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return syserr.Wrap("stat", name, err)
	}
	if err := c.attributes(dir, c.into.Fd(), &st, name); err != nil {
		return err
	}
	return syserr.Wrap("leaving", name, c.into.Leave())
}

// linked copies a file that has several names: the first time into the table, from which all are
// linked.
func (c *Copier) linked(e *tree.Entry) error {
	for {
		err := c.links.link(&e.Stat, c.into.Fd(), e.Name)
		if !errors.Is(err, unix.ENOENT) {
			return syserr.Wrap("link", e.Path, err)
		}
		if err := c.file(e, c.links.fd, c.links.name(&e.Stat)); err != nil {
			return err
		}
	}
}

// file makes a copy of a file that is no directory.
func (c *Copier) file(e *tree.Entry, dir int, name string) error {
	st := &e.Stat
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return c.regular(e, dir, name)
	case unix.S_IFLNK:
		target, err := readlinkAt(e.Dir, e.Name)
		if err == nil {
			err = unix.Symlinkat(target, dir, name)
		}
		if err != nil {
			return syserr.Wrap("symlink", e.Path, err)
		}
	default:
		if err := unix.Mknodat(dir, name, st.Mode, int(st.Rdev)); err != nil {
			return syserr.Wrap("mknod", e.Path, err)
		}
	}
	uid, gid := c.owners(st)
	if err := unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return syserr.Wrap("chown", e.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		// After chown, which takes the setuid and setgid bits away.
		if err := unix.Fchmodat(dir, name, st.Mode&0o7777, 0); err != nil {
			return syserr.Wrap("chmod", e.Path, err)
		}
	}
	if err := c.copyXattrs(named(e.Dir, e.Name), named(dir, name), e.Path); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return syserr.Wrap("utimensat", e.Path,
		unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

func (c *Copier) regular(e *tree.Entry, dir int, name string) error {
	const flags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(e.Dir, e.Name, unix.O_RDONLY|flags, 0)
	if err != nil {
		return syserr.Wrap("open", e.Path, err)
	}
	in := os.NewFile(uintptr(fd), e.Path)
	defer in.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return syserr.Wrap("stat", e.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s has become another file while it was copied", e.Path)
	}
	made, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|flags, 0o600)
	if err != nil {
		return syserr.Wrap("create", e.Path, err)
	}
	out := os.NewFile(uintptr(made), e.Path)
	err = copyContent(in, out, &st)
	if err == nil {
		err = c.attributes(fd, made, &st, e.Path)
	}
	c.Bytes += min(st.Size, st.Blocks*512)
	return errors.Join(err, out.Close())
}

// attributes gives an open file or directory the owner, mode, extended attributes and times of
// another.
func (c *Copier) attributes(from, to int, st *unix.Stat_t, name string) error {
	uid, gid := c.owners(st)
	if err := unix.Fchown(to, uid, gid); err != nil {
		return syserr.Wrap("chown", name, err)
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return syserr.Wrap("chmod", name, err)
	}
	if err := c.copyXattrs(opened(from), opened(to), name); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return syserr.Wrap("utimensat", name, unix.UtimesNanoAt(to, "", times, unix.AT_EMPTY_PATH))
}

// owners are those of a copy.
func (c *Copier) owners(st *unix.Stat_t) (uid, gid int) {
	uid, gid = int(st.Uid), int(st.Gid)
	if c.Owner != nil {
		uid, gid = c.Owner(uid), c.Owner(gid)
	}
	return uid, gid
}

func readlinkAt(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	return string(buf[:max(n, 0)]), err
}

// overlayNotes are attributes that are true only where the upper directory was made
// (overlayfs.rst).
var overlayNotes = []string{"user.overlay.origin", "user.overlay.uuid", "user.overlay.impure",
	"user.overlay.nlink"}

func (c *Copier) copyXattrs(from, to attributed, shown string) error {
	if c.names == nil {
		// the kernel's own limits (XATTR_LIST_MAX)
		c.names, c.value = make([]byte, 64<<10), make([]byte, 64<<10)
	}
	n, err := from.list(c.names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return syserr.Wrap("listxattr", shown, err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(c.names[:n]), "\x00"), "\x00") {
		if name == "" || c.Layer && slices.Contains(overlayNotes, name) {
			continue
		}
		size, err := from.get(name, c.value)
		if err != nil {
			return syserr.Wrap("getxattr "+name, shown, err)
		}
		if err := to.set(name, c.value[:size]); err != nil {
			return syserr.Wrap("setxattr "+name, shown, err)
		}
	}
	return nil
}

// attributed is something with extended attributes: a descriptor, or what a path leads to.
type attributed struct {
	fd   int
	path string
}

func opened(fd int) attributed { return attributed{fd: fd} }

// named is a file that cannot be opened without harm. The path does not follow it, and it is short.
func named(dir int, name string) attributed {
	return attributed{path: fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)}
}

func (a attributed) list(buf []byte) (int, error) {
	if a.path != "" {
		return unix.Llistxattr(a.path, buf)
	}
	return unix.Flistxattr(a.fd, buf)
}

func (a attributed) get(name string, buf []byte) (int, error) {
	if a.path != "" {
		return unix.Lgetxattr(a.path, name, buf)
	}
	return unix.Fgetxattr(a.fd, name, buf)
}

func (a attributed) set(name string, value []byte) error {
	if a.path != "" {
		return unix.Lsetxattr(a.path, name, value, 0)
	}
	return unix.Fsetxattr(a.fd, name, value, 0)
}

// Sync has everything on the file system of a directory reach the disk (syncfs(2)).
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return syserr.Wrap("syncfs", dir, unix.Syncfs(int(f.Fd())))
}
