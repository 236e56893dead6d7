package pkgbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// Tool says over what a program is installed that looks at packages which nobody builds here.
type Tool struct {
	Suite string // whose base; "": DefaultSuite
	// NewBase is how a base is made that is missing; nil: as it was asked for
	NewBase func(asked bases.Options) (bases.Options, error)
}

// Lintian has lintian look at sets of packages, in a jail: they are what others have made. It
// returns the tags of each set, and the suite whose lintian that was.
func (e *Env) Lintian(ctx context.Context, t Tool, sets ...[]string) (tags [][]string, suite string,
	err error) {
	err = e.withTool(ctx, t, "lintian", func(b *checks.Bench) error {
		suite = b.Suite
		tags, err = b.Tags(ctx, sets...)
		return err
	})
	return tags, suite, err
}

// withTool gives a program that looks at packages what it works with: the base of the suite, up to
// date, and a log of its own, the end of which is told when it fails.
func (e *Env) withTool(ctx context.Context, t Tool, name string,
	run func(*checks.Bench) error) (err error) {
	over, err := e.overSuite(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, over.base.Close()) }()
	ph := e.Progress.Phase(name)
	defer e.Meter.During(ph)()
	err = e.runTool(ctx, over, name, run)
	ph.Done(err)
	return err
}

// overSuite takes the base of the suite into use, up to date.
func (e *Env) overSuite(ctx context.Context, t Tool) (o over, err error) {
	suite, err := e.Suites.Lookup(cmp.Or(t.Suite, DefaultSuite(e.Suites)))
	if err != nil {
		return o, fault.Wrap(fault.Usage, "choose one with --dist", err)
	}
	arch := machine.Native()
	keeper := e.Bases()
	o.base, err = keeper.Take(ctx, bases.Options{Name: bases.Name(suite.Name, arch), Suite: suite,
		Arch: arch}, t.NewBase)
	if err != nil {
		return o, err
	}
	if o.repos, err = keeper.RememberedRepos(o.base.Manifest); err == nil {
		o.releases, err = keeper.Ask(ctx, o.base).Wait()
	}
	if err != nil {
		return o, errors.Join(err, o.base.Close())
	}
	if !bases.Unchanged(o.base.Manifest, o.releases) {
		o.base, err = keeper.Renew(ctx, o.base, o.releases, nil)
	}
	return o, err
}

// leastTool is what such a program may write at least, in bytes.
const leastTool = 256 << 20

// runTool runs it over a base. All that it writes is memory, of which it may have no more than a
// build: what is in a package can be large when it is unpacked.
func (e *Env) runTool(ctx context.Context, o over, name string, run func(*checks.Bench) error) (
	err error) {
	limit, give, err := e.shared.memory.Take(0, 0)
	if err != nil {
		return err
	}
	defer give()
	m := o.base.Manifest
	holder, err := e.Work.HoldFor(ctx, m.Arch, sandbox.HolderSpec{IDs: m.IDs,
		ScratchSize: max(limit, leastTool)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, holder.Close()) }()
	dir, err := e.Work.Make("log-")
	if err != nil {
		return err
	}
	log, err := buildlog.Create(dir, name, "", m.Arch, time.Now(), buildlog.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	err = run(&checks.Bench{Subject: checks.Subject{Arch: m.Arch, Host: m.Arch, Suite: m.Suite,
		Base: o.base, Repos: o.repos, Releases: o.releases}, Deps: e.deps(), Copies: e.Copies,
		Holder: holder, Log: log})
	if err != nil && ctx.Err() == nil {
		var tail []string
		for _, l := range log.Tail(5) {
			tail = append(tail, buildlog.VisibleString(l.Text))
		}
		err = fmt.Errorf("%w; its last words: %s", err, strings.Join(tail, " / "))
	}
	return err
}
