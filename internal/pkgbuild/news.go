package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nsbuild/internal/archive"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
	"nsbuild/internal/result"
)

// news is what the mirrors say about a base's suites, asked for while a build gets ready over the
// base as it is. Nothing is built before it has come: see confirm.
type news struct {
	stop     context.CancelFunc
	done     chan struct{}
	releases []*archive.Release
	err      error
}

// askForNews begins to fetch and verify the Release files of a base. Builds of one command ask one
// after the other, so that the mirror is asked once.
func (e *Env) askForNews(ctx context.Context, g *base.Generation) *news {
	ctx, stop := context.WithCancel(ctx)
	n := &news{stop: stop, done: make(chan struct{})}
	name, m := g.Name, g.Manifest
	go func() {
		defer close(n.done)
		release, err := e.shared.alone(ctx, "lists of "+name)
		if err != nil {
			n.err = err
			return
		}
		defer release()
		n.releases, n.err = e.releases(ctx, m)
	}()
	return n
}

// wait returns what there was to say.
func (n *news) wait() ([]*archive.Release, error) {
	<-n.done // at the latest when its context ends
	n.stop()
	return n.releases, fault.Wrap(fault.GivenBack, "", n.err)
}

// end gives up the question.
func (n *news) end() {
	n.stop()
	<-n.done
}

// takeBase takes a base into use, by its name and as it is; a missing one is made as the options
// say, completed by as.
func (e *Env) takeBase(ctx context.Context, o BaseOptions,
	as func(BaseOptions) (BaseOptions, error)) (*base.Generation, error) {
	release, err := e.shared.alone(ctx, "base "+o.Name) // other builds of this command find it done
	if err != nil {
		return nil, err
	}
	defer release()
	g, err := e.Store.Use(o.Name)
	if !errors.Is(err, base.ErrNone) {
		return g, err
	}
	if as != nil {
		name := o.Name
		if o, err = as(o); err != nil {
			return nil, fmt.Errorf("making base %s: %w", name, err)
		}
	}
	if _, err = e.makeBase(ctx, o); err != nil {
		return nil, err
	}
	return e.Store.Use(o.Name)
}

// renew takes the newest generation of a base into use in place of an older one, brought up to date
// with Release files first. In any case it takes care of g.
func (e *Env) renew(ctx context.Context, g *base.Generation, releases []*archive.Release,
	hooks func() (BaseHooks, error)) (*base.Generation, error) {
	release, err := e.shared.alone(ctx, "base "+g.Name) // other builds of this command find it done
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	defer release()
	if err := g.Close(); err != nil {
		return nil, err
	}
	if g, err = e.Store.Use(g.Name); err != nil {
		return nil, err
	}
	return e.freshen(ctx, g, releases, renewal{hooks: hooks})
}

// openBase takes the build's base into use and has the mirrors asked for news of it. Where they are
// needed at once, it waits for them: a source by its name is looked for in the lists, and hooks may
// do things that are not to be done twice.
func (b *builder) openBase(ctx context.Context) (err error) {
	o := BaseOptions{Name: b.o.Base, Suite: b.suite, Arch: b.arch, Mirror: b.o.Mirror}
	usual := BaseName(o.Suite.Name, o.Arch)
	if o.Name == "" {
		o.Name = usual
	}
	// one of another name is not made by the way: it would be kept under a name that was a mistake,
	// or that of another suite
	if o.Name != usual {
		if err := b.env.requireBase(o.Name); err != nil {
			return err
		}
	}
	if _, err := b.env.repos(o); err != nil { // whether the base is there or not
		return err
	}
	if b.base, err = b.env.takeBase(ctx, o, b.o.NewBase); err != nil {
		return err
	}
	if b.repos, err = b.env.repos(remembered(b.base.Manifest)); err != nil {
		return err
	}
	b.news = b.env.askForNews(ctx, b.base)
	if len(b.base.Manifest.Releases) == 0 || len(b.o.Components) > 0 || b.in.name != "" ||
		!b.o.Hooks.Empty() {
		return b.settle(ctx)
	}
	return nil
}

// requireBase refuses a base that does not exist.
func (e *Env) requireBase(name string) error {
	names, err := e.Store.Names()
	if err != nil || slices.Contains(names, name) {
		return err
	}
	hint := fmt.Sprintf(
		"nsbuild list shows those that there are, nsbuild create --name %s SUITE makes it", name)
	if near := nearest.Names(name, names, 1); len(near) > 0 {
		hint = "did you mean " + near[0] + "?"
	}
	return fault.New(fault.Usage, hint, "--base: there is no base %s", name)
}

// settle waits for news of the base, and brings it up to date by them, before anything is done over
// it.
func (b *builder) settle(ctx context.Context) (err error) {
	releases, err := b.news.wait()
	b.news = nil
	if err != nil || unchanged(b.base.Manifest, releases) {
		b.releases = releases
		return err
	}
	g := b.base
	b.base = nil
	if b.base, err = b.env.renew(ctx, g, releases, b.o.UpdateHooks); err != nil {
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
	releases, err := b.news.wait()
	b.news = nil
	if err != nil {
		return &partError{buildlog.StageAptUpdate, err}
	}
	b.releases = releases
	if !unchanged(b.base.Manifest, releases) {
		return errOutdated
	}
	b.log.Printf("The mirror has nothing newer: base %s (generation %d) is up to date.",
		b.base.Name, b.base.Number)
	return nil
}

// againOverNew makes everything ready for the stages to run once more, over a base that is up to
// date.
func (b *builder) againOverNew(ctx context.Context) error {
	b.log.Section("Suite changed")
	b.log.Printf("The mirror has something newer than base %s (generation %d) was compared with. "+
		"What was begun over it is dropped.", b.base.Name, b.base.Number)
	b.dropAttempt(ctx)
	g := b.base
	b.base = nil
	var err error
	if b.base, err = b.env.renew(ctx, g, b.releases, b.o.UpdateHooks); err != nil {
		b.outcome.Stage = buildlog.StageAptUpgrade
		return err
	}
	b.describeBase()
	return b.hold(ctx, (*builder).chooseScratch)
}

// describeBase says in the log and in the result what is built over.
func (b *builder) describeBase() {
	m := b.base.Manifest
	b.log.Section("Update chroot")
	inputs := &b.result.Inputs
	inputs.Base = result.Base{Name: b.base.Name, Generation: b.base.Number}
	inputs.Releases = nil
	for _, r := range m.Releases {
		b.log.Printf("%s %s: Release of %s, sha256 %s", r.URI, r.Suite,
			r.Date.UTC().Format(time.RFC1123), r.SHA256)
		inputs.Releases = append(inputs.Releases,
			result.Release{URI: r.URI, Suite: r.Suite, Date: r.Date, SHA256: r.SHA256})
	}
	for _, r := range slices.Concat(b.extra.releases, b.extra.sources) {
		repo := r.Repo()
		inputs.Releases = append(inputs.Releases, result.Release{URI: repo.URI, Suite: repo.Suite,
			Date: r.Date(), SHA256: r.Digest()})
	}
	if b.news == nil {
		b.log.Printf("Base %s (generation %d) is up to date with them.", b.base.Name, b.base.Number)
	} else {
		b.log.Printf("Base %s (generation %d) was up to date with them; the mirror is being "+
			"asked for news.", b.base.Name, b.base.Number)
	}
}
