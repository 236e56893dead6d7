package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/ctxio"
	"nsbuild/internal/tree"
)

// xattrRecord begins the key of a PAX record that is an extended attribute; GNU tar's and bsdtar's,
// too.
const xattrRecord = "SCHILY.xattr."

// keepsXattr tells whether an extended attribute belongs to a tree: what users and packages set.
// What overlayfs notes, and labels of a host's policy, do not.
func keepsXattr(name string) bool {
	if strings.HasPrefix(name, "user.") {
		return !strings.HasPrefix(name, "user.overlay.")
	}
	return name == "security.capability" || name == "system.posix_acl_access" ||
		name == "system.posix_acl_default"
}

// packer writes a tree as a tar archive. It opens each directory beneath its parent and follows no
// link.
type packer struct {
	ctx context.Context
	w   *tar.Writer
	// owner translates the ids of a file; what it refuses belongs to ids that a jail does not have.
	owner func(name string, uid, gid uint32) (int, int, error)
	chain *tree.Chain      // the way down: what is mounted in the tree is left out
	links map[inode]string // the first name of each file that has several
	notes Notes
}

type inode struct{ dev, ino uint64 }

// Notes count what an archive or a tree cannot take over.
type Notes struct {
	Devices int            `json:",omitempty"` // device nodes: a jail has its own
	Sockets int            `json:",omitempty"` // end with the process that made them
	Mounts  []string       `json:",omitempty"` // directories with another file system on them
	Xattrs  map[string]int `json:",omitempty"` // attributes of the host's own, by name
}

func (n *Notes) xattr(name string) {
	if n.Xattrs == nil {
		n.Xattrs = map[string]int{}
	}
	n.Xattrs[name]++
}

// pack writes the tree below an open directory.
func pack(ctx context.Context, w io.Writer, root *os.File, owner func(string, uint32, uint32) (
	int, int, error)) (Notes, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		return Notes{}, &os.PathError{Op: "stat", Path: root.Name(), Err: err}
	}
	chain, err := tree.From(int(root.Fd()))
	if err != nil {
		return Notes{}, &os.PathError{Op: "open", Path: root.Name(), Err: err}
	}
	defer chain.Close()
	p := &packer{ctx: ctx, w: tar.NewWriter(w), owner: owner, chain: chain,
		links: map[inode]string{}}
	err = p.dir("", &st)
	return p.notes, errors.Join(err, p.w.Close())
}

