package unpack

import (
	"archive/tar"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/deb"
)

// entry is one path of a package, as dpkg records it.
type entry struct {
	path string // "/." for the root, else absolute and clean
	dir  bool
	md5  string // of a regular file, when it was asked for
}

// unpacked is what is known of a package after its extraction.
type unpacked struct {
	item    Item
	control paragraph
	text    string
	files   []deb.ControlFile // of the control member

	conffiles []conffile
	entries   []entry
	bytes     int64
}

// inexactError marks what dpkg might do in another way, so that dpkg must do it.
type inexactError struct{ reason string }

func (e *inexactError) Error() string { return e.reason }

// dirAttr is what a directory is to look like in the end.
type dirAttr struct {
	rank     int
	mode     uint32
	uid, gid int
	sec      int64
}

// tree is the tree being filled. Its methods may be called by several workers.
type tree struct {
	// loose lets a file replace another: dpkg will unpack everything once more.
	loose bool
	// links are those that were made beforehand (Plan.Links). A package may bring the same ones, as
	// noble's base-files does.
	links map[string]string

	mu     sync.Mutex
	dirs   map[string]dirAttr
	owners map[string]string // path of each non-directory → package
}

func newTree(plan Plan) *tree {
	return &tree{loose: !plan.Database, links: plan.Links, dirs: map[string]dirAttr{},
		owners: map[string]string{}}
}

// extract reads one package from r and writes its files. buf is scratch space of the worker.
func (t *tree) extract(r io.Reader, item Item, buf []byte) (*unpacked, error) {
	d, err := deb.NewReader(r, deb.Limits{})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	text := string(d.ControlFile("control").Body)
	p, err := parseControl(text)
	if err != nil {
		return nil, err
	}
	if p.get("Package") != item.Name {
		return nil, fmt.Errorf("it is package %q, not %q as the index says", p.get("Package"),
			item.Name)
	}
	u := &unpacked{item: item, control: p, text: text, files: d.Control()}
	if u.conffiles, err = readConffiles(d.ControlFile("conffiles")); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, c := range u.conffiles {
		wanted[c.path] = true
	}
	hashAll := d.ControlFile("md5sums") == nil
	tr, err := d.Data()
	if err != nil {
		return nil, err
	}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return u, nil
		}
		if err != nil {
			return nil, fmt.Errorf("data.tar: %w", err)
		}
		e := entry{path: path.Clean("/" + h.Name), dir: h.Typeflag == tar.TypeDir}
		if e.path == "/" {
			e.path = "/."
		}
		if e.md5, err = t.entry(tr, h, e.path, item, hashAll || wanted[e.path], buf); err != nil {
			return nil, err
		}
		u.entries = append(u.entries, e)
		u.bytes += h.Size
	}
}

func (t *tree) entry(tr *tar.Reader, h *tar.Header, p string, item Item, hash bool, buf []byte) (
	sum string, err error) {
	mode := uint32(h.Mode) & 0o7777
	sec := h.ModTime.Unix()
	if h.Typeflag == tar.TypeDir {
		return "", t.directory(p, dirAttr{item.Rank, mode, h.Uid, h.Gid, sec})
	}
	if err := t.claim(p, item.Name); err != nil {
		return "", err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return t.regular(tr, h, p, mode, hash, buf)
	case tar.TypeLink:
		target := path.Clean("/" + h.Linkname)
		if err := t.create(p, func() error {
			return unix.Linkat(unix.AT_FDCWD, target, unix.AT_FDCWD, p, 0)
		}); err != nil {
			return "", err
		}
		if hash {
			return hashFile(p)
		}
		return "", nil
	case tar.TypeSymlink:
		if t.links[p] == h.Linkname {
			break // it only lacks the package's owner and time
		}
		if err := t.create(p, func() error { return unix.Symlink(h.Linkname, p) }); err != nil {
			return "", err
		}
	case tar.TypeFifo:
		if err := t.create(p, func() error { return unix.Mkfifo(p, mode) }); err != nil {
			return "", err
		}
	case tar.TypeChar, tar.TypeBlock:
		kind := uint32(unix.S_IFCHR)
		if h.Typeflag == tar.TypeBlock {
			kind = unix.S_IFBLK
		}
		dev := int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
		if err := t.create(p, func() error { return unix.Mknod(p, kind|mode, dev) }); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("%s: tar entries of type %q are not supported", p, h.Typeflag)
	}
	if err := os.Lchown(p, h.Uid, h.Gid); err != nil {
		return "", err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(p, mode); err != nil {
			return "", &os.PathError{Op: "chmod", Path: p, Err: err}
		}
	}
	return "", setTime(p, sec)
}

