package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/wire"
	"nsbuild/internal/tree"
)

// MakeRoot makes an empty directory that belongs to jail root. Its parent must exist.
func (h *Holder) MakeRoot(ctx context.Context, dir string) error {
	parent, err := resolve(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return h.Applet(ctx, wire.AppletMakeRoot, []string{filepath.Join(parent, filepath.Base(dir))})
}

// RemoveTree deletes a tree of mapped ids, which its caller could not delete without root. A tree
// that does not exist is no error.
func (h *Holder) RemoveTree(ctx context.Context, dir string) error {
	parent, err := resolve(filepath.Dir(dir))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Applet(ctx, wire.AppletRemoveTree, []string{filepath.Join(parent, filepath.Base(dir))})
}

// RemoveTree deletes a tree, in a holder of its own where some of it belongs to mapped ids. A tree
// that does not exist is no error.
func RemoveTree(ctx context.Context, dir string) error {
	err := tree.Remove(ctx, dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	ids, err := ResolveIDs()
	if err != nil {
		return err
	}
	h, err := Start(ctx, HolderSpec{IDs: ids})
	if err != nil {
		return err
	}
	return errors.Join(h.RemoveTree(ctx, dir), h.Close())
}

// CopyTree copies a tree of mapped ids: owners, modes, times, hard links, extended attributes and
// whiteouts (overlayfs.rst) stay. to must not exist; its parent must.
func (h *Holder) CopyTree(ctx context.Context, from, to string) error {
	source, err := resolve(from)
	if err != nil {
		return err
	}
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return err
	}
	return h.Applet(ctx, wire.AppletCopyTree,
		[]string{source, filepath.Join(parent, filepath.Base(to))})
}

// CallersTree copies a tree of mapped ids, of which jail root's files become the caller's: a base
// for a jail whose root is the caller. It tells how many bytes the files have. to must not exist;
// its parent must.
func (h *Holder) CallersTree(ctx context.Context, from, to string) (int64, error) {
	source, err := resolve(from)
	if err != nil {
		return 0, err
	}
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return 0, err
	}
	return h.number(ctx, wire.AppletCallersTree, source,
		filepath.Join(parent, filepath.Base(to)))
}

// SaveLayer copies the frozen upper directory of a closed jail to a host directory, and tells how
// many bytes its files have. It may run while later jails use the layer. to must not exist; its
// parent must.
func (h *Holder) SaveLayer(ctx context.Context, jail int, to string) (int64, error) {
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return 0, err
	}
	return h.number(ctx, wire.AppletSaveLayer, strconv.Itoa(jail),
		filepath.Join(parent, filepath.Base(to)))
}

// number runs an applet that answers with a number.
func (h *Holder) number(ctx context.Context, applet string, args ...string) (int64, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	err = h.Applet(ctx, applet, args, w)
	w.Close()
	if err != nil {
		return 0, err
	}
	var n int64
	if _, err := fmt.Fscan(r, &n); err != nil {
		return 0, fmt.Errorf("%s: %w", applet, err)
	}
	return n, nil
}

// Traces tells what was tried in a jail that is open or closed; only of an open one the attempts to
// reach the network. Nothing is told of what was written to the paths in without and below them,
// relative to the root. It is PID 1 that looks, and no process of the jail.
func (h *Holder) Traces(ctx context.Context, jail int, without []string) (t Traces, err error) {
	skip, err := rawjson.Marshal(without)
	if err != nil {
		return t, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return t, err
	}
	defer r.Close()
	told := make(chan error, 1)
	go func() {
		err := rawjson.NewDecoder(r).Decode(&t)
		if errors.Is(err, io.EOF) {
			err = nil // the applet's own error says why
		}
		told <- err
	}()
	err = h.Applet(ctx, wire.AppletTraces, []string{strconv.Itoa(jail), string(skip)}, w)
	w.Close()
	return t, errors.Join(err, <-told)
}

// MoveLayer gives the frozen upper directory of a closed jail another place on the same file
// system: the jail's number no longer names it. to must not exist; its parent must.
func (h *Holder) MoveLayer(ctx context.Context, jail int, to string) error {
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return err
	}
	return h.Applet(ctx, wire.AppletMoveLayer,
		[]string{strconv.Itoa(jail), filepath.Join(parent, filepath.Base(to))})
}

// TreeSize is what a tree of mapped ids takes on disk, in bytes.
func (h *Holder) TreeSize(ctx context.Context, dir string) (int64, error) {
	dir, err := resolve(dir)
	if err != nil {
		return 0, err
	}
	return h.number(ctx, wire.AppletTreeSize, dir)
}

// SaveRoot copies what a closed jail has seen as its root, without what was mounted in it, and has
// the copy reach the disk: whatever was changed, deleted, replaced or linked there is so in the
// copy. lowers are the jail itself and the layers that it was opened over, topmost first. Of the
// paths in without, relative to the root, nothing is copied. to must not exist; its parent must.
func (h *Holder) SaveRoot(ctx context.Context, lowers []Lower, to string, without []string) error {
	parent, err := resolve(filepath.Dir(to))
	if err != nil {
		return err
	}
	skip, err := rawjson.Marshal(without)
	if err != nil {
		return err
	}
	args := []string{filepath.Join(parent, filepath.Base(to)), string(skip)}
	for _, l := range lowers {
		name := strconv.Itoa(l.Jail)
		if l.Path != "" {
			if name, err = resolve(l.Path); err != nil {
				return err
			}
		}
		args = append(args, name)
		if h.scratch == ScratchCopy {
			break // the jail has a whole copy
		}
	}
	return h.Applet(ctx, wire.AppletSaveRoot, args)
}
