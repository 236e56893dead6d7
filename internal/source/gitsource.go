package source

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

// FromGit replaces a source directory by what git has of it, when that was asked for; else it
// says what is built that git does not have.
func (o *Opener) FromGit(ctx context.Context, in *Source, git string) error {
	return (&export{o, in, git}).run(ctx)
}

// export is a source directory on its way out of git.
type export struct {
	*Opener
	in  *Source
	git string // gitsrc.Head or gitsrc.Index; "": as it lies there
}

func (x *export) run(ctx context.Context) error {
	if x.in.Tree == nil {
		if x.git != "" {
			return fault.New(fault.Usage, "give a source directory in a git repository",
				"--git: %s is none", x.in.Spec)
		}
		return nil
	}
	if x.git == "" {
		return x.tellUncommitted(ctx)
	}
	l, err := gitsrc.Locate(x.in.Tree.Dir)
	if err == nil && l == nil {
		err = fault.New(fault.Usage, "build it without --git", "--git: %s is in no git repository",
			x.in.Tree.Dir)
	}
	if err != nil {
		return err
	}
	conf, err := gitsrc.ReadConfig(l, os.Getenv)
	if err != nil {
		return err
	}
	return x.inRepository(ctx, l, func(r *gitsrc.Repository) error {
		return x.takeFromGit(ctx, r, conf)
	})
}

// inRepository does something with a repository, in a jail of its own.
func (x *export) inRepository(ctx context.Context, l *gitsrc.Layout,
	do func(*gitsrc.Repository) error) error {
	jail, err := x.openGitJail(ctx, l)
	if err != nil {
		return err
	}
	r, err := gitsrc.Open(l, jail)
	if err == nil {
		err = do(r)
	}
	// which may be why
	if notes := jail.jail.Notes(); err != nil && fault.HintOf(err) == "" && len(notes) > 0 {
		err = fault.Wrap(fault.GivenBack,
			fmt.Sprintf("chmod -R go+rX %s, or put it on a file system such as ext4", l.Common),
			fmt.Errorf("%w (%s)", err, strings.Join(notes, "; ")))
	}
	return errors.Join(err, jail.close(ctx))
}

// takeFromGit exports the source, and brings its upstream tarball.
func (x *export) takeFromGit(ctx context.Context, r *gitsrc.Repository, conf gitsrc.Config) error {
	dir, err := x.Work.Make("git-")
	if err != nil {
		return err
	}
	x.in.temp = func() error { return os.RemoveAll(dir) }
	commit, err := r.Commit(ctx)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	into := filepath.Join(dir, x.in.Tree.Name)
	done, err := r.Export(ctx, x.git, into, conf.Submodules)
	if err != nil {
		return fault.Wrap(fault.GivenBack, fault.HintOf(err),
			fmt.Errorf("exporting %s: %w", x.in.Tree.Dir, err))
	}
	tree, err := dsc.OpenTree(into)
	if err != nil { // by the name that the user knows
		text := strings.ReplaceAll(err.Error(), into, x.in.Tree.Dir)
		return fault.New(fault.GivenBack,
			"git add what is missing, and commit it; or build without --git",
			"what git has of it: %s", text)
	}
	x.in.note("Exported the source of commit %.12s (%s)", commit, strings.ToLower(x.git))
	x.tellLeftOut(done)
	changes, err := askChanges(ctx, r)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		x.in.tell(x.Log, "%s: whether there are uncommitted changes is not known: %v", x.in.Spec,
			err)
	case len(changes) > 0 && x.git == gitsrc.Head:
		x.tellChanges(changes, "are not built: HEAD is")
	}
	if err := x.bringOrig(ctx, r, conf, tree, dir); err != nil {
		return err
	}
	x.in.Tree = tree
	return nil
}

// tellLeftOut says what a commit names but does not have.
func (x *export) tellLeftOut(done *gitsrc.Exported) {
	if n := done.Submodules; len(n) > 0 {
		x.in.tell(x.Log,
			"%s: the files of submodules (%s) are not built, as with gbp; `submodules = True` "+
				"in gbp.conf has them built",
			x.in.Spec, andMore(n))
	}
	if n := done.LFS; len(n) > 0 {
		x.in.tell(x.Log,
			"%s: files that Git LFS keeps elsewhere (%s) are built as the pointers that the "+
				"commit has", x.in.Spec, andMore(n))
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

// bringOrig puts the upstream tarballs beside an exported tree: those that lie where gbp looks for
// them, or beside the source directory; else those that git has.
func (x *export) bringOrig(ctx context.Context, r *gitsrc.Repository, conf gitsrc.Config,
	tree *dsc.Tree, dir string) error {
	if tree.Version.Native() || strings.Contains(tree.Format, "native") {
		if conf.Overlay {
			return fault.New(fault.GivenBack, "correct gbp.conf",
				"gbp.conf says overlay, but %s is a native package", tree.Name)
		}
		return nil
	}
	x.in.Overlay = conf.Overlay
	upstream := gitsrc.Upstream{Name: tree.Name, Version: tree.Version.Upstream()}
	there, err := x.origsThere(r, conf, tree)
	if err != nil {
		return err
	}
	if len(there) > 0 && conf.Complete(upstream, there) {
		for _, file := range there {
			if err := os.Symlink(file, filepath.Join(dir, filepath.Base(file))); err != nil {
				return err
			}
		}
		x.in.note("Upstream tarball: %s", strings.Join(there, ", "))
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
	x.in.note("Upstream tarball: %s", how)
	if conf.PristineTarCommit && how != "pristine-tar" {
		x.in.note("gbp.conf says pristine-tar-commit: nothing is committed here; gbp " +
			"pristine-tar commit does it")
	}
	return nil
}

// origsThere are the upstream tarballs that need not be made, each name once.
func (x *export) origsThere(r *gitsrc.Repository, conf gitsrc.Config, tree *dsc.Tree) (
	all []string, err error) {
	if conf.ForceCreate {
		return nil, nil
	}
	var dirs []string
	for _, d := range []gitsrc.Dir{conf.TarballDir, conf.ExportDir} {
		dir, err := d.Path(r.Layout, tree.Version.Upstream(), os.Getenv)
		if err != nil {
			x.in.tell(x.Log, "%v", err)
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
func (x *export) tellUncommitted(ctx context.Context) error {
	_, err := os.Lstat(filepath.Join(x.in.Tree.Dir, ".git"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no repository begins here
	}
	var changes []string
	l, err := gitsrc.Locate(x.in.Tree.Dir)
	if err == nil && l != nil {
		err = x.inRepository(ctx, l, func(r *gitsrc.Repository) (err error) {
			changes, err = askChanges(ctx, r)
			return err
		})
	}
	if err != nil {
		x.in.note("Whether there are uncommitted changes is not known: %v", err)
		return nil
	}
	if len(changes) > 0 {
		x.tellChanges(changes, "are built as they lie there; --git builds HEAD")
	}
	return nil
}

func (x *export) tellChanges(changes []string, what string) {
	x.in.tell(x.Log, "%s: uncommitted changes (%s) %s", x.in.Spec, andMore(changes), what)
}
