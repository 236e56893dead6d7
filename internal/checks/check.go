// Package checks looks at what a build has made: with lintian, by installing and purging it, with
// piuparts, and with the source's own tests. Each check has jails of its own over the base, in
// which nothing is that the build has done.
//
// Whether a bad outcome makes the build fail is left to internal/pkgbuild.
package checks

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/copies"
	"nsbuild/internal/deps"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
)

// Outcomes of a check, in the words of sbuild's summary.
const (
	OutcomePass    = "pass"
	OutcomeInfo    = "info"
	OutcomeWarn    = "warn"
	OutcomeFail    = "fail"
	OutcomeNoTests = "no tests"
	// what was built is for another machine, or a script of piuparts says that it cannot be tested
	OutcomeSkipped = "skipped"
	OutcomeError   = "error" // it could not be made
)

// checkDir is where a check's jail has the files that it looks at.
const checkDir = "/build/check"

// Subject is what a build has made, and what it was made with.
type Subject struct {
	Artefacts  []string       // files on the host, .changes last
	Source     *source.Source // the source package, as files on the host
	HasSource  bool           // it is among the artefacts
	Arch       string         // of the jails
	Host       string         // of the packages
	Suite      string
	Base       *base.Generation
	Repos      []aptconf.Repo  // of the base
	Releases   []*release.File // of these
	Extra      deps.Extra      // that the build was given besides
	Given      []string        // .deb files that the build was given
	Components []string
	Resolver   string
	NoLayers   bool
	Env        buildroot.Environment
	// BuildDepends are the relations that a build of the source needs.
	BuildDepends func() []string
}

// Bench is where the results of one build are checked, by one check after the other.
type Bench struct {
	Subject
	Deps    *deps.Maker
	Copies  *copies.Maker
	Holder  jails.Holder
	Log     *buildlog.File
	Scratch func() (int64, error) // bytes that a tmpfs of a check's own may have
	// Failed is told of jails in which a check has failed; nil: nobody is.
	Failed func(context.Context, Failed)

	versions map[string]string // of the binary packages that were built, by their names
	// the relations that these recommend
	recommends map[string]string
	seen       Outcome // what the check that is being made has found, but for its outcome
	// what relations have installed (withBuilt): its holder keeps them until it ends
	roots  map[string][]sandbox.Lower
	making string // the name of the check that is being made
	open   atomic.Pointer[jails.Jail]
}

// Open is the jail that the check which is being made has open; nil: none. Anybody may ask at any
// time.
func (b *Bench) Open() jails.Jail {
	if j := b.open.Load(); j != nil {
		return *j
	}
	return nil
}

// Kind is one kind of checks.
type Kind struct {
	Name string
	// Foreign tells whether packages that are not for the jail's architecture can be checked.
	Foreign bool
	run     func(context.Context, *Bench) (outcome, detail string, err error)
}

// Outcome is how a check ended.
type Outcome struct {
	Outcome string // one of the above
	Detail  string
	Seconds float64
	// Findings are lines for people: what is wrong, as far as it is no more than a screen.
	Findings []string
	Tests    []Test // of the source, in the order in which they ran
}

// Test is how one of the source's own tests ended.
type Test struct {
	Name    string
	Outcome string // OutcomePass, OutcomeFail, or OutcomeSkipped
	Detail  string
	Last    []string // of what it printed, when it failed
}

// How many lines of one kind are shown, and of a check. All of them are in the log.
const (
	mostFindings = 20
	mostLines    = 100
)

// found notes lines of one kind that a person is to see.
func (b *Bench) found(lines ...string) {
	if len(b.seen.Findings) > mostLines {
		return
	}
	more := len(lines) - mostFindings
	if more > 0 {
		lines = append(slices.Clone(lines[:mostFindings]), fmt.Sprintf("… and %d more", more))
	}
	b.seen.Findings = append(b.seen.Findings, lines...)
}

// Bad tells whether something is wrong.
func (o Outcome) Bad() bool { return o.Outcome == OutcomeFail || o.Outcome == OutcomeError }

// Make makes a check. That it cannot be made is an outcome, too.
func (b *Bench) Make(ctx context.Context, k Kind) Outcome {
	begin := time.Now()
	b.seen, b.making = Outcome{}, k.Name
	outcome, detail, err := OutcomeSkipped,
		"packages for "+b.Host+" cannot be used on "+b.Arch, error(nil)
	if b.Host == b.Arch || k.Foreign {
		if err = b.readVersions(ctx); err == nil {
			outcome, detail, err = k.run(ctx, b)
		}
	}
	if err != nil && ctx.Err() == nil {
		outcome, detail = OutcomeError, err.Error()
		b.Log.Error("%s: %v", k.Name, err)
	}
	b.seen.Outcome, b.seen.Detail, b.seen.Seconds = outcome, detail, time.Since(begin).Seconds()
	return b.seen
}
