package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/tree"
)

// unpacker fills the root directory of this process from tar archives: one, or the layers of a
// container image. Names are resolved by the kernel, which knows no way out.
type unpacker struct {
	dirs    map[inode]dirAttr // what directories get in the end
	notes   Notes
	entries int
	layer   bool            // ".wh." files delete what lower layers have
	own     map[string]bool // what the current layer has made, with the directories above
	buf     []byte
}

// dirAttr is the last that was said of a directory, under whichever of its names: links may lead to
// it.
type dirAttr struct {
	path   string
	header *tar.Header
}

func newUnpacker() *unpacker {
	return &unpacker{dirs: map[inode]dirAttr{}, buf: make([]byte, holeSize)}
}

// archive reads one archive to its end.
func (u *unpacker) archive(r io.Reader) error {
	u.own = map[string]bool{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive after %d entries: %w", u.entries, err)
		}
		if err := u.entry(h, tr); err != nil {
			return err
		}
		u.entries++
	}
}

// entryPath makes a name absolute. One that would lead out of the tree is refused: the archive is
// damaged or malicious.
func entryPath(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", fmt.Errorf("the archive has an entry %q, which leads out of the tree", name)
	}
	return path.Clean("/" + name), nil
}

func (u *unpacker) entry(h *tar.Header, body io.Reader) error {
	p, err := entryPath(h.Name)
	if err != nil {
		return err
	}
	if u.layer {
		if done, err := u.whiteout(p); done || err != nil {
			return err
		}
	}
	if h.Uid < 0 || h.Gid < 0 || h.Uid >= idCount || h.Gid >= idCount {
		return fmt.Errorf("%s belongs to %d:%d; a jail has ids below %d", p, h.Uid, h.Gid, idCount)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader: // a comment, such as git-archive(1) writes
		return nil
	case tar.TypeChar, tar.TypeBlock:
		u.notes.Devices++
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		err = u.directory(p, h)
	} else {
		err = u.file(p, h, body)
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", p, err)
	}
	for ; u.layer && !u.own[p]; p = path.Dir(p) {
		u.own[p] = true
	}
	return nil
}

func (u *unpacker) directory(p string, h *tar.Header) error {
	var st unix.Stat_t
	err := unix.Lstat(p, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if err := u.clear(p); err != nil {
			return err
		}
		err = unix.ENOENT
	}
	if errors.Is(err, unix.ENOENT) {
		if err = u.parents(p); err == nil {
			err = os.Mkdir(p, 0o700)
		}
	}
	if err != nil {
		return err
	}
	if err := u.note(p, h); err != nil {
		return err
	}
	return u.xattrs(p, h)
}

// note remembers what a directory gets in the end.
func (u *unpacker) note(p string, h *tar.Header) error {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return &os.PathError{Op: "stat", Path: p, Err: err}
	}
	u.dirs[inode{st.Dev, st.Ino}] = dirAttr{p, h}
	return nil
}

// parents makes the directories above p that no entry has told of yet: they belong to root.
func (u *unpacker) parents(p string) error {
	dir := path.Dir(p)
	if _, err := os.Stat(dir); err == nil || dir == "/" {
		return err
	}
	if err := u.parents(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return u.note(dir, &tar.Header{Mode: 0o755})
}

// clear deletes what an entry replaces.
func (u *unpacker) clear(p string) error {
	var st unix.Stat_t
	err := unix.Lstat(p, &st)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	if p == "/" {
		return errors.New("the root is not a directory")
	}
	return tree.Remove(context.Background(), p)
}

func (u *unpacker) file(p string, h *tar.Header, body io.Reader) error {
	target := ""
	if h.Typeflag == tar.TypeLink {
		var err error
		if target, err = entryPath(h.Linkname); err != nil || target == p {
			return err
		}
	}
	if err := u.clear(p); err != nil {
		return err
	}
	if err := u.parents(p); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeLink:
		// Without AT_SYMLINK_FOLLOW: a link to a symbolic link is one, too.
		return wrap("link to "+target, p, unix.Linkat(unix.AT_FDCWD, target, unix.AT_FDCWD, p, 0))
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, p); err != nil {
			return err
		}
	case tar.TypeFifo:
		if err := wrap("mkfifo", p, unix.Mkfifo(p, 0o600)); err != nil {
			return err
		}
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if err := u.content(p, body); err != nil {
			return err
		}
	default:
		return fmt.Errorf("entries of type %q are not supported", h.Typeflag)
	}
	return u.attributes(p, h)
}

// attributes gives a file its owner, mode, attributes and time, in the order in which none undoes
// another.
func (u *unpacker) attributes(p string, h *tar.Header) error {
	if err := os.Lchown(p, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := wrap("chmod", p, unix.Chmod(p, uint32(h.Mode)&0o7777)); err != nil {
			return err
		}
		if err := u.xattrs(p, h); err != nil {
			return err
		}
	}
	return setTime(p, h)
}

// holeSize is the size of blocks that are left out when they are empty: /var/log/lastlog is a file
// of gigabytes with a handful of bytes in it.
const holeSize = 64 << 10

func (u *unpacker) content(p string, body io.Reader) error {
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	var size int64
	for {
		n, rerr := io.ReadFull(body, u.buf)
		if n == holeSize && len(bytes.Trim(u.buf, "\x00")) == 0 {
			_, err = f.Seek(int64(n), io.SeekCurrent)
		} else {
			_, err = f.Write(u.buf[:n])
		}
		size += int64(n)
		if err != nil || errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			break
		}
		if rerr != nil {
			err = rerr
			break
		}
	}
	if err == nil {
		err = f.Truncate(size) // its end may be a hole
	}
	return errors.Join(err, f.Close())
}

func (u *unpacker) xattrs(p string, h *tar.Header) error {
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrRecord)
		switch {
		case !ok:
			continue
		case !keepsXattr(name):
			u.notes.xattr(name)
			continue
		}
		if err := wrap("setting the attribute "+name+" of", p,
			unix.Lsetxattr(p, name, []byte(value), 0)); err != nil {
			return err
		}
	}
	return nil
}

// finish gives directories their attributes: making entries in them would have changed their times.
func (u *unpacker) finish() error {
	for id, d := range u.dirs {
		var st unix.Stat_t
		err := unix.Stat(d.path, &st)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) ||
			errors.Is(err, unix.ELOOP) || err == nil && (inode{st.Dev, st.Ino}) != id {
			delete(u.dirs, id) // a later entry has replaced it
			continue
		}
		if err != nil {
			return &os.PathError{Op: "stat", Path: d.path, Err: err}
		}
		if err := os.Chown(d.path, d.header.Uid, d.header.Gid); err != nil {
			return err
		}
		if err := wrap("chmod", d.path,
			unix.Chmod(d.path, uint32(d.header.Mode)&0o7777)); err != nil {
			return err
		}
	}
	for _, d := range u.dirs {
		if err := setTime(d.path, d.header); err != nil {
			return err
		}
	}
	return nil
}

func setTime(p string, h *tar.Header) error {
	if h.ModTime.IsZero() { // a directory that no entry tells of
		return nil
	}
	flags := 0
	if h.Typeflag == tar.TypeSymlink {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	t, err := unix.TimeToTimespec(h.ModTime)
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{t, t}, flags)
	}
	return wrap("setting the time of", p, err)
}

func wrap(op, p string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: p, Err: err}
}