func (t *tree) regular(tr *tar.Reader, h *tar.Header, p string, mode uint32, hash bool,
	buf []byte) (sum string, err error) {
	fd := -1
	err = t.create(p, func() (err error) {
		fd, err = unix.Open(p,
			unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		return err
	})
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := unix.Close(fd); err == nil && cerr != nil {
			err = &os.PathError{Op: "close", Path: p, Err: cerr}
		}
	}()
	digest := md5.New()
	for left := h.Size; left > 0; {
		n, rerr := io.ReadFull(tr, buf[:min(int64(len(buf)), left)])
		if rerr != nil {
			return "", fmt.Errorf("data.tar: %s: %w", p, rerr)
		}
		if hash {
			digest.Write(buf[:n])
		}
		if err := writeAll(fd, buf[:n]); err != nil {
			return "", &os.PathError{Op: "write", Path: p, Err: err}
		}
		left -= int64(n)
	}
	if h.Uid != 0 || h.Gid != 0 {
		if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
			return "", &os.PathError{Op: "chown", Path: p, Err: err}
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return "", &os.PathError{Op: "chmod", Path: p, Err: err}
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if err := unix.Fsetxattr(fd, name, []byte(v), 0); err != nil {
				return "", &os.PathError{Op: "setting the attribute " + name + " of", Path: p,
					Err: err}
			}
		}
	}
	// By its path: futimes(3) needs /proc, which is not in sight here.
	if err := setTime(p, h.ModTime.Unix()); err != nil {
		return "", err
	}
	if !hash {
		return "", nil
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// claim notes who owns a file. dpkg decides a clash by Replaces and by the order of unpacking, so a
// clash is left to it.
func (t *tree) claim(p, pkg string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other, ok := t.owners[p]; ok && !t.loose {
		return &inexactError{fmt.Sprintf("%s is in %s and in %s", p, other, pkg)}
	}
	t.owners[p] = pkg
	return nil
}

// directory makes a directory, or accepts one, or a link to one, that is there. Its attributes are
// set in the end, by the package with the lowest rank.
func (t *tree) directory(p string, a dirAttr) error {
	t.mu.Lock()
	old, known := t.dirs[p]
	if !known || a.rank < old.rank {
		t.dirs[p] = a
	}
	t.mu.Unlock()
	if known {
		return nil
	}
	err := unix.Mkdir(p, 0o755)
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		err = os.MkdirAll(p, 0o755)
	}
	if errors.Is(err, unix.EEXIST) {
		st, serr := os.Stat(p)
		if serr == nil && st.IsDir() {
			return nil
		}
		return &inexactError{
			fmt.Sprintf("%s is a directory in one package and something else in another", p)}
	}
	if err != nil {
		return &os.PathError{Op: "mkdir", Path: p, Err: err}
	}
	return nil
}

// finishDirs gives every directory its owner, mode and time. It is called when no worker runs any
// more.
func (t *tree) finishDirs(epoch int64) error {
	dirs, err := t.realDirs()
	if err != nil {
		return err
	}
	for p, a := range dirs {
		if err := os.Lchown(p, a.uid, a.gid); err != nil {
			return err
		}
		if err := unix.Chmod(p, a.mode); err != nil {
			return &os.PathError{Op: "chmod", Path: p, Err: err}
		}
		if err := setTime(p, min(a.sec, epoch)); err != nil {
			return err
		}
	}
	return nil
}

// realDirs are the directories by their real paths. Where links stand for directories, as those of
// merged /usr do, packages have one directory by several names; then, too, the lowest rank counts.
func (t *tree) realDirs() (map[string]dirAttr, error) {
	dirs := make(map[string]dirAttr, len(t.dirs))
	resolved := map[string]string{"/": "/"}
	for _, p := range slices.Sorted(maps.Keys(t.dirs)) { // parents first
		parent, ok := resolved[path.Dir(p)]
		if !ok {
			var err error
			if parent, err = filepath.EvalSymlinks(path.Dir(p)); err != nil {
				return nil, err
			}
		}
		st, err := os.Lstat(p)
		if err != nil {
			return nil, err
		}
		if st.Mode()&os.ModeSymlink != 0 { // it keeps its own attributes
			if resolved[p], err = filepath.EvalSymlinks(p); err != nil {
				return nil, err
			}
			continue
		}
		where := path.Join(parent, path.Base(p))
		resolved[p] = where
		if old, known := dirs[where]; !known || t.dirs[p].rank < old.rank {
			dirs[where] = t.dirs[p]
		}
	}
	return dirs, nil
}

// create runs f, which makes p, and once more with p's parent directories made when they were
// missing.
func (t *tree) create(p string, f func() error) error {
	err := f()
	if errors.Is(err, unix.ENOENT) {
		if merr := os.MkdirAll(path.Dir(p), 0o755); merr != nil {
			return merr
		}
		err = f()
	}
	if errors.Is(err, unix.EEXIST) && t.loose {
		if err = unix.Unlink(p); err == nil {
			err = f()
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return &inexactError{
			fmt.Sprintf("%s is there already, by another name or from another package", p)}
	}
	if err != nil {
		return &os.PathError{Op: "create", Path: p, Err: err}
	}
	return nil
}

func setTime(p string, sec int64) error {
	// which is too far away for 32-bit machines, maybe
	ts, err := unix.TimeToTimespec(time.Unix(sec, 0))
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &os.PathError{Op: "setting the time of", Path: p, Err: err}
	}
	return nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func hashFile(p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
