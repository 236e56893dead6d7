package pkgbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/release"
	"nsbuild/internal/bases"
	"nsbuild/internal/copies"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
	"nsbuild/internal/source"
)

// prepare does what comes before the log: the source's description, the output directory, the base,
// and fetching.
func (e *Env) prepare(ctx context.Context, r Request) (_ *builder, at *attempt, err error) {
	t, err := e.task(r)
	if err != nil {
		return nil, nil, err
	}
	b := &builder{env: e, hold: e.Work.HoldFor, task: t,
		copies: &copies.Beside{Maker: e.Copies, Log: e.Log},
		record: record{outcome: &Outcome{},
			result: &result.Result{Program: e.Program, Started: time.Now().UTC()}}}
	defer func() {
		if err != nil {
			if at != nil {
				at.close(ctx)
			}
			b.release()
		}
	}()
	if err := b.o.checkSigner(); err != nil {
		return nil, nil, err
	}
	b.chooseArch()
	if b.in, err = b.openSource(ctx); err != nil {
		return nil, nil, err
	}
	if err := e.sources().FromGit(ctx, b.in, b.o.Git); err != nil {
		return nil, nil, err
	}
	if b.output, err = outputDir(b.o.Output, b.in); err != nil {
		return nil, nil, err
	}
	if err := b.checkPlaces(); err != nil {
		return nil, nil, err
	}
	if err := b.chooseSuite(); err != nil {
		return nil, nil, err
	}
	if err := b.openBase(ctx); err != nil {
		return nil, nil, err
	}
	if got := b.base.Manifest.Arch; got != b.arch {
		return nil, nil, fault.New(fault.Usage, "name a base of that architecture with --base",
			"base %s is for %s, the build for %s", b.base.Name, got, b.arch)
	}
	if err := b.openAdditions(ctx); err != nil {
		return nil, nil, err
	}
	if err := b.fetchSource(ctx); err != nil {
		return nil, nil, err
	}
	if at, err = b.begin(ctx, how{plain: b.o.Scratch == ScratchCopy}); err != nil {
		return nil, nil, err
	}
	for _, n := range at.holder.Spared() {
		e.Log.WithField(fault.Shown, true).Warn(n)
	}
	return b, at, b.openLog()
}

// task is what is asked for, if it can be done: as a plan says, where it is one.
func (e *Env) task(r Request) (t task, err error) {
	if r.planned() {
		if t.planned, err = plan.Read(r.From); err != nil {
			return t, err
		}
		if r.Checks.any() {
			e.Log.Warn("the configured checks are not made: what they need is no part of a plan")
		}
		if err := r.follow(t.planned); err != nil {
			return t, err
		}
	}
	if err := r.Validate(); err != nil {
		return t, err
	}
	// other builds may have the same
	r.Options, r.Jobs, r.Profiles = slices.Clone(r.words()), 0, slices.Clone(r.Profiles)
	t.o = r
	t.added, err = r.relations(r.Said)
	return t, err
}

// openSource looks at the source, or brings that of a plan.
func (b *builder) openSource(ctx context.Context) (*source.Source, error) {
	if b.planned != nil {
		return b.env.sources().Planned(ctx, b.planned.Source)
	}
	return b.env.sources().Open(ctx, b.o.From)
}

// checkPlaces finds out whether what a build leaves can be stored, before it takes its time.
func (b *builder) checkPlaces() error {
	if err := checkWritable(b.output); err != nil {
		return fault.Wrap(fault.Usage, "choose another directory with --output",
			fmt.Errorf("the results cannot be stored: %w", err))
	}
	if b.o.LogDir != "" {
		if err := checkWritable(b.o.LogDir); err != nil {
			return fault.Wrap(fault.Usage, "choose another directory with --log-dir",
				fmt.Errorf("the log cannot be stored: %w", err))
		}
	}
	if b.o.Result == "" {
		return nil
	}
	if st, err := os.Stat(b.o.Result); err == nil && st.IsDir() {
		return fault.New(fault.Usage, "name a file", "--result %s is a directory", b.o.Result)
	}
	if err := checkWritable(filepath.Dir(b.o.Result)); err != nil {
		return fault.Wrap(fault.Usage, "choose another file with --result",
			fmt.Errorf("the machine-readable result cannot be stored: %w", err))
	}
	return nil
}

func (b *builder) fetchSource(ctx context.Context) error {
	if b.in.Name == "" && b.in.URL == "" {
		return nil
	}
	ph := b.env.Progress.Phase("source")
	defer b.env.Meter.During(ph)()
	from, err := b.sourceReleases(ctx)
	if err == nil {
		err = b.env.sources().Fetch(ctx, b.in, from)
	}
	ph.Done(err)
	return err
}

// sourceReleases are the suites to look for a source by its name in.
func (b *builder) sourceReleases(ctx context.Context) ([]*release.File, error) {
	if b.in.Suite == "" {
		return slices.Concat(b.releases, b.extra.Sources), nil
	}
	suite, err := b.env.Suites.Lookup(b.in.Suite)
	if err != nil {
		return nil, err
	}
	repos, err := b.env.Bases().Repos(bases.Options{Suite: suite, Mirror: b.o.Mirror})
	if err != nil {
		return nil, err
	}
	releases, err := b.env.Client.Releases(ctx, repos)
	return releases, fault.Wrap(fault.GivenBack, "", err)
}

// chooseSuite takes what was asked for, else what a directory's changelog says, else the default.
func (b *builder) chooseSuite() (err error) {
	name, said := b.o.Suite, "--dist"
	if b.planned != nil {
		name, said = b.planned.Target.Distribution, "the plan's distribution"
	}
	if name == "" {
		name, said = b.in.Distribution(), "the changelog's distribution"
	}
	if name == "" {
		name = DefaultSuite(b.env.Suites)
	}
	if b.suite, err = b.env.Suites.Lookup(name); err != nil {
		return fault.Wrap(fault.Usage, "choose one with --dist", fmt.Errorf("%s: %w", said, err))
	}
	return nil
}

// outputDir is where results go: where the user said, else the current directory; for a source
// directory that the user stands in, its parent, as with dpkg-buildpackage.
func outputDir(asked string, in *source.Source) (string, error) {
	if asked != "" {
		return filepath.Abs(asked)
	}
	cwd, err := os.Getwd()
	if err != nil || in.Tree == nil {
		return cwd, err
	}
	dir, err := source.Resolved(in.From)
	if err != nil {
		return "", err
	}
	if here, err := source.Resolved(cwd); err != nil {
		return "", err
	} else if here == dir || strings.HasPrefix(here, dir+"/") {
		return filepath.Dir(dir), nil
	}
	return cwd, nil
}

// context is the build for which relations are reduced.
func (b *builder) context() dsc.Context {
	return dsc.Context{BuildArch: b.arch, HostArch: b.host, Profiles: b.o.Profiles,
		ArchAny: b.o.ArchAny, ArchAll: b.o.ArchAll}
}
