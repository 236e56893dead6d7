package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/gitsrc"
)

// exportGit replaces a source directory by what git has of it, when that was asked for; else it says what is built that git does not have.
func (b *builder) exportGit(ctx context.Context) error {
	if b.in.tree == nil {
		if b.o.Git != "" {
			return fault.New(fault.Usage, "give a source directory in a git repository", "--git: %s is none", b.in.spec)
		}
		return nil
	}
	if b.o.Git == "" {
		return b.tellUncommitted(ctx)
	}
	r, err := gitsrc.Find(ctx, b.in.tree.Dir)
	if err == nil && r == nil {
		err = fault.New(fault.Usage, "build it without --git", "--git: %s is in no git repository", b.in.tree.Dir)
	}
	if err != nil {
		return err
	}
	dir, err := b.env.scratch.dir("git-")
	if err != nil {
		return err
	}
	b.in.temp = func() error { return os.RemoveAll(dir) }
	into := filepath.Join(dir, b.in.tree.Name)
	if err := r.Export(ctx, b.o.Git, into); err != nil {
		return fault.Wrap(fault.GivenBack, "", fmt.Errorf("exporting %s: %w", b.in.tree.Dir, err))
	}
	tree, err := dsc.OpenTree(into)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	commit, err := r.Commit(ctx)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	b.in.note("Exported the source of commit %.12s (%s)", commit, strings.ToLower(b.o.Git))
	changes, err := r.Changes(ctx)
	if err != nil {
		return err
	}
	if len(changes) > 0 && b.o.Git == gitsrc.Head {
		b.tellChanges(changes, "are not built: HEAD is")
	}
	if err := b.bringOrig(ctx, r, tree, dir); err != nil {
		return err
	}
	b.in.tree = tree
	return nil
}

// bringOrig puts the upstream tarball beside an exported tree: the one that lies beside the source directory, else one of git's.
func (b *builder) bringOrig(ctx context.Context, r *gitsrc.Repository, tree *dsc.Tree, dir string) error {
	if tree.Version.Native() || strings.Contains(tree.Format, "native") {
		return nil
	}
	there, err := origFiles(b.in.from, tree)
	if err != nil {
		return err
	}
	for _, file := range there {
		if err := os.Symlink(file, filepath.Join(dir, filepath.Base(file))); err != nil {
			return err
		}
	}
	if len(there) > 0 {
		b.in.note("Upstream tarball: %s", there[0])
		return nil
	}
	conf := gitsrc.DefaultConfig()
	f, err := os.Open(filepath.Join(tree.Dir, "debian", "gbp.conf"))
	switch {
	case err == nil:
		conf, err = gitsrc.ReadConfig(conf, f)
		err = errors.Join(err, f.Close())
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	how, err := r.Orig(ctx, conf, tree.Name, tree.Version.Upstream(), dir)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	b.in.note("Upstream tarball: %s", how)
	return nil
}

// tellUncommitted says that a working tree is built as it lies there. Without git, or where git refuses, there is nothing to say.
func (b *builder) tellUncommitted(ctx context.Context) error {
	if _, err := os.Lstat(filepath.Join(b.in.tree.Dir, ".git")); err != nil {
		return nil //nolint:nilerr // no repository begins here
	}
	r, err := gitsrc.Find(ctx, b.in.tree.Dir)
	if err != nil || r == nil {
		b.env.Log.Debugf("asking git for uncommitted changes: %v", err)
		return nil
	}
	changes, err := r.Changes(ctx)
	if err != nil {
		b.env.Log.Debugf("asking git for uncommitted changes: %v", err)
		return nil
	}
	if len(changes) > 0 {
		b.tellChanges(changes, "are built as they lie there; --git builds HEAD")
	}
	return nil
}

func (b *builder) tellChanges(changes []string, what string) {
	first := strings.TrimSpace(changes[0])
	if n := len(changes) - 1; n > 0 {
		first = fmt.Sprintf("%s and %d more", first, n)
	}
	text := fmt.Sprintf("%s: uncommitted changes (%s) %s", b.in.spec, first, what)
	b.env.Log.Warn(text)
	b.in.note("%s", text)
}
