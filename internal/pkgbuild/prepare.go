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
func (e *Env) prepare(ctx context.Context, spec string, o Options) (_ *builder, at *attempt,
	err error) {
	if strings.HasSuffix(spec, plan.Suffix) {
		if o.Plan, err = plan.Read(spec); err != nil {
			return nil, nil, err
		}
		if c := o.Checks; c.Lintian || c.Autopkgtest || c.CheckInstall || c.Piuparts {
			e.Log.Warn("the configured checks are not made: what they need is no part of a plan")
		}
		if err := o.follow(o.Plan); err != nil {
			return nil, nil, err
		}
	}
	// other builds may have the same
	o.Options, o.Profiles = slices.Clone(o.Options), slices.Clone(o.Profiles)
	b := &builder{env: e, hold: e.Work.HoldFor, task: task{o: o},
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
	if err := o.checkSigner(); err != nil {
		return nil, nil, err
	}
	if err := b.chooseArch(); err != nil {
		return nil, nil, err
	}
	if b.in, err = b.openSource(ctx, spec); err != nil {
		return nil, nil, err
	}
	if err := b.checkEntry(); err != nil {
		return nil, nil, err
	}
	if err := e.sources().FromGit(ctx, b.in, o.Git); err != nil {
		return nil, nil, err
	}
	if b.output, err = outputDir(o.Output, b.in); err != nil {
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
	if at, err = b.begin(ctx, how{plain: o.Scratch == ScratchCopy}); err != nil {
		return nil, nil, err
	}
	for _, n := range at.holder.Spared() {
		e.Log.WithField(fault.Shown, true).Warn(n)
	}
	return b, at, b.openLog()
}

// openSource looks at the source, or brings that of a plan.
func (b *builder) openSource(ctx context.Context, spec string) (*source.Source, error) {
	if b.o.Plan != nil {
		return b.env.sources().Planned(ctx, b.o.Plan.Source)
	}
	return b.env.sources().Open(ctx, spec)
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
	if b.o.Plan != nil {
		name, said = b.o.Plan.Target.Distribution, "the plan's distribution"
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
