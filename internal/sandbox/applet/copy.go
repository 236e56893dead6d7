package applet

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/copytree"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/tree"
)

// saveLayerApplet is told the upper directory by PID 1 (see pid1.applet): jails are numbered, and
// only PID 1 knows where they are.
func saveLayerApplet(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "a layer and a directory are expected, not %q\n", args)
		return 2
	}
	unix.Umask(0)
	c := copytree.Copier{From: args[0], To: layout.Host + args[1], Layer: true}
	err := c.Copy()
	if err == nil {
		_, err = fmt.Fprintln(os.NewFile(3, "result"), c.Bytes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// moveLayerApplet gives an upper directory another place on the same file system. Its caller, to
// whom it does not belong, could not.
func moveLayerApplet(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "a layer and a directory are expected, not %q\n", args)
		return 2
	}
	err := unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, layout.Host+args[1],
		unix.RENAME_NOREPLACE)
	if err != nil {
		fmt.Fprintln(os.Stderr, syserr.Wrap("rename", args[1], err))
		return 1
	}
	return 0
}

// sizes adds up what a tree takes on disk.
type sizes struct {
	bytes int64
	seen  map[[2]uint64]bool // files of several names
}

func (s *sizes) Visit(e *tree.Entry) (bool, error) {
	if e.Stat.Nlink > 1 && !e.IsDir() {
		file := [2]uint64{e.Stat.Dev, e.Stat.Ino}
		if s.seen[file] {
			return false, nil
		}
		s.seen[file] = true
	}
	s.bytes += e.Stat.Blocks * 512
	return e.IsDir(), nil
}

func (s *sizes) Leave(int, string) error { return nil }

func treeSizeApplet(args []string) int {
	if len(args) != 1 {
		fmt.Fprintf(os.Stderr, "one directory is expected, not %q\n", args)
		return 2
	}
	s := sizes{seen: map[[2]uint64]bool{}}
	err := tree.Walk(context.Background(), layout.Host+args[0], &s)
	if err == nil {
		_, err = fmt.Fprintln(os.NewFile(3, "result"), s.bytes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// callerOfRoot is who owns a file in a tree whose root is the caller.
func callerOfRoot(id int) int {
	if id == 0 {
		return idmap.CallerID
	}
	return id
}

// rootOfCaller is the way back.
func rootOfCaller(id int) int {
	if id == idmap.CallerID {
		return 0
	}
	return id
}

// callersTreeApplet writes how many bytes the files have.
func callersTreeApplet(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "two directories are expected, not %q\n", args)
		return 2
	}
	unix.Umask(0)
	c := copytree.Copier{From: layout.Host + args[0], To: layout.Host + args[1],
		Owner: callerOfRoot}
	err := c.Copy()
	if err == nil {
		_, err = fmt.Fprintln(os.NewFile(3, "result"), c.Bytes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func copyTreeApplet(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "two directories are expected, not %q\n", args)
		return 2
	}
	unix.Umask(0)
	c := copytree.Copier{From: layout.Host + args[0], To: layout.Host + args[1]}
	if err := c.Copy(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func saveRootApplet(args []string, owner func(int) int) int {
	if err := saveRoot(args, owner); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func saveRoot(args []string, owner func(int) int) (err error) {
	if len(args) < 3 {
		return fmt.Errorf("a directory, a list and layers are expected, not %q", args)
	}
	var without []string
	if err := rawjson.Unmarshal([]byte(args[1]), &without); err != nil {
		return err
	}
	unix.Umask(0)
	c := copytree.Copier{From: args[2], To: layout.Host + args[0], Layer: true,
		Without: map[string]bool{}, Owner: owner}
	for _, name := range without {
		c.Without["/"+strings.Trim(name, "/")] = true
	}
	if lowers := args[2:]; len(lowers) > 1 {
		if c.From, err = os.MkdirTemp(layout.Scratch, "merged-"); err != nil {
			return err
		}
		// Opened: overlay splits its options at colons and commas, which names may have.
		names := make([]string, len(lowers))
		for i, dir := range lowers {
			f, err := beneath.OpenPath(dir)
			if err != nil {
				return err
			}
			defer f.Close()
			names[i] = beneath.FDPath(f)
		}
		if err := mounts.Mount("overlay", c.From, "overlay", unix.MS_NODEV|unix.MS_RDONLY,
			"userxattr,lowerdir="+strings.Join(names, ":")); err != nil {
			return err
		}
		defer func() {
			if undone := mounts.Detach(c.From); err == nil {
				err = undone
			}
			if undone := os.Remove(c.From); err == nil {
				err = undone
			}
		}()
	}
	if err := c.Copy(); err != nil {
		return err
	}
	return copytree.Sync(c.To)
}
