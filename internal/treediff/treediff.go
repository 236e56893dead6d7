// Package treediff says what differs between two trees: which names were made, deleted or changed,
// and what of each. It knows nothing of times, which a build changes wherever it comes by.
//
// The trees are hostile, but nobody writes to them meanwhile. What is done with what it says is
// left to internal/keptroot.
package treediff

import (
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

// What became of a name.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"
)

// Change is a name that is not as it was. Of a directory that was deleted only its own name is
// told.
type Change struct {
	Path   string `json:"path"` // from the trees' tops, without a slash at the beginning
	Change string `json:"change"`
	Type   string `json:"type"` // as find(1) has it: f, d, l, p, s, c, b
	// What was changed: type, mode, owner, size, content, target, device.
	What   []string `json:"what,omitempty"`
	Before *File    `json:"before,omitempty"`
	After  *File    `json:"after,omitempty"`
}

// File is what a name stood or stands for.
type File struct {
	Type   string `json:"type"`
	Mode   string `json:"mode"` // in octal digits
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Size   int64  `json:"size"`
	Target string `json:"target,omitempty"` // of a link
	rdev   uint64
}

// Trees are what is compared.
type Trees struct {
	Before, After string
	// Written is a tree that has every name which may differ, with all above it: where After is an
	// overlay, its upper directory. "" is After itself.
	Written string
	Skip    []string // what is not looked at, with all below it; paths as in Change
}

// Compare calls tell for each change, in no order.
func Compare(ctx context.Context, t Trees, tell func(Change) error) error {
	c := comparison{t: t, tell: tell}
	walked := t.Written
	if walked == "" {
		walked = t.After
	}
	if err := c.deletedIn(""); err != nil {
		return err
	}
	return tree.Walk(ctx, walked, &c)
}

type comparison struct {
	t    Trees
	tell func(Change) error
	made int // how many of the directories that the walk is in are new
	buf  [2][]byte
}

// Visit compares a name.
func (c *comparison) Visit(e *tree.Entry) (bool, error) {
	name := strings.TrimPrefix(e.Path, "/")
	if slices.Contains(c.t.Skip, name) {
		return false, nil
	}
	after, err := look(path.Join(c.t.After, name))
	if errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.ENOENT) {
		return false, nil // deeper than a path can say; or deleted, which was told above it
	}
	if err != nil {
		return false, err
	}
	var before *File
	if c.made == 0 {
		if before, err = look(path.Join(c.t.Before, name)); errors.Is(err, unix.ENOENT) {
			before, err = nil, nil
		}
		if err != nil {
			return false, err
		}
	}
	isDir := after.Type == "d"
	switch {
	case before == nil:
		err = c.tell(Change{Path: name, Change: Created, Type: after.Type, After: after})
	default:
		var what []string
		if what, err = c.differ(name, before, after); err == nil && len(what) > 0 {
			err = c.tell(Change{Path: name, Change: Changed, Type: after.Type, What: what,
				Before: before, After: after})
		}
	}
	if err != nil || !isDir || !e.IsDir() {
		return false, err
	}
	if before == nil || before.Type != "d" || c.made > 0 {
		c.made++
		return true, nil
	}
	return true, c.deletedIn(name)
}

// Leave counts the directories that the walk is in.
func (c *comparison) Leave(int, string) error {
	if c.made > 0 {
		c.made--
	}
	return nil
}

// deletedIn tells what a directory of both trees no longer has.
func (c *comparison) deletedIn(dir string) error {
	before, err := names(path.Join(c.t.Before, dir))
	if err != nil {
		return err
	}
	for _, name := range before {
		name = path.Join(dir, name)
		if slices.Contains(c.t.Skip, name) {
			continue
		}
		_, err := look(path.Join(c.t.After, name))
		if !errors.Is(err, unix.ENOENT) {
			if err != nil && !errors.Is(err, unix.ENAMETOOLONG) {
				return err
			}
			continue
		}
		was, err := look(path.Join(c.t.Before, name))
		if err != nil {
			return err
		}
		if err := c.tell(Change{Path: name, Change: Deleted, Type: was.Type,
			Before: was}); err != nil {
			return err
		}
	}
	return nil
}

// names lists a directory.
func names(dir string) ([]string, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// look is what a name stands for.
func look(name string) (*File, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return nil, &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	f := &File{Type: kind(st.Mode), Mode: fmt.Sprintf("%04o", st.Mode&0o7777), UID: st.Uid,
		GID: st.Gid, rdev: uint64(st.Rdev)} //nolint:unconvert // uint32 on other machines
	switch f.Type {
	case "f":
		f.Size = st.Size
	case "l":
		var err error
		if f.Target, err = os.Readlink(name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "f"
	case unix.S_IFDIR:
		return "d"
	case unix.S_IFLNK:
		return "l"
	case unix.S_IFIFO:
		return "p"
	case unix.S_IFSOCK:
		return "s"
	case unix.S_IFCHR:
		return "c"
	}
	return "b"
}

// differ lists what differs of a name that both trees have.
func (c *comparison) differ(name string, before, after *File) (what []string, err error) {
	if before.Type != after.Type {
		return []string{"type"}, nil
	}
	if before.Mode != after.Mode {
		what = append(what, "mode")
	}
	if before.UID != after.UID || before.GID != after.GID {
		what = append(what, "owner")
	}
	switch {
	case before.Size != after.Size:
		what = append(what, "size")
	case before.Target != after.Target:
		what = append(what, "target")
	case before.rdev != after.rdev:
		what = append(what, "device")
	case before.Type == "f":
		same, err := c.sameContent(path.Join(c.t.Before, name), path.Join(c.t.After, name))
		if err != nil {
			return nil, err
		}
		if !same {
			what = append(what, "content")
		}
	}
	return what, nil
}

// sameContent compares two regular files of one size.
func (c *comparison) sameContent(a, b string) (bool, error) {
	var in [2]*os.File
	for i, name := range []string{a, b} {
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return false, err
		}
		defer f.Close()
		in[i] = f
		if c.buf[i] == nil {
			c.buf[i] = make([]byte, 256<<10)
		}
	}
	for {
		n, err := io.ReadFull(in[0], c.buf[0])
		m, errB := io.ReadFull(in[1], c.buf[1])
		if !bytes.Equal(c.buf[0][:n], c.buf[1][:m]) {
			return false, nil
		}
		for _, e := range []error{err, errB} {
			switch {
			case errors.Is(e, io.EOF), errors.Is(e, io.ErrUnexpectedEOF):
				return n == m, nil
			case e != nil:
				return false, e
			}
		}
	}
}
