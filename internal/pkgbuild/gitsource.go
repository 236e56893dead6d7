package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/gitsrc"
)

// exportGit replaces a source directory by what git has of it, when that was asked for; else it
// says what is built that git does not have.
func (b *builder) exportGit(ctx context.Context) error {
	if b.in.tree == nil {
		if b.o.Git != "" {
			return fault.New(fault.Usage, "give a source directory in a git repository",
				"--git: %s is none", b.in.spec)
		}
		return nil
	}
	if b.o.Git == "" {
		return b.tellUncommitted(ctx)
	}
	l, err := gitsrc.Locate(b.in.tree.Dir)
	if err == nil && l == nil {
		err = fault.New(fault.Usage, "build it without --git", "--git: %s is in no git repository",
			b.in.tree.Dir)
	}
	if err != nil {
		return err
	}
	conf, err := gitsrc.ReadConfig(l, os.Getenv)
	if err != nil {
		return err
	}
	return b.inRepository(ctx, l, func(r *gitsrc.Repository) error {
		return b.takeFromGit(ctx, r, conf)
	})
}

// inRepository does something with a repository, in a jail of its own.
func (b *builder) inRepository(ctx context.Context, l *gitsrc.Layout,
	do func(*gitsrc.Repository) error) error {
	jail, err := b.env.openGitJail(ctx, l)
	if err != nil {
		return err
	}
	r, err := gitsrc.Open(l, jail)
	if err == nil {
		err = do(r)
	}
	// which may be why
	if notes := jail.jail.Notes; err != nil && fault.HintOf(err) == "" && len(notes) > 0 {
		err = fault.Wrap(fault.GivenBack,
			fmt.Sprintf("chmod -R go+rX %s, or put it on a file system such as ext4", l.Common),
			fmt.Errorf("%w (%s)", err, strings.Join(notes, "; ")))
	}
	return errors.Join(err, jail.close(ctx))
}

// takeFromGit exports the source, and brings its upstream tarball.
func (b *builder) takeFromGit(ctx context.Context, r *gitsrc.Repository, conf gitsrc.Config) error {
	dir, err := b.env.Work.Make("git-")
	if err != nil {
		return err
	}
	b.in.temp = func() error { return os.RemoveAll(dir) }
	commit, err := r.Commit(ctx)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	into := filepath.Join(dir, b.in.tree.Name)
	done, err := r.Export(ctx, b.o.Git, into, conf.Submodules)
	if err != nil {
		return fault.Wrap(fault.GivenBack, fault.HintOf(err),
			fmt.Errorf("exporting %s: %w", b.in.tree.Dir, err))
	}
	tree, err := dsc.OpenTree(into)
	if err != nil { // by the name that the user knows
		text := strings.ReplaceAll(err.Error(), into, b.in.tree.Dir)
		return fault.New(fault.GivenBack,
			"git add what is missing, and commit it; or build without --git",
			"what git has of it: %s", text)
	}
	b.in.note("Exported the source of commit %.12s (%s)", commit, strings.ToLower(b.o.Git))
	b.tellLeftOut(done)
	changes, err := askChanges(ctx, r)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		b.tell("%s: whether there are uncommitted changes is not known: %v", b.in.spec, err)
	case len(changes) > 0 && b.o.Git == gitsrc.Head:
		b.tellChanges(changes, "are not built: HEAD is")
	}
	if err := b.bringOrig(ctx, r, conf, tree, dir); err != nil {
		return err
	}
	b.in.tree = tree
	return nil
}

// tellLeftOut says what a commit names but does not have.
func (b *builder) tellLeftOut(done *gitsrc.Exported) {
	if n := done.Submodules; len(n) > 0 {
		b.tell("%s: the files of submodules (%s) are not built, as with gbp; `submodules = True` "+
			"in gbp.conf has them built",
			b.in.spec, andMore(n))
	}
	if n := done.LFS; len(n) > 0 {
		b.tell("%s: files that Git LFS keeps elsewhere (%s) are built as the pointers that the "+
			"commit has", b.in.spec, andMore(n))
	}
}

// andMore is the first of several names, and how many there are besides.
func andMore(names []string) string {
	first := strings.TrimSpace(names[0])
	if n := len(names) - 1; n > 0 {
		return fmt.Sprintf("%s and %d more", first, n)
	}
	return first
}

