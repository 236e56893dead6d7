package pkgbuild

import (
	"context"
	"fmt"
	"strings"

	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
)

// Checks say what is done with the results of a build that was successful.
type Checks struct {
	Lintian     bool
	LintianOpts []string
	Autopkgtest bool
	// CheckNetwork gives tests that need the internet the host's network.
	CheckNetwork bool
	Artifacts    string // directory of what tests leave for people; "": it stays in the jail
	CheckInstall bool
	Piuparts     bool
	PiupartsOpts []string
	// FailOn is what makes the build fail: FailOnError, FailOnWarning, or "" for nothing, as sbuild
	// has it.
	FailOn string
	// Compare is with what the results are compared: CompareArchive, ComparePrevious, a directory,
	// or "" for nothing. It decides nothing.
	Compare string
}

// What Checks.FailOn may be.
const (
	FailOnError   = "error"
	FailOnWarning = "warning" // of errors as well
)

// any tells whether there is one to be made.
func (c *Checks) any() bool { return c.Lintian || c.Autopkgtest || c.CheckInstall || c.Piuparts }

// bench is the one bench of the attempt.
func (at *attempt) bench() *checks.Bench {
	if at.found.bench == nil {
		at.found.bench = at.newBench()
	}
	return at.found.bench
}

// newBench is where the results of the build are checked.
func (at *attempt) newBench() *checks.Bench {
	in := at.in
	if at.sources.packed != nil {
		in = at.sources.packed
	}
	return &checks.Bench{
		Subject: checks.Subject{
			Artefacts: at.found.files, Source: in, HasSource: at.o.Source, Arch: at.arch,
			Host: at.host, Suite: at.suite.Name, Base: at.base, Repos: at.repos,
			Releases: at.releases,
			Extra:    at.extra, Given: at.o.Packages, Components: at.o.Components,
			Resolver: at.checkResolver(), NoLayers: at.o.NoLayers,
			Env: buildroot.Environment{Options: at.options, Profiles: at.o.Profiles,
				Changed: at.hookEnv},
			BuildDepends: func() []string {
				return []string{at.coreDepends(),
					at.relations().Reduce(at.context()).Depends.String()}
			},
		},
		Deps: at.env.deps(), Copies: at.env.Copies, Holder: at.holder, Log: at.log,
		Scratch: at.checkScratch, Failed: at.checkFailed,
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

// wantedCheck is a check that was asked for.
type wantedCheck struct {
	kind checks.Kind
	note func(at *attempt, outcome string) // into sbuild's summary
}

// checks are those that were asked for.
func (b *builder) checks() (wanted []wantedCheck) {
	add := func(asked bool, kind checks.Kind, note func(at *attempt, outcome string)) {
		if asked {
			wanted = append(wanted, wantedCheck{kind, note})
		}
	}
	add(b.o.Lintian, checks.Lintian(b.o.LintianOpts),
		func(at *attempt, outcome string) { at.summary.Lintian = outcome })
	// sbuild has no field for it
	add(b.o.CheckInstall, checks.Install(), func(at *attempt, outcome string) {
		at.found.own = append(at.found.own,
			buildlog.Field{Name: "Install-Check", Value: outcome})
	})
	add(b.o.Piuparts, checks.Piuparts(b.o.PiupartsOpts),
		func(at *attempt, outcome string) { at.summary.Piuparts = outcome })
	add(b.o.Autopkgtest, checks.Autopkgtest(b.testOptions()),
		func(at *attempt, outcome string) { at.summary.Autopkgtest = outcome })
	return wanted
}

// check makes one check and notes its outcome.
func (at *attempt) check(ctx context.Context, kind checks.Kind,
	note func(at *attempt, outcome string)) error {
	at.log.Subsection(kind.Name)
	got := at.bench().Make(ctx, kind)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	note(at, got.Outcome)
	check := result.Check{Name: kind.Name, Outcome: got.Outcome, Detail: got.Detail,
		Seconds: got.Seconds, Findings: got.Findings}
	for _, t := range got.Tests {
		check.Tests = append(check.Tests, result.Test(t))
	}
	at.found.checks = append(at.found.checks, check)
	warned := got.Outcome == checks.OutcomeWarn
	said := strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", kind.Name, got.Outcome, got.Detail), ": ")
	findings := strings.Join(append([]string{""}, got.Findings...), "\n  ")
	switch {
	case got.Bad() && at.o.FailOn != "", warned && at.o.FailOn == FailOnWarning:
		if findings != "" {
			at.env.Log.Errorf("%s:%s", kind.Name, findings)
		}
		return fault.New(fault.Internal,
			"the log has all of it; without --fail-on the build is successful all the same",
			"%s", said)
	case got.Bad(), warned:
		at.env.Log.Warn(said + findings)
	default:
		at.env.Log.Info(said)
	}
	at.log.Info("%s: %s", kind.Name, got.Outcome)
	return nil
}

// leaveJail closes the jail that built, after taking what checks need out of it: a source package
// that was made there.
func (at *attempt) leaveJail() (err error) {
	if at.root.open == nil {
		return nil
	}
	if at.in.Tree != nil && at.sources.packed == nil {
		if at.sources.packed, err = at.in.TakePacked(at.root.open, at.env.Work); err != nil {
			return fmt.Errorf("taking the source package out of the jail: %w", err)
		}
	}
	at.root.stopped = false
	_, err = at.closeJail()
	return err
}
