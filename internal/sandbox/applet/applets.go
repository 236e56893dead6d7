// Package applet has the sandbox's own applets: functions of this program, each a process of its
// own. PID 1 starts most of them in H: as the caller's uid with every capability over the mapped
// ids, and with host paths as arguments. Only listen is started by a jail's helper, in the jail.
//
// Applets of others are registered with sandbox.Main.
package applet

import (
	"context"
	"fmt"
	"os"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/wire"
	"nsbuild/internal/tree"
)

// Find is the applet of that name, or nil.
func Find(name string) reexec.Func {
	switch name {
	case wire.AppletMakeRoot:
		return onTree(func(dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			return os.Chown(dir, 0, 0)
		})
	case wire.AppletRemoveTree:
		return onTree(func(dir string) error { return tree.Remove(context.Background(), dir) })
	case wire.AppletCopyTree:
		return copyTreeApplet
	case wire.AppletCallersTree:
		return callersTreeApplet
	case wire.AppletListen:
		return listenMain
	case wire.AppletDirOrder:
		return dirOrderMain
	case wire.AppletPasta:
		return pastaMain
	case wire.AppletSaveLayer:
		return saveLayerApplet
	case wire.AppletMoveLayer:
		return moveLayerApplet
	case wire.AppletTreeSize:
		return treeSizeApplet
	case wire.AppletTraces:
		return tracesApplet
	case wire.AppletSaveRoot:
		return func(args []string) int { return saveRootApplet(args, nil) }
	case wire.AppletSaveCallersRoot:
		return func(args []string) int { return saveRootApplet(args, rootOfCaller) }
	}
	return nil
}

// onTree calls work with the one argument, a host path, as H sees it.
func onTree(work func(dir string) error) reexec.Func {
	return func(args []string) int {
		if len(args) != 1 {
			fmt.Fprintf(os.Stderr, "one directory is expected, not %q\n", args)
			return 2
		}
		if err := work(layout.Host + args[0]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}
