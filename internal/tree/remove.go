package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Remove deletes a file or a tree, as os.RemoveAll does. One that does not exist is no error. What
// can be deleted is, also when something else cannot be; the error is the first one.
//
// Directories that lie deep are moved up into the top one before they are emptied, so that the
// deletion of a deep tree needs no way back. The order of what is deleted is therefore any.
func Remove(ctx context.Context, name string) error {
	parent, err := unix.Open(filepath.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: filepath.Dir(name), Err: err}
	}
	defer unix.Close(parent)
	base := filepath.Base(name)
	if err := unlink(parent, base); err == nil || !errors.Is(err, errFull) {
		return named(name, err)
	}
	top, err := openDir(parent, base)
	if err != nil {
		return named(name, err)
	}
	defer unix.Close(top)
	r := &remover{ctx: ctx, top: top}
	if err := r.all(); err != nil {
		return named(name, err)
	}
	return named(name, unlink(parent, base))
}

func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("deleting %s: %w", name, err)
}

// remover empties the directory top.
type remover struct {
	ctx   context.Context
	top   int
	moved int // directories that were moved up: their new names
	first error
	names [maxOpen + 1]reader // of the directories that are being emptied, by their depth
}

// all goes over the top directory until nothing is left in it, or nothing of it can be deleted.
func (r *remover) all() error {
	for {
		found, deleted, err := r.empty(r.top, 0)
		if err != nil {
			return err
		}
		if found == 0 || deleted == 0 {
			return r.first
		}
		r.first = nil // it is tried again, and met again if it stays
	}
}

// empty deletes what is in a directory, and counts what it found and what it deleted. It calls
// itself for the directories in it, down to a depth of maxOpen.
func (r *remover) empty(dir, depth int) (found, deleted int, err error) {
	names := &r.names[depth]
	if err := names.rewind(dir); err != nil {
		return 0, 0, err
	}
	for {
		if r.ctx.Err() != nil {
			return found, deleted, context.Cause(r.ctx)
		}
		name, kind, err := names.next(dir)
		if err != nil || name == "" {
			return found, deleted, err
		}
		found++
		gone, err := r.entry(dir, name, kind, depth)
		if err != nil {
			return found, deleted, err
		}
		if gone {
			deleted++
		}
	}
}

// entry deletes an entry of a directory, or moves it up. What cannot be done is noted; the error is
// the end of all.
func (r *remover) entry(dir int, name string, kind byte, depth int) (bool, error) {
	err := unlinkKind(dir, name, kind)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, errFull) {
		r.note(name, err)
		return false, nil
	}
	if depth >= maxOpen {
		err = r.moveUp(dir, name)
		if err != nil {
			r.note(name, err)
		}
		return err == nil, nil
	}
	sub, err := openDir(dir, name)
	if err != nil {
		r.note(name, err)
		return false, nil
	}
	defer unix.Close(sub)
	_, deleted, err := r.empty(sub, depth+1)
	if err != nil {
		return false, err
	}
	if err := unlink(dir, name); err != nil {
		if !errors.Is(err, errFull) || r.first == nil {
			r.note(name, err)
		}
		return deleted > 0, nil // another round may find it empty
	}
	return true, nil
}

func (r *remover) note(name string, err error) {
	if r.first == nil {
		r.first = &fs.PathError{Op: "unlink", Path: "…/" + name, Err: err}
	}
}

// moveUp moves a directory into the top one, by a name that nothing there has.
func (r *remover) moveUp(dir int, name string) error {
	for {
		r.moved++
		err := unix.Renameat(dir, name, r.top, "moved-"+strconv.Itoa(r.moved))
		// The name is taken by a file or by a directory with something in it.
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) ||
			errors.Is(err, unix.ENOTDIR) {
			continue
		}
		return err
	}
}

// errFull means that a directory has something in it.
var errFull = errors.New("it is a directory with something in it")

// unlink deletes a file of any type or an empty directory. One that is not there is no error.
func unlink(dir int, name string) error { return unlinkKind(dir, name, unix.DT_UNKNOWN) }

// unlinkKind is told what it probably is, and so needs one call.
func unlinkKind(dir int, name string, kind byte) error {
	if kind != unix.DT_DIR {
		switch err := unix.Unlinkat(dir, name, 0); {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM): // unlink(2)
			return err
		}
	}
	err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST): // rmdir(2)
		return errFull
	case errors.Is(err, unix.ENOTDIR): // no directory, and unlink was not permitted
		return unix.EPERM
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w (%w)", ErrMounted, err)
	}
	return err
}
