package keptroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/treediff"
)

// CopyBack takes what somebody changes in a part of the unpacked source back to the source
// directory that a kept build was made of.
type CopyBack struct {
	*Open
	Tree    string // the source directory
	part    string // of the source, from its top
	changes []treediff.Change
	files   int // of the source directory that were shown to the jail
}

// CopyBackMounts are what a jail needs for CopyBack.
func (r *Root) CopyBackMounts() []sandbox.Mount { return []sandbox.Mount{merged(r.Lowers)} }

// NewCopyBack prepares it for a jail that was opened with its mounts, before anything is changed.
func NewCopyBack(o *Open, part string) (*CopyBack, error) {
	p, err := plan.Read(o.Root.Plan())
	if err != nil {
		return nil, err
	}
	part = path.Clean(part)
	if p.Source.Tree == "" || o.Root.Dir == "" {
		return nil, fault.New(fault.Usage, "nsbuild copy takes files out", "%s was not built of a "+
			"source directory: there is nothing to copy back to", o.Root.ID)
	}
	if path.IsAbs(part) || part == ".." || strings.HasPrefix(part, "../") {
		return nil, fault.New(fault.Usage, "name it from the top of the source, as debian",
			"--copy-back %s is no part of the source", part)
	}
	f, err := o.Jail.Open(path.Join(o.Root.Dir, part))
	if err != nil {
		return nil, fmt.Errorf("--copy-back %s: %w", part, err)
	}
	st, err := f.Stat()
	if err = errors.Join(err, f.Close()); err == nil && !st.IsDir() {
		err = fault.New(fault.Usage, "name its directory", "--copy-back %s is no directory", part)
	}
	return &CopyBack{Open: o, Tree: p.Source.Tree, part: part}, err
}

// Find finds what was changed, and tells how many files that are. Those that are no regular files
// are returned by their names: they are not copied.
func (c *CopyBack) Find(ctx context.Context) (left []string, err error) {
	in := path.Join(c.Root.Dir, c.part)
	err = treediff.InJail(ctx, c.Jail, treediff.Trees{Before: path.Join(before, in), After: in},
		func(d treediff.Change) error {
			d.Path = path.Join(c.part, d.Path)
			switch {
			case d.Type == "d" && d.Change != treediff.Deleted:
			case d.Type != "f", d.Before != nil && d.Before.Type != "f":
				left = append(left, d.Path)
			default:
				c.changes = append(c.changes, d)
			}
			return nil
		})
	slices.SortFunc(c.changes, func(a, b treediff.Change) int {
		return strings.Compare(a.Path, b.Path)
	})
	return left, err
}

// Patch writes what differs between the source directory and the jail, of the files that were
// changed.
func (c *CopyBack) Patch(ctx context.Context, to io.Writer) error {
	tree, err := os.OpenRoot(c.Tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	for _, d := range c.changes {
		was, a, err := c.show(tree, d.Path)
		if err != nil {
			return err
		}
		is, b := path.Join(c.Root.Dir, d.Path), label("b/"+d.Path)
		if d.Change == treediff.Deleted {
			is, b = os.DevNull, os.DevNull
		}
		if was == is {
			continue
		}
		if err := c.diff(ctx, to, "-u", "--label", a, "--label", b, "--", was, is); err != nil {
			return err
		}
	}
	return nil
}

// show shows a file of the source directory to the jail, and returns where, and how it is called.
func (c *CopyBack) show(tree *os.Root, name string) (where, called string, err error) {
	in, err := tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return os.DevNull, os.DevNull, nil
	}
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	if st, err := in.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", "", errors.Join(err, fmt.Errorf("%s of %s is no regular file", name, c.Tree))
	}
	c.files++
	where = aside + "/host-" + strconv.Itoa(c.files)
	out, err := c.Jail.Create(where, 0o600, 0, 0)
	if err != nil {
		return "", "", err
	}
	_, err = io.Copy(out, in)
	return where, label("a/" + name), errors.Join(err, out.Close())
}

// Apply makes the files of the source directory as they are in the jail.
func (c *CopyBack) Apply(ctx context.Context) error {
	tree, err := os.OpenRoot(c.Tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	for _, d := range c.changes {
		if err := c.apply(ctx, tree, d); err != nil {
			return fmt.Errorf("copying %s back: %w", d.Path, err)
		}
	}
	return nil
}

func (c *CopyBack) apply(ctx context.Context, tree *os.Root, d treediff.Change) error {
	if d.Change == treediff.Deleted {
		if err := tree.Remove(d.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	in, err := c.Jail.Open(path.Join(c.Root.Dir, d.Path))
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	dir, name := filepath.Split(filepath.FromSlash(d.Path))
	if err := tree.MkdirAll(filepath.Join(".", dir), 0o777); err != nil {
		return err
	}
	into, err := tree.OpenRoot(filepath.Join(".", dir))
	if err != nil {
		return err
	}
	defer into.Close()
	// beside it first: whoever reads it sees the old file or the new one
	beside := "." + name + ".nsbuild"
	if err := into.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := copyFile(ctx, in, into, beside); err != nil {
		return err
	}
	if err := into.Chmod(beside, 0o644|st.Mode().Perm()&0o111); err != nil {
		return err
	}
	return into.Rename(beside, name)
}

// Count is how many files were changed.
func (c *CopyBack) Count() int { return len(c.changes) }
