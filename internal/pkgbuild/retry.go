package pkgbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/keptroot"
	"nsbuild/internal/plan"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
	"nsbuild/internal/treediff"
)

// Retry says how a kept build is gone on with.
type Retry struct {
	Root   *keptroot.Root
	From   string   // the stage that it begins with; "": the one that failed
	Source string   // a directory, of which comes in first what differs; "": none
	Opts   []string // of dpkg-buildpackage, beyond those that the build had
}

// retried is what a builder knows of the kept build that it goes on with.
type retried struct {
	Retry
	plan    *plan.Plan
	text    []byte   // of the .dsc of the source that lies there unpacked
	options []string // of dpkg-buildpackage, beyond those that the build had
}

// Retry goes on with a kept build, in a copy of what that wrote. Of the request counts where
// results go, what is shown, where is written, and what is kept.
func (e *Env) Retry(ctx context.Context, t Retry, r Request) (*Outcome, error) {
	b := e.newBuilder(r)
	b.retried = &retried{Retry: t}
	return b.build(ctx, b.prepareRetry)
}

// CleanRequest makes of a request the clean build of what a kept build was.
func CleanRequest(root *keptroot.Root, r Request, sourceDir string) (Request, error) {
	p, err := plan.Read(root.Plan())
	if err != nil {
		return r, err
	}
	if err := r.follow(p); err != nil {
		return r, err
	}
	switch {
	case sourceDir != "":
		r.From = sourceDir
	case p.Source.Tree != "":
		r.From = p.Source.Tree
	case p.Source.Dir != "":
		r.From = filepath.Join(p.Source.Dir, p.Source.DSC)
	default:
		r.From = p.Source.From
	}
	r.Suite, r.Base = p.Target.Distribution, ""
	return r, nil
}

// prepareRetry is prepare for a kept build.
func (b *builder) prepareRetry(ctx context.Context) (at *attempt, err error) {
	defer func() {
		if err != nil {
			if at != nil {
				at.close(ctx)
			}
			at = &attempt{builder: b}
		}
	}()
	t := b.retried
	if err := noRetry(t.Root.Build); err != nil {
		return nil, err
	}
	if t.plan, err = plan.Read(t.Root.Plan()); err != nil {
		return nil, err
	}
	t.text, err = os.ReadFile(t.Root.DSCText())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Usage, "build it again: nsbuild build "+t.plan.Source.From,
			"%s cannot be gone on with: it failed before its source was unpacked", t.Root.ID)
	}
	if err != nil {
		return nil, err
	}
	if err := b.o.follow(t.plan); err != nil {
		return nil, err
	}
	b.o.Exact = exactOf(t.Root)
	b.o.Sign, b.o.From = false, t.plan.Source.From
	asked := b.o
	asked.BuildOpts = slices.Concat(asked.BuildOpts, t.Opts)
	if err := asked.Validate(); err != nil {
		return nil, err
	}
	b.chooseArch()
	if b.added, err = b.o.relations(b.o.Said); err != nil {
		return nil, err
	}
	if b.in, err = b.retriedSource(ctx); err != nil {
		return nil, err
	}
	b.noteSource()
	if b.suite, err = b.env.Suites.Lookup(t.plan.Target.Distribution); err != nil {
		return nil, err
	}
	b.noteTarget()
	b.result.RetryOf = t.Root.ID
	if err := b.chooseRetried(); err != nil {
		return nil, err
	}
	if b.o.Output == "" && !b.env.Work.Had(t.Root.Output) {
		b.o.Output = t.Root.Output
	}
	if err := b.openPlaces(); err != nil {
		return nil, err
	}
	if b.base, err = b.env.Store.UseGeneration(t.Root.Base.Name, t.Root.Base.Number); err != nil {
		return nil, err
	}
	if b.repos, err = b.env.Bases().RememberedRepos(b.base.Manifest); err != nil {
		return nil, err
	}
	if at, err = b.begin(ctx, how{plain: t.Root.Whole()}); err != nil {
		return nil, err
	}
	b.header.Extra = append(b.header.Extra, buildlog.Field{Name: "Retry",
		Value: t.Root.ID + ", not from a clean tree"})
	return at, b.openLog()
}

// OfRebuild tells whether a kept build had an exact root: a clean one begins with a .buildinfo.
func OfRebuild(root *keptroot.Root) bool { return exactOf(root) != nil }

// exactOf is what a kept build had of a build over an exact root: its path and its environment. It
// is nil for another one.
func exactOf(root *keptroot.Root) *Exact {
	if root.Environment.Whole == nil {
		return nil
	}
	return &Exact{Tree: root.Dir, Environment: root.Environment.Whole}
}