// tell warns, at once and in the log.
func (b *builder) tell(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.env.Log.Warn(text)
	b.in.note("%s", text)
}

// bringOrig puts the upstream tarballs beside an exported tree: those that lie where gbp looks for
// them, or beside the source directory; else those that git has.
func (b *builder) bringOrig(ctx context.Context, r *gitsrc.Repository, conf gitsrc.Config,
	tree *dsc.Tree, dir string) error {
	if tree.Version.Native() || strings.Contains(tree.Format, "native") {
		if conf.Overlay {
			return fault.New(fault.GivenBack, "correct gbp.conf",
				"gbp.conf says overlay, but %s is a native package", tree.Name)
		}
		return nil
	}
	b.in.overlay = conf.Overlay
	upstream := gitsrc.Upstream{Name: tree.Name, Version: tree.Version.Upstream()}
	there, err := b.origsThere(r, conf, tree)
	if err != nil {
		return err
	}
	if len(there) > 0 && conf.Complete(upstream, there) {
		for _, file := range there {
			if err := os.Symlink(file, filepath.Join(dir, filepath.Base(file))); err != nil {
				return err
			}
		}
		b.in.note("Upstream tarball: %s", strings.Join(there, ", "))
		return nil
	}
	if conf.NoCreateOrig {
		return fault.New(fault.GivenBack, "put the tarball beside the source directory",
			"there is no upstream tarball for version %s, and gbp.conf says no-create-orig",
			upstream.Version)
	}
	how, err := r.Orig(ctx, conf, upstream, dir)
	if err != nil {
		return fault.Wrap(fault.GivenBack, fault.HintOf(err), err)
	}
	b.in.note("Upstream tarball: %s", how)
	if conf.PristineTarCommit && how != "pristine-tar" {
		b.in.note("gbp.conf says pristine-tar-commit: nothing is committed here; gbp " +
			"pristine-tar commit does it")
	}
	return nil
}

// origsThere are the upstream tarballs that need not be made, each name once.
func (b *builder) origsThere(r *gitsrc.Repository, conf gitsrc.Config, tree *dsc.Tree) (
	all []string, err error) {
	if conf.ForceCreate {
		return nil, nil
	}
	var dirs []string
	for _, d := range []gitsrc.Dir{conf.TarballDir, conf.ExportDir} {
		dir, err := d.Path(r.Layout, tree.Version.Upstream(), os.Getenv)
		if err != nil {
			b.tell("%v", err)
		} else if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range append(dirs, filepath.Dir(r.Dir)) {
		files, err := origFilesIn(dir, tree)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, file := range files {
			if conf.Signatures == gitsrc.Off && strings.HasSuffix(file, ".asc") {
				continue
			}
			if !slices.ContainsFunc(all, func(o string) bool {
				return filepath.Base(o) == filepath.Base(file)
			}) {
				all = append(all, file)
			}
		}
	}
	return all, nil
}

// askPatience is how long git is asked for uncommitted changes: it is no more than a warning.
const askPatience = 10 * time.Second

func askChanges(ctx context.Context, r *gitsrc.Repository) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askPatience,
		fmt.Errorf("git needs more than %s for it", askPatience))
	defer cancel()
	changes, err := r.Changes(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return changes, err
}

// tellUncommitted says that a working tree is built as it lies there. Where git cannot tell, there
// is nothing to say.
func (b *builder) tellUncommitted(ctx context.Context) error {
	_, err := os.Lstat(filepath.Join(b.in.tree.Dir, ".git"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no repository begins here
	}
	var changes []string
	l, err := gitsrc.Locate(b.in.tree.Dir)
	if err == nil && l != nil {
		err = b.inRepository(ctx, l, func(r *gitsrc.Repository) (err error) {
			changes, err = askChanges(ctx, r)
			return err
		})
	}
	if err != nil {
		b.in.note("Whether there are uncommitted changes is not known: %v", err)
		return nil
	}
	if len(changes) > 0 {
		b.tellChanges(changes, "are built as they lie there; --git builds HEAD")
	}
	return nil
}

func (b *builder) tellChanges(changes []string, what string) {
	b.tell("%s: uncommitted changes (%s) %s", b.in.spec, andMore(changes), what)
}
