package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
)

// appletSaveRoot copies what layers make together: TO, JSON list of paths to leave out, layers
// topmost first.
const appletSaveRoot = "save-root"

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
	return h.Applet(ctx, appletSaveRoot, args)
}

// places turns the numbers of jails among an applet's arguments into their upper directories: only
// PID 1 knows where they are.
func (p *pid1) places(args []string) error {
	for i, arg := range args {
		if strings.HasPrefix(arg, "/") {
			args[i] = HostRoot + arg
			continue
		}
		upper, err := p.frozen(arg)
		if err != nil {
			return err
		}
		args[i] = upper
	}
	return nil
}

func saveRootApplet(args []string) int {
	if err := saveRoot(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func saveRoot(args []string) (err error) {
	if len(args) < 3 {
		return fmt.Errorf("a directory, a list and layers are expected, not %q", args)
	}
	var without []string
	if err := rawjson.Unmarshal([]byte(args[1]), &without); err != nil {
		return err
	}
	unix.Umask(0)
	c := treeCopier{from: args[2], to: HostRoot + args[0], layer: true, without: map[string]bool{}}
	for _, name := range without {
		c.without["/"+strings.Trim(name, "/")] = true
	}
	if lowers := args[2:]; len(lowers) > 1 {
		if c.from, err = os.MkdirTemp(scratchMount, "merged-"); err != nil {
			return err
		}
		// Opened: overlay splits its options at colons and commas, which names may have.
		names := make([]string, len(lowers))
		for i, dir := range lowers {
			f, err := openPath(dir)
			if err != nil {
				return err
			}
			defer f.Close()
			names[i] = fdPath(f)
		}
		if err := mount("overlay", c.from, "overlay", unix.MS_NODEV|unix.MS_RDONLY,
			"userxattr,lowerdir="+strings.Join(names, ":")); err != nil {
			return err
		}
		defer func() {
			if undone := unmountTree(c.from); err == nil {
				err = undone
			}
			if undone := os.Remove(c.from); err == nil {
				err = undone
			}
		}()
	}
	if err := c.copy(); err != nil {
		return err
	}
	return syncTree(c.to)
}