// retriedSource is the source that a kept build has unpacked, or the directory that is to take its
// place.
func (b *builder) retriedSource(ctx context.Context) (*source.Source, error) {
	t := b.retried
	old, err := dsc.Parse(t.Root.DSC, bytes.NewReader(t.text), nil)
	if err != nil {
		return nil, err
	}
	if t.Source == "" {
		return &source.Source{Spec: t.plan.Source.From, DSC: old, Text: t.text}, nil
	}
	in, err := b.env.sources().Open(ctx, t.Source)
	if err != nil {
		return nil, err
	}
	if in.Tree == nil {
		return nil, fault.New(fault.Usage, "name the directory with the changed source",
			"--source %s is no source directory", t.Source)
	}
	if in.Tree.Name != old.Name {
		return nil, fault.New(fault.Usage, "nsbuild build "+t.Source,
			"--source %s is the source of %s, and %s was built of %s", t.Source, in.Tree.Name,
			t.Root.ID, old.Name)
	}
	if was, is := old.Version.Upstream(), in.Tree.Version.Upstream(); was != is {
		return nil, fault.New(fault.Usage, "nsbuild build "+t.Source,
			"--source %s has upstream version %s, and %s is of %s", t.Source, is, t.Root.ID, was)
	}
	return in, nil
}

// chooseRetried finds the stage to begin with.
func (b *builder) chooseRetried() error {
	t := b.retried
	if t.From == "" {
		if t.From = t.Root.Stage; t.From == "" {
			t.From = "build"
		}
	}
	var names []string
	for _, s := range b.laterStages() {
		names = append(names, s.name)
	}
	if !slices.Contains(names, t.From) {
		return fault.New(fault.Usage, "one of: "+strings.Join(names, ", ")+"; nsbuild build does it "+
			"all", "a build cannot be gone on with at the stage %q", t.From)
	}
	if slices.Index(names, t.From) <= slices.Index(names, "build") {
		t.options = append([]string{"-nc"}, t.Opts...)
	}
	return nil
}

// laterStages are those that come after the source is unpacked.
func (b *builder) laterStages() []stage {
	all := b.stages()
	return all[1+slices.IndexFunc(all, func(s stage) bool { return s.name == "unpack" }):]
}

// retryStages are the stages of a build that goes on with a kept one.
func (b *builder) retryStages() []stage {
	later := b.laterStages()
	from := slices.IndexFunc(later, func(s stage) bool { return s.name == b.retried.From })
	var first []stage
	if b.in.Tree != nil {
		first = append(first, stage{name: "source package", fails: buildlog.StageFetchSrc,
			run: (*attempt).packRetried})
	}
	first = append(first, stage{name: "kept state", fails: buildlog.StageUnpack,
		run: (*attempt).openRetried})
	if b.in.Tree != nil {
		first = append(first, stage{name: "changed source", fails: buildlog.StageUnpack,
			run: (*attempt).bringChanges})
	}
	return append(first, later[from:]...)
}

// packRetried makes a source package of the directory with the changed source, over the root of the
// kept build, and takes it out.
func (at *attempt) packRetried(ctx context.Context) (err error) {
	t := at.retried
	at.root.lowers = t.Root.Lowers
	jail, err := at.openJail(ctx, false)
	if err != nil {
		return err
	}
	if err := buildroot.AsRoot(ctx, jail, "rm", "-rf", buildroot.Dir); err != nil {
		return err
	}
	if err := at.in.Pack(ctx, at.worker(), at.env.Log, at.o.SourceOpts); err != nil {
		return err
	}
	if at.sources.packed, err = at.in.TakePacked(jail, at.env.Work); err != nil {
		return err
	}
	_, err = at.closeJail()
	return err
}

// openRetried opens the jail that builds, over a copy of what the kept build wrote.
func (at *attempt) openRetried(ctx context.Context) (err error) {
	root := at.retried.Root
	at.root.lowers = root.Under
	over := sandbox.Root{Lowers: root.Under, Seed: root.Top()}
	if root.Whole() {
		at.root.copied = root.Under
		over = sandbox.Root{Lowers: root.Lowers, Plain: true}
	}
	if at.root.jail, err = at.openOver(ctx, over, at.o.Hooks.Installs(inBuildJail...)); err != nil {
		return err
	}
	at.root.whole = root.Whole() && at.holder.Scratch() != sandbox.ScratchCopy
	at.sources.unpacked = true
	at.hookEnv = root.Environment.Changed
	at.built = at.retriedFrom("build")
	at.watch.Begin()
	at.describeJail()
	if err := at.describeEnvironment(); err != nil {
		return err
	}
	at.log.Section("Build")
	at.log.Info("This goes on with %s, at the stage %s: it is not from a clean tree.", root.ID,
		at.retried.From)
	return nil
}

