package pkgbuild

import (
	"context"
	"errors"
	"slices"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/result"
)

// over is the base that a build is built over.
type over struct {
	base     *base.Generation
	repos    []aptconf.Repo  // of the base
	news     *bases.News     // of them, while they are on their way
	releases []*release.File // of them, once the mirror was asked
}

// openBase takes the build's base into use and has the mirrors asked for news of it. Where they are
// needed at once, it waits for them: a source by its name is looked for in the lists, and hooks may
// do things that are not to be done twice.
func (b *builder) openBase(ctx context.Context) (err error) {
	if b.planned != nil {
		return b.openPlannedBase(ctx, b.planned)
	}
	if b.o.Exact != nil {
		b.base, err = b.env.Store.Use(b.o.Base)
		return err
	}
	o := bases.Options{Name: b.o.Base, Suite: b.suite, Arch: b.arch, Mirror: b.o.Mirror}
	usual := bases.Name(o.Suite.Name, o.Arch)
	if o.Name == "" {
		o.Name = usual
	}
	// one of another name is not made by the way: it would be kept under a name that was a mistake,
	// or that of another suite
	if o.Name != usual {
		if err := b.env.Bases().Require(o.Name); err != nil {
			return err
		}
	}
	if _, err := b.env.Bases().Repos(o); err != nil { // whether the base is there or not
		return err
	}
	var missing error
	b.base, err = b.env.Bases().Take(ctx, o, func(asked bases.Options) (bases.Options, error) {
		var err error
		if b.o.NewBase != nil {
			if asked, err = b.o.NewBase(asked); err != nil {
				return asked, err
			}
		}
		missing = b.lookForSource(ctx, asked)
		return asked, missing
	})
	switch {
	case missing != nil:
		return missing
	case err != nil:
		return err
	}
	if b.repos, err = b.env.Bases().RememberedRepos(b.base.Manifest); err != nil {
		return err
	}
	b.news = b.env.Bases().Ask(ctx, b.base)
	if len(b.base.Manifest.Releases) == 0 || len(b.o.Components) > 0 || b.in.Name != "" ||
		!b.o.Hooks.Empty() {
		return b.settle(ctx)
	}
	return nil
}

// settle waits for news of the base, and brings it up to date by them, before anything is done over
// it.
func (b *builder) settle(ctx context.Context) (err error) {
	releases, err := b.news.Wait()
	b.news = nil
	if err != nil || bases.Unchanged(b.base.Manifest, releases) {
		b.releases = releases
		return err
	}
	g := b.base
	b.base = nil
	if b.base, err = b.env.Bases().Renew(ctx, g, releases, b.o.UpdateHooks); err != nil {
		return err
	}
	b.releases = releases
	return nil
}

// errOutdated means that the base over which a build has begun is not up to date, or has not been
// compared with what the mirror has now.
var errOutdated = errors.New("the mirror has something newer")

// confirm waits for news of the base, before anything is done that could not be done again.
func (b *builder) confirm() error {
	if b.news == nil {
		return nil
	}
	releases, err := b.news.Wait()
	b.news = nil
	if err != nil {
		return &stageError{buildlog.StageAptUpdate, err}
	}
	b.releases = releases
	if !bases.Unchanged(b.base.Manifest, releases) {
		return errOutdated
	}
	b.log.Printf("The mirror has nothing newer: base %s (generation %d) is up to date.",
		b.base.Name, b.base.Number)
	return nil
}

// againOverNew begins an attempt over a base that is up to date.
func (b *builder) againOverNew(ctx context.Context, how how) (*attempt, error) {
	b.log.Section("Suite changed")
	b.log.Printf("The mirror has something newer than base %s (generation %d) was compared with. "+
		"What was begun over it is dropped.", b.base.Name, b.base.Number)
	g := b.base
	b.base = nil
	var err error
	if b.base, err = b.env.Bases().Renew(ctx, g, b.releases, b.o.UpdateHooks); err != nil {
		return nil, &stageError{buildlog.StageAptUpgrade, err}
	}
	b.describeBase()
	return b.begin(ctx, how)
}

// describeBase says in the log and in the result what is built over.
func (b *builder) describeBase() {
	m := b.base.Manifest
	b.log.Section("Update chroot")
	inputs := &b.result.Inputs
	inputs.Base = result.Base{Name: b.base.Name, Generation: b.base.Number,
		Digest: baseDigest(m)}
	inputs.Releases = nil
	for _, r := range m.Releases {
		uri := failure.PublicURI(r.URI)
		b.log.Printf("%s %s: Release of %s, sha256 %s", uri, r.Suite,
			r.Date.UTC().Format(time.RFC1123), r.SHA256)
		inputs.Releases = append(inputs.Releases,
			result.Release{URI: uri, Suite: r.Suite, Date: r.Date, SHA256: r.SHA256})
	}
	for _, r := range slices.Concat(b.extra.Releases, b.extra.Sources) {
		repo := r.Repo()
		inputs.Releases = append(inputs.Releases, result.Release{URI: failure.PublicURI(repo.URI),
			Suite: repo.Suite, Date: r.Date(), SHA256: r.Digest()})
	}
	switch {
	case b.planned != nil:
		b.log.Printf("Base %s (generation %d) is that of the plan of %s.", b.base.Name,
			b.base.Number, b.planned.Created.UTC().Format(time.RFC1123))
	case b.news == nil:
		b.log.Printf("Base %s (generation %d) is up to date with them.", b.base.Name, b.base.Number)
	default:
		b.log.Printf("Base %s (generation %d) was up to date with them; the mirror is being "+
			"asked for news.", b.base.Name, b.base.Number)
	}
}
