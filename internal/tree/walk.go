package tree

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Entry is a name in a tree.
type Entry struct {
	Dir  int    // the directory that it is in
	Name string // there
	Path string // from the root on, beginning with a slash; see Walk
	Stat unix.Stat_t
}

// IsDir tells whether it is a directory.
func (e *Entry) IsDir() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// Err is an error about the entry.
func (e *Entry) Err(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: e.Path, Err: err}
}

// Visitor is told what a walk comes by.
type Visitor interface {
	// Visit is told of an entry, and says of a directory whether to go into it.
	Visit(e *Entry) (into bool, err error)
	// Leave is told that all that is in a directory was visited: the root's at the very end.
	Leave(dir int, path string) error
}

// longestPath is how much of a path is kept, for who reads of it: as much as the kernel would take
// at once. A name that lies deeper is known by the directory above it.
const longestPath = unix.PathMax

// Walk visits what is below dir, directories before what they have in them, in the order in which
// they are read. The paths that it tells of are cut when they become longer than the kernel's
// limit.
func Walk(ctx context.Context, dir string, v Visitor) error {
	return walk(ctx, dir, v, false)
}

// WalkLive is Walk in a tree that others change meanwhile: what goes away is left out. Where a
// directory is moved away while the walk is in it, the walk ends with ErrMoved.
func WalkLive(ctx context.Context, dir string, v Visitor) error {
	return walk(ctx, dir, v, true)
}

func walk(ctx context.Context, dir string, v Visitor, live bool) error {
	chain, err := Open(dir)
	if err != nil {
		return err
	}
	defer chain.Close()
	w := &walker{chain: chain, v: v, live: live, frames: []frame{{}}}
	for len(w.frames) > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

type walker struct {
	chain  *Chain
	v      Visitor
	live   bool
	frames []frame // beside the chain's levels
	path   []byte
	spare  []byte // a buffer that no reader has
}

type frame struct {
	reader
	path int // length of the path of the directory above
}

// step visits the next entry, or leaves the directory.
func (w *walker) step() error {
	f := &w.frames[len(w.frames)-1]
	name, _, err := f.next(w.chain.Fd())
	if err != nil {
		return w.fail("reading", err)
	}
	if name == "" {
		return w.leave()
	}
	before := len(w.path)
	e := Entry{Dir: w.chain.Fd(), Name: name}
	if err := unix.Fstatat(e.Dir, name, &e.Stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if w.live && gone(err) {
			return nil
		}
		return &fs.PathError{Op: "stat", Path: string(w.path) + "/" + name, Err: err}
	}
	if len(w.path)+1+len(name) <= longestPath {
		w.path = append(append(w.path, '/'), name...)
	}
	e.Path = string(w.path)
	into, err := w.v.Visit(&e)
	if err == nil && into && e.IsDir() {
		err = w.chain.Enter(name)
		if err == nil {
			w.down(before)
			return nil
		}
		if w.live && gone(err) {
			err = nil
		}
		err = e.Err("entering", err)
	}
	w.path = w.path[:before]
	return err
}

// down begins to read the directory that was entered.
func (w *walker) down(before int) {
	w.frames = append(w.frames, frame{reader: reader{buf: w.spare}, path: before})
	w.spare = nil
	if far := len(w.frames) - 1 - maxOpen; far >= 0 {
		w.frames[far].letGo()
	}
}

func (w *walker) leave() error {
	if err := w.v.Leave(w.chain.Fd(), string(w.path)); err != nil {
		return err
	}
	if err := w.chain.Leave(); err != nil {
		return w.fail("leaving", err)
	}
	last := &w.frames[len(w.frames)-1]
	w.path, w.spare = w.path[:last.path], last.buf
	w.frames = w.frames[:len(w.frames)-1]
	return nil
}

func (w *walker) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: "/" + string(w.path[min(1, len(w.path)):]), Err: err}
}

// gone tells whether something went away, or became something else, while it was looked at.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
