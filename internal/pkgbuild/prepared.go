package pkgbuild

import (
	"context"
	"errors"
	"slices"
	"time"

	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// Prepared is a build of which all is decided that mirrors and the caller's files have to say. It
// can be done several times, each time over the same base with the same dependencies, and no mirror
// is asked again.
type Prepared struct {
	env *Env
	b   *builder
}

// Prepare resolves what is to be built, and brings the base up to date.
func (e *Env) Prepare(ctx context.Context, r Request) (*Prepared, error) {
	b := e.newBuilder(r)
	b.dry = true // each of the builds has its own place for results
	err := b.resolve(ctx)
	if err == nil && b.news != nil {
		err = b.settle(ctx)
	}
	if err == nil {
		err = b.pin(ctx)
	}
	if err != nil {
		b.release()
		return nil, e.Work.Hide(fault.Interruption(ctx, err))
	}
	return &Prepared{e, b}, nil
}

// pin decides what each of the builds would decide for itself, and otherwise than the others: how
// many processes it has, the date of a changelog entry, what is in a source directory, and which
// build dependencies there are. Those are a layer afterwards.
func (b *builder) pin(ctx context.Context) (err error) {
	if b.o.Options, err = b.withJobs(b.o.Options); err != nil {
		return err
	}
	if k := &b.o.Kind; k.ownVersion() && k.BinNMUChangelog == "" {
		if k.BinNMUTimestamp, err = k.settledDate(time.Now()); err != nil {
			return err
		}
	}
	noLog := b.o.NoLog
	b.o.NoLog = true
	defer func() { b.o.NoLog, b.record = noLog, newRecord(b.env.Program, b.o) }()
	at, err := b.open(ctx)
	defer func() { at.close(ctx) }()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.log.Close()) }()
	stages := []stage{{name: "build dependencies", run: (*attempt).pinDeps}}
	if b.in.Tree != nil {
		stages = slices.Insert(stages, 0, stage{name: "source package", run: (*attempt).pinTree})
	}
	for _, s := range stages {
		ph := b.env.Progress.Phase(s.name)
		stop := b.env.Meter.During(ph)
		err := s.run(at, ctx)
		stop()
		if ph.Done(err); err != nil {
			return err
		}
	}
	return nil
}

// pinTree has the source package of a source directory take its place.
func (at *attempt) pinTree(ctx context.Context) error {
	lowers := at.root.lowers
	if err := at.packSource(ctx); err != nil {
		return err
	}
	jail, err := at.openJail(ctx, false)
	if err != nil {
		return err
	}
	packed, err := at.in.TakePacked(jail, at.env.Work)
	if _, closeErr := at.closeJail(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	err = at.in.Close()
	at.builder.in, at.root.lowers, at.sources.packedIn = packed, lowers, sandbox.Lower{}
	return err
}

// pinDeps makes the layer of the build dependencies, unless there is one.
func (at *attempt) pinDeps(ctx context.Context) error {
	err := at.installDeps(ctx)
	at.deps.Saved()
	return fault.Wrap(fault.GivenBack, "", err)
}

// Close gives back what the builds have used.
func (p *Prepared) Close() { p.b.release() }

// Source tells what is built, and in which version.
func (p *Prepared) Source() (name, version string) { return p.b.in.Identity() }

// Beside has the builds share the memory, of which so many are done at a time.
func (p *Prepared) Beside(n int) { p.env.shared.memory.Divide(n) }

// Build does the build, under a name that it has on the terminal. What change may change is where
// results go and what is varied.
func (p *Prepared) Build(ctx context.Context, name string, change func(*Request)) (*Outcome,
	error) {
	view, end := p.env.view(name)
	r := p.b.o
	change(&r)
	b := view.newBuilder(r)
	r = b.o
	b.task = p.b.task
	b.o, b.dry, b.lent = r, false, true
	b.over = over{base: p.b.base, repos: p.b.repos, releases: slices.Clone(p.b.releases)}
	out, err := b.build(fetch.WithProgress(ctx, view.Transferred),
		func(ctx context.Context) (*attempt, error) {
			b.noteSource()
			b.noteTarget()
			if err := b.openPlaces(); err != nil {
				return &attempt{builder: b}, err
			}
			return b.open(ctx)
		})
	note, shown := string(out.Status), err
	if out.Status == buildlog.Failed {
		note = "" // the line says so
	}
	if ctx.Err() != nil && err != nil {
		shown = context.Canceled // it was stopped, it did not fail
	}
	end(note, shown)
	return out, err
}
