package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nsbuild/internal/tree"
)

// The applets of this package, which work on trees of mapped ids in H.
const (
	appletMakeRoot   = "make-root"
	appletRemoveTree = "remove-tree"
)

func builtinApplet(name string) Applet {
	switch name {
	case appletMakeRoot:
		return onTree(func(dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			return os.Chown(dir, 0, 0)
		})
	case appletRemoveTree:
		return onTree(func(dir string) error { return tree.Remove(context.Background(), dir) })
	case appletCopyTree:
		return copyTreeApplet
	case appletListen:
		return listenMain
	case appletPasta:
		return pastaMain
	case appletSaveLayer:
		return saveLayerApplet
	case appletSaveRoot:
		return saveRootApplet
	}
	return nil
}

// onTree calls work with the one argument, a host path, as H sees it.
func onTree(work func(dir string) error) Applet {
	return func(args []string) int {
		if len(args) != 1 {
			fmt.Fprintf(os.Stderr, "one directory is expected, not %q\n", args)
			return 2
		}
		if err := work(HostRoot + args[0]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// MakeRoot makes an empty directory that belongs to jail root. Its parent must exist.
func (h *Holder) MakeRoot(ctx context.Context, dir string) error {
	parent, err := resolve(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return h.Applet(ctx, appletMakeRoot, []string{filepath.Join(parent, filepath.Base(dir))})
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
	return h.Applet(ctx, appletRemoveTree, []string{filepath.Join(parent, filepath.Base(dir))})
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
