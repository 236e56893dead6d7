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

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/bases"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/source"
)

// prepare does what comes before the log: it resolves what is asked for, and begins the first
// attempt. Where it fails nothing of the attempt is open.
func (b *builder) prepare(ctx context.Context) (at *attempt, err error) {
	if err := b.resolve(ctx); err != nil {
		return &attempt{builder: b}, err
	}
	return b.open(ctx)
}

// resolve finds out what is built over what: the source's description, the output directory, the
// base, and what has to be fetched.
func (b *builder) resolve(ctx context.Context) (err error) {
	if err := b.takePlan(); err != nil {
		return err
	}
	if b.in, err = b.openSource(ctx); err != nil {
		return err
	}
	b.noteSource()
	if err := b.checkSigner(ctx); err != nil {
		return err
	}
	if err := b.env.sources().FromGit(ctx, b.in, b.o.Git); err != nil {
		return err
	}
	if b.o.Git == "" && b.planned == nil {
		if err := b.env.sources().BringOrig(ctx, b.in, b.o.SourceOpts); err != nil {
			return err
		}
	}
	if err := b.chooseSuite(); err != nil {
		return err
	}
	b.noteTarget()
	if !b.dry {
		if err := b.openPlaces(); err != nil {
			return err
		}
	}
	b.announce()
	if err := b.openAdditions(ctx); err != nil {
		return err
	}
	if err := b.openBase(ctx); err != nil {
		return err
	}
	if got := b.base.Manifest.Arch; got != b.arch {
		return fault.New(fault.Usage, "name a base of that architecture with --base",
			"base %s is for %s, the build for %s", b.base.Name, got, b.arch)
	}
	if b.planned != nil {
		err = b.bringPlanned(ctx, b.planned)
	} else {
		err = b.chooseComponents(ctx)
	}
	if err != nil {
		return err
	}
	if err := b.fetchSource(ctx); err != nil {
		return err
	}
	b.noteSource()
	return nil
}

// open begins the first attempt at what was resolved, and the log.
func (b *builder) open(ctx context.Context) (*attempt, error) {
	at, err := b.begin(ctx, how{plain: b.o.Scratch == ScratchCopy})
	if err == nil {
		for _, n := range at.holder.Spared() {
			b.env.Log.WithField(fault.Shown, true).Warn(n)
		}
		if err = b.openLog(); err == nil {
			return at, nil
		}
		at.close(ctx)
	}
	return &attempt{builder: b}, err
}

// takePlan makes of the request what a plan says, where the source is one, and refuses what cannot
// be done.
func (b *builder) takePlan() (err error) {
	if b.o.planned() {
		if b.planned, err = plan.Read(b.o.From); err != nil {
			return err
		}
		if b.o.Checks.any() {
			b.env.Log.Warn(
				"the configured checks are not made: what they need is no part of a plan")
		}
		if err := b.o.follow(b.planned); err != nil {
			return err
		}
	}
	if err := b.o.Validate(); err != nil {
		return err
	}
	b.chooseArch()
	b.noteTarget()
	b.added, err = b.o.relations(b.o.Said)
	return err
}

// openSource looks at the source, or brings that of a plan.
func (b *builder) openSource(ctx context.Context) (*source.Source, error) {
	if b.planned != nil {
		return b.env.sources().Planned(ctx, b.planned.Source)
	}
	return b.env.sources().Open(ctx, b.o.From)
}

// openPlaces makes the directory for the results that was asked for, but not its parents, and finds
// out whether what a build leaves can be stored, before it takes its time. Where nothing comes into
// it, the directory goes again.
func (b *builder) openPlaces() (err error) {
	if b.output, err = outputDir(b.o.Output, b.in); err != nil {
		return err
	}
	var made []string
	if b.o.Output != "" {
		made = append(made, b.output)
	}
	if b.o.Under != "" {
		b.output = filepath.Join(b.output, b.o.Under)
		made = append(made, b.output)
	}
	for _, dir := range made {
		if err = b.env.shared.takeOutput(dir); err != nil {
			break
		}
		b.tookDirs = append(b.tookDirs, dir)
	}
	if err == nil {
		err = CheckWritable(b.output)
	}
	if err != nil {
		hint := "choose another directory with --output"
		if errors.Is(err, fs.ErrNotExist) {
			hint = "make " + filepath.Dir(b.output) + " first, or choose another with --output"
		}
		return fault.Wrap(fault.Usage, hint, fmt.Errorf("the results cannot be stored: %w", err))
	}
	if b.o.LogDir != "" {
		if err := CheckWritable(b.o.LogDir); err != nil {
			return fault.Wrap(fault.Usage, "choose another directory with --log-dir",
				fmt.Errorf("the log cannot be stored: %w", err))
		}
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

// lookForSource finds out whether there is the source that was asked for by its name, before a base
// is made for it.
func (b *builder) lookForSource(ctx context.Context, o bases.Options) error {
	if b.in.Name == "" {
		return nil
	}
	ph := b.env.Progress.Phase("source lists")
	defer b.env.Meter.During(ph)()
	from, err := b.sourceReleases(ctx)
	if err == nil && b.in.Suite == "" {
		if len(b.o.Components) > 0 {
			o.Components = b.o.Components
		}
		var repos []aptconf.Repo
		var releases []*release.File
		if repos, err = b.env.Bases().Repos(o); err == nil {
			releases, err = b.env.Client.Releases(ctx, repos)
		}
		from = slices.Concat(releases, from)
	}
	if err == nil {
		_, err = b.env.Client.FindSource(ctx, from, b.in.Name)
	}
	ph.Done(err)
	return fault.Wrap(fault.GivenBack, "", err)
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
// Where the changelog's newest entry names no suite yet, an older one that does counts.
func (b *builder) chooseSuite() (err error) {
	name, said := b.o.Suite, "--dist"
	if b.planned != nil {
		name, said = b.planned.Target.Distribution, "the plan's distribution"
	}
	if name == "" {
		all, unreleased := b.in.Distributions()
		if unreleased {
			b.unreleased = true
			all = slices.DeleteFunc(slices.Clone(all), func(d string) bool {
				_, err := b.env.Suites.Lookup(d)
				return err != nil
			})
		}
		if len(all) > 0 {
			name, said = all[0], "the changelog's distribution"
		}
	}
	if name == "" {
		name = DefaultSuite(b.env.Suites)
	}
	if b.suite, err = b.env.Suites.Lookup(name); err != nil {
		return fault.Wrap(fault.Usage, "choose one with --dist", fmt.Errorf("%s: %w", said, err))
	}
	return nil
}

// LogPlain is the field of log lines that say what nsbuild does, and not what it has noticed.
const LogPlain = "plain"

// announce says what is built for what, before anything takes its time.
func (b *builder) announce() {
	name, version := b.in.Identity()
	text := strings.TrimSpace(name+" "+version) + " · " + b.suite.Name + " " + b.host
	if b.cross() {
		text += " (on " + b.arch + ")"
	}
	if b.unreleased {
		text += " · UNRELEASED: " + b.suite.Name
	}
	b.env.Log.WithField(LogPlain, true).Info(text)
	if suffix := b.o.AppendToVersion; suffix != "" && (b.o.Sign || strings.Contains(suffix, "bpo") ||
		strings.HasSuffix(b.suite.Name, "-backports")) {
		b.env.Log.Warnf("%s %s: the packages are Binary-Only, and no archive takes them without "+
			"their source; for an upload write the entry with dch --bpo, and build that",
			b.o.place("append-to-version"), suffix)
	}
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