// dir writes the directory that the chain is in, and all that is below it, sorted by name.
func (p *packer) dir(name string, st *unix.Stat_t) error {
	if err := p.dirHeader(name, st, p.chain.Fd()); err != nil {
		return err
	}
	names, err := namesIn(p.chain.Fd())
	if err != nil {
		return &os.PathError{Op: "reading", Path: "/" + name, Err: err}
	}
	for _, n := range names {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		if err := p.entry(n, path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) dirHeader(name string, st *unix.Stat_t, fd int) error {
	h, err := p.header(name, st, fd)
	if err != nil {
		return err
	}
	h.Typeflag, h.Name = tar.TypeDir, "./"
	if name != "" {
		h.Name += name + "/"
	}
	if err := p.w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// namesIn lists a directory in the order of the names.
func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// enter writes a directory, unless something is mounted on it.
func (p *packer) enter(base, name string, st *unix.Stat_t) error {
	err := p.chain.Enter(base)
	if errors.Is(err, tree.ErrMounted) {
		p.notes.Mounts = append(p.notes.Mounts, "/"+name)
		return p.dirHeader(name, st, -1)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: "/" + name, Err: err}
	}
	var now unix.Stat_t
	if err := unix.Fstat(p.chain.Fd(), &now); err != nil {
		return &os.PathError{Op: "stat", Path: "/" + name, Err: err}
	}
	if err := p.dir(name, &now); err != nil {
		return err
	}
	if err := p.chain.Leave(); err != nil {
		return &os.PathError{Op: "leaving", Path: "/" + name, Err: err}
	}
	return nil
}

// errTooDeep is about what an archive could hold, but nobody could unpack.
var errTooDeep = fmt.Errorf(
	"its path is longer than the %d bytes that the kernel takes: no archive can be made of it",
	unix.PathMax)

// entry writes one file of any type.
func (p *packer) entry(base, name string) error {
	parent := p.chain.Fd()
	if len(name) >= unix.PathMax {
		return fmt.Errorf("/%s…: %w", name[:200], errTooDeep)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: "/" + name, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	id := inode{st.Dev, st.Ino}
	if first, ok := p.links[id]; ok && kind != unix.S_IFDIR {
		h, err := p.header(name, &st, -1)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeLink, "./"+first
		return p.write(h, nil)
	}
	if kind != unix.S_IFDIR && kind != unix.S_IFSOCK && st.Nlink > 1 {
		p.links[id] = name
	}
	switch kind {
	case unix.S_IFDIR:
		return p.enter(base, name, &st)
	case unix.S_IFREG:
		return p.open(parent, base, name, &st)
	case unix.S_IFSOCK:
		p.notes.Sockets++
		return nil
	}
	h, err := p.header(name, &st, -1)
	if err != nil {
		return err
	}
	switch kind {
	case unix.S_IFLNK:
		target, err := readlinkAt(parent, base)
		if err != nil {
			return &os.PathError{Op: "readlink", Path: "/" + name, Err: err}
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, target, 0o777
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(unix.Major(st.Rdev)),
			int64(unix.Minor(st.Rdev))
		if kind == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
	}
	return p.write(h, nil)
}

// open writes a regular file, through a descriptor of just what was looked at.
func (p *packer) open(parent int, base, name string, st *unix.Stat_t) error {
	fd, err := unix.Openat(parent, base,
		unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/" + name, Err: err}
	}
	f := os.NewFile(uintptr(fd), "/"+name)
	defer f.Close()
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return &os.PathError{Op: "stat", Path: "/" + name, Err: err}
	}
	if now.Mode&unix.S_IFMT != st.Mode&unix.S_IFMT {
		return fmt.Errorf("/%s has become another file while it was read", name)
	}
	h, err := p.header(name, &now, fd)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, now.Size
	return p.write(h, f)
}

func (p *packer) write(h *tar.Header, body io.Reader) error {
	h.Name = "./" + h.Name
	err := p.w.WriteHeader(h)
	if err == nil && body != nil {
		var n int64
		n, err = io.Copy(p.w, io.LimitReader(ctxio.NewReader(p.ctx, body), h.Size))
		if err == nil && n < h.Size {
			err = fmt.Errorf("it has become shorter while it was read")
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// header is what all types have in common. fd is -1 for those that have no attributes.
func (p *packer) header(name string, st *unix.Stat_t, fd int) (*tar.Header, error) {
	uid, gid, err := p.owner("/"+name, st.Uid, st.Gid)
	if err != nil {
		return nil, err
	}
	h := &tar.Header{Name: name, Mode: int64(st.Mode & 0o7777), Uid: uid, Gid: gid,
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX}
	if fd >= 0 {
		err = p.xattrs(h, fd)
	}
	return h, err
}

func (p *packer) xattrs(h *tar.Header, fd int) error {
	list := make([]byte, 64<<10) // the kernel's own limit, XATTR_LIST_MAX
	n, err := unix.Flistxattr(fd, list)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return &os.PathError{Op: "listing the attributes of", Path: "/" + h.Name, Err: err}
	}
	for key := range strings.SplitSeq(strings.TrimRight(string(list[:max(n, 0)]), "\x00"), "\x00") {
		switch {
		case key == "" || strings.HasPrefix(key, "user.overlay."):
			continue
		case !keepsXattr(key):
			p.notes.xattr(key)
			continue
		}
		value := make([]byte, 64<<10)
		size, err := unix.Fgetxattr(fd, key, value)
		if err != nil {
			return &os.PathError{Op: "reading the attribute " + key + " of", Path: "/" + h.Name,
				Err: err}
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+key] = string(value[:size])
	}
	return nil
}

func readlinkAt(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
