package pkgbuild

import (
	"context"
	"io"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/progress"
	"nsbuild/internal/source"
)

// Suite is what there is for builds: the sources of the suite, and of the archives that are used
// besides.
type Suite struct {
	Name    string
	Sources []*index.SourceOffer // each in its newest version, in the order of their names
	Context dsc.Context          // of a build
	// FirstOnly tells whether the first alternative of a build dependency is the only one.
	FirstOnly bool
	// Releases are those that builds take packages from.
	Releases []*release.File

	client interface {
		Packages(ctx context.Context, r *release.File, component, arch string,
			fn func(*index.Package) error) error
	}
}

// Suite looks at what there is to be built for a request, which names no source. Nothing is
// installed. A base that is missing is made, since that is what says where a name is looked for.
func (e *Env) Suite(ctx context.Context, r Request) (_ *Suite, err error) {
	quiet := *e
	quiet.Progress = progress.New(io.Discard, progress.Options{Quiet: true})
	r.LogDir, r.NoLog, r.Result = "", true, ""
	b := quiet.newBuilder(r)
	b.dry = true
	defer b.release()
	fail := func(err error) (*Suite, error) {
		return nil, e.Work.Hide(fault.Interruption(ctx, err))
	}
	b.chooseArch()
	b.in = &source.Source{}
	if err := b.chooseSuite(); err != nil {
		return fail(err)
	}
	if err := b.openAdditions(ctx); err != nil {
		return fail(err)
	}
	if err := b.openBase(ctx); err != nil {
		return fail(err)
	}
	if b.news != nil {
		if err := b.settle(ctx); err != nil {
			return fail(err)
		}
	}
	if err := b.chooseComponents(ctx); err != nil {
		return fail(err)
	}
	from, err := b.sourceReleases(ctx)
	if err != nil {
		return fail(err)
	}
	out := &Suite{Name: b.suite.Name, Context: b.context(), FirstOnly: b.firstOnly(),
		Releases: append(b.releases[:len(b.releases):len(b.releases)], b.extra.Releases...),
		client:   e.Client}
	if out.Sources, err = e.Client.NewestSources(ctx, from); err != nil {
		return fail(fault.Wrap(fault.GivenBack, "", err))
	}
	return out, nil
}

// Binaries calls fn for each binary package that builds could install from the suite.
func (s *Suite) Binaries(ctx context.Context, fn func(*index.Package) error) error {
	for _, r := range s.Releases {
		for _, c := range r.Repo().IndexComponents() {
			if err := s.client.Packages(ctx, r, c, s.Context.HostArch, fn); err != nil {
				return fault.Wrap(fault.GivenBack, "", err)
			}
		}
	}
	return nil
}

// EachBinary is Binaries for who does not know the context.
func (s *Suite) EachBinary(ctx context.Context) func(func(*index.Package) error) error {
	return func(fn func(*index.Package) error) error { return s.Binaries(ctx, fn) }
}

// ExtraPackages are the packages of .deb files, as they are offered to builds. Each is verified
// again when it is used.
func (e *Env) ExtraPackages(ctx context.Context, files []string) ([]*index.Package, error) {
	all := make([]*index.Package, 0, len(files))
	for _, file := range files {
		local, err := e.Client.Local(ctx, apt.Extra, []string{file})
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		all = append(all, local.Packages...)
	}
	return all, nil
}

// Packages are those that a source would build, as far as it says so itself.
func (l *Looked) Packages() (all []*index.Package) {
	for _, name := range l.Binaries {
		all = append(all, &index.Package{Package: name, Version: l.Version.String(),
			Source: l.Name})
	}
	return all
}
