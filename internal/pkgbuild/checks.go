package pkgbuild

import (
	"context"
	"fmt"

	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
)

// Checks say what is done with the results of a build that was successful.
type Checks struct {
	Lintian      bool
	LintianOpts  []string
	Autopkgtest  bool
	CheckInstall bool
	Piuparts     bool
	PiupartsOpts []string
	// FailOn is the outcome that makes the build fail: checks.OutcomeFail, checks.OutcomeWarn
	// (which means both), or "" for none, as sbuild has it.
	FailOn string
}

// bench is where the results of the build are checked.
func (b *builder) bench() *checks.Bench {
	in := b.in
	if b.packed != nil {
		in = b.packed
	}
	return &checks.Bench{
		Subject: checks.Subject{
			Artefacts: b.outcome.Artefacts, Source: in, HasSource: b.o.Source, Arch: b.arch,
			Host: b.host, Suite: b.suite.Name, Base: b.base, Repos: b.repos, Releases: b.releases,
			Extra: b.extra, Given: b.o.Packages, Components: b.o.Components,
			Resolver: b.resolver(), NoLayers: b.o.NoLayers,
			Env: buildroot.Environment{Options: b.o.Options, Profiles: b.o.Profiles,
				Changed: b.hookEnv},
			BuildDepends: func() []string {
				return []string{b.coreDepends(), b.relations().Reduce(b.context()).Depends.String()}
			},
		},
		Deps: b.env.deps(), Copies: b.env.Copies, Holder: b.holder, Log: b.log,
		Scratch: b.checkScratch,
	}
}

// checkScratch is how large a tmpfs of a check may grow, in bytes: a share of what may be written
// to memory, and no more than half of what a limit lets the build have.
func (b *builder) checkScratch() (int64, error) {
	machine, err := budget.Read()
	size := machine.Scratch() / int64(b.env.shared.side())
	if most := b.o.Limits.Memory / 2; most > 0 {
		size = min(size, most)
	}
	return size, err
}

// checked adds the stages of checks to those of a build.
func (b *builder) checked(all []stage) []stage {
	for _, c := range []struct {
		wanted bool
		kind   checks.Kind
		note   func(outcome string) // into sbuild's summary
	}{
		{b.o.Lintian, checks.Lintian(b.o.LintianOpts),
			func(outcome string) { b.summary.Lintian = outcome }},
		{b.o.CheckInstall, checks.Install(), func(outcome string) { // it has no field for it
			b.summary.Own = append(b.summary.Own,
				buildlog.Field{Name: "Install-Check", Value: outcome})
		}},
		{b.o.Piuparts, checks.Piuparts(b.o.PiupartsOpts),
			func(outcome string) { b.summary.Piuparts = outcome }},
		{b.o.Autopkgtest, checks.Autopkgtest(),
			func(outcome string) { b.summary.Autopkgtest = outcome }},
	} {
		if c.wanted {
			all = append(all, stage{c.kind.Name, buildlog.StagePostBuild,
				func(b *builder, ctx context.Context) error {
					return b.check(ctx, c.kind, c.note)
				}})
		}
	}
	return all
}

// check makes one check and notes its outcome.
func (b *builder) check(ctx context.Context, kind checks.Kind, note func(outcome string)) error {
	if err := b.leaveJail(ctx); err != nil {
		return err
	}
	b.log.Subsection(kind.Name)
	got := b.bench().Make(ctx, kind)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	note(got.Outcome)
	b.result.Checks = append(b.result.Checks, result.Check{Name: kind.Name, Outcome: got.Outcome,
		Detail: got.Detail, Seconds: got.Seconds})
	warned := got.Outcome == checks.OutcomeWarn
	switch {
	case got.Bad() && b.o.FailOn != "", warned && b.o.FailOn == checks.OutcomeWarn:
		said := got.Outcome
		if got.Detail != "" {
			said += ": " + got.Detail
		}
		return fault.New(fault.Internal,
			"the log has all of it; without --fail-on the build is successful all the same",
			"%s: %s", kind.Name, said)
	case got.Bad(), warned:
		b.env.Log.Warnf("%s: %s %s", kind.Name, got.Outcome, got.Detail)
	}
	b.log.Info("%s: %s", kind.Name, got.Outcome)
	return nil
}

// leaveJail closes the jail that built, after taking what checks need out of it: a source package
// that was made there.
func (b *builder) leaveJail(context.Context) (err error) {
	if b.open == nil {
		return nil
	}
	if b.in.Tree != nil && b.packed == nil {
		if b.packed, err = b.in.TakePacked(b.open, b.env.Work); err != nil {
			return fmt.Errorf("taking the source package out of the jail: %w", err)
		}
	}
	b.stopped = false
	_, err = b.closeJail()
	return err
}