// retriedFrom tells whether a retry begins after a stage.
func (b *builder) retriedFrom(after string) bool {
	names := []string{}
	for _, s := range b.laterStages() {
		names = append(names, s.name)
	}
	return slices.Index(names, b.retried.From) > slices.Index(names, after)
}

// Where the old and the new source lie unpacked in the jail that builds, for a while.
const sideBySide = "/.nsbuild"

// bringChanges has the unpacked source be as the directory is, where that differs from the source
// that was unpacked: so what the build has made, and what it has changed by itself, stays.
func (at *attempt) bringChanges(ctx context.Context) (err error) {
	jail, packed := at.root.jail, at.sources.packed
	before, after := sideBySide+"/before", sideBySide+"/after"
	if err := jail.Mkdir(sideBySide, 0o755, bootstrap.BuilderUID,
		bootstrap.BuilderGID); err != nil {
		return err
	}
	name := filepath.Base(packed.DSC.Path)
	for _, file := range append([]string{name}, fileNames(packed.DSC)...) {
		if err := bring(jail, filepath.Join(packed.Dir, file),
			path.Join(sideBySide, file)); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"dpkg-source", "--no-check", "-x", path.Join(at.worker().Dir(), at.retried.Root.DSC),
			before},
		{"dpkg-source", "--no-check", "-x", path.Join(sideBySide, name), after}} {
		status, err := at.worker().Run(ctx, at.worker().Command(sideBySide, argv...))
		if err == nil && !status.Success() {
			err = fmt.Errorf("%s: %s", strings.Join(argv, " "), status)
		}
		if err != nil {
			return err
		}
	}
	gone, come, err := at.sourceChanges(ctx, before, after)
	if err != nil {
		return err
	}
	tree := at.sourceTree()
	at.log.Subsection("Changed source")
	for _, p := range gone {
		at.log.Printf("deleted: %s", p)
	}
	for _, p := range come {
		at.log.Printf("brought: %s", p)
	}
	if err := at.applyChanges(ctx, after, tree, gone, come); err != nil {
		return err
	}
	return buildroot.AsRoot(ctx, jail, "rm", "-rf", sideBySide)
}

// fileNames are the files of a source package, but its .dsc.
func fileNames(d *dsc.Source) (names []string) {
	for _, f := range d.Files {
		names = append(names, f.Name)
	}
	return names
}

// bring copies a file of the host into a jail.
func bring(jail interface {
	Create(path string, mode os.FileMode, uid, gid int) (*os.File, error)
}, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := jail.Create(to, 0o644, bootstrap.BuilderUID, bootstrap.BuilderGID)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// sourceChanges are the paths that are to be deleted and those that are to be brought, in this
// order, to make of one source the other.
func (at *attempt) sourceChanges(ctx context.Context, before, after string) (gone, come []string,
	err error) {
	err = treediff.InJail(ctx, at.root.jail, treediff.Trees{Before: before, After: after},
		func(c treediff.Change) error {
			replaced := slices.Contains(c.What, "type")
			if c.Change == treediff.Deleted || replaced {
				gone = append(gone, c.Path)
			}
			if c.Change == treediff.Created || replaced ||
				c.Change == treediff.Changed && !slices.Equal(c.What, []string{"owner"}) {
				come = append(come, c.Path)
			}
			return nil
		})
	slices.Sort(gone)
	slices.Sort(come)
	return gone, come, err
}

// applyChanges deletes and brings, as the user that builds. What is brought is as new as now, so
// that make(1) sees it.
func (at *attempt) applyChanges(ctx context.Context, from, tree string,
	gone, come []string) error {
	for _, step := range []struct {
		paths  []string
		script string
	}{
		{gone, `cd "$2" && xargs -0r rm -rf --`},
		{come, `cd "$1" && tar --null --no-recursion -cf ../changes.tar -T - && ` +
			`tar -C "$2" -xpmf ../changes.tar`},
	} {
		if len(step.paths) == 0 {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		written := make(chan error, 1)
		go func() {
			_, err := io.WriteString(w, strings.Join(step.paths, "\x00")+"\x00")
			written <- errors.Join(err, w.Close())
		}()
		c := at.worker().Command("/", "sh", "-c", step.script, "sh", from, tree)
		c.Stdin = r
		status, err := at.worker().Run(ctx, c)
		err = errors.Join(err, r.Close(), <-written)
		if err == nil && !status.Success() {
			err = fmt.Errorf("bringing in the changed source: %s", status)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
