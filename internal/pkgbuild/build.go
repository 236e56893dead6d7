package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/copies"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
	"nsbuild/internal/strays"
)

// Options say how a source is built.
type Options struct {
	Suite    string // "": the changelog's, else DefaultSuite
	Base     string // "": the suite's
	Mirror   string
	Output   string // directory for the results; "": see outputDir
	ArchAny  bool   // build architecture-dependent packages
	ArchAll  bool   // build architecture-independent packages
	Source   bool   // build the source package too
	Profiles []string
	Arch     string // of the base; "": the machine's own
	Host     string // for which is built; "": the base's
	Resolver string // of build dependencies; "": see resolver
	// Alternatives says whether every alternative of a relation counts (AnyAlternative), or the
	// first (FirstAlternative); "" is as the resolver does by itself.
	Alternatives string
	// gitsrc.Head or gitsrc.Index: build a source directory as git has it; "": as it lies there
	Git     string
	Options []string // of DEB_BUILD_OPTIONS, "parallel=N" among them or not
	Scratch string   // ScratchAuto, ScratchTmpfs, ScratchDisk or ScratchCopy
	// PlainSources are built in a plain tree where the kernel cannot hide an overlay, besides those
	// of the list that comes with nsbuild.
	PlainSources []string
	// ScratchSize is how large a tmpfs may grow, in bytes; 0 lets free memory decide.
	ScratchSize int64
	// MaxResults is how large the results may be, in bytes; 0 is DefaultMaxResults.
	MaxResults int64
	// Limits bound everything that runs for one build together: what it writes to a tmpfs is
	// memory, too.
	Limits   sandbox.Limits
	NoLayers bool // neither use nor keep dependency layers
	// what to do about processes that the build leaves running; the log names them in any case
	Strays  strays.Policy
	Verbose bool      // show the package's log as it comes
	ShowLog io.Writer // where; nil: with the progress
	LogDir  string    // directory of the log; "": that of the results
	NoLog   bool      // leave no log behind
	Result  string    // file for the machine-readable result; "" for none

	Kind
	Additions

	Checks

	// how a base is made that is missing; nil: as it was asked for
	NewBase func(asked bases.Options) (bases.Options, error)
	// of a base that is brought up to date; nil: none
	UpdateHooks func() (bases.Hooks, error)

	Plan           *plan.Plan // what is built, and how; it decides most of the above
	Hooks          *hook.Set  // nil: none
	ShellOnFailure bool       // open a shell in the jail that failed
	Terminal       *os.File   // the caller's, for shells; nil: there is none
}

// Outcome is how a build ended, for whoever tells the user.
type Outcome struct {
	Result    *result.Result
	Status    buildlog.Status
	Stage     string
	Tail      []buildlog.Line
	Causes    []buildlog.Cause
	LogPath   string
	Artefacts []string // paths, .changes last
}

// task is what is built, and how: it stands when a build has been prepared, and no attempt changes
// it.
type task struct {
	o       Options
	in      *source.Source
	suite   suites.Suite
	arch    string // of the jail
	host    string // of the packages
	output  string
	version dsc.Version // of the packages
	extra   deps.Extra
}

// builder is one build under way: a task, the base that it is built over, the attempts at it, and
// what is told of it.
type builder struct {
	task
	record
	over
	env        *Env
	hold       func(context.Context, string, sandbox.HolderSpec) (jails.Holder, error)
	copies     *copies.Beside // of packages
	overflowed int64          // size of the tmpfs that was full in the attempt before
}

// Build builds one source package. The outcome is nil when it failed before there was a log.
func (e *Env) Build(ctx context.Context, spec string, o Options) (*Outcome, error) {
	b, at, err := e.prepare(ctx, spec, o)
	if err != nil {
		return nil, fault.Interruption(ctx, err)
	}
	defer b.release()
	at, err = b.attempts(ctx, at, b.stages())
	defer at.close(ctx)
	err = at.afterStages(ctx, err)
	at.deps.Saved()
	if err == nil {
		at.noteNeed()
		at.tellKilled()
	}
	return b.outcome, b.report(at, fault.Interruption(ctx, err))
}

// attempts goes on until one succeeds, or nothing would be different in another. It returns the
// last, and why that failed. Where another could not be begun, the last has nothing open.
func (b *builder) attempts(ctx context.Context, at *attempt, stages []stage) (*attempt, error) {
	for {
		err := at.run(ctx, stages)
		next := at.next(ctx, err)
		if next == nil {
			return at, err
		}
		at.deps.Saved()
		at.close(ctx)
		if at, err = next(); err != nil {
			return &attempt{builder: b}, err
		}
	}
}

// next is how to try again, if another attempt may end otherwise than one that failed with err.
func (at *attempt) next(ctx context.Context, err error) func() (*attempt, error) {
	b, how := at.builder, at.how
	switch {
	case errors.Is(err, errOutdated):
		return func() (*attempt, error) { return b.againOverNew(ctx, how) }
	case errors.Is(err, errFull) && at.onTmpfs() && b.o.Scratch != ScratchTmpfs:
		b.overflowed = at.place.limit
		return func() (*attempt, error) { return b.againOnDisk(ctx, how) }
	}
	if seen, may := at.sawOverlay(ctx, err); may {
		return func() (*attempt, error) { return b.againPlain(ctx, seen) }
	}
	return nil
}

// againOnDisk begins an attempt over a scratch that does not fill so soon.
func (b *builder) againOnDisk(ctx context.Context, how how) (*attempt, error) {
	again := fmt.Sprintf(
		"the tmpfs of %d MiB that the build wrote to is full; it is built again, on disk",
		b.overflowed>>20)
	b.env.Log.Warn(again)
	b.log.Section("Scratch full")
	b.log.Warning("%s", again)
	how.disk = true
	return b.begin(ctx, how)
}

// stageError is a failure with the name that sbuild has for the stage that it happened in.
type stageError struct {
	stage string // Fail-Stage
	err   error
}

func (e *stageError) Error() string { return e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// failStage is the Fail-Stage of a failure, "" where none is known.
func failStage(err error) string {
	if e := (*stageError)(nil); errors.As(err, &e) {
		return e.stage
	}
	return ""
}

// errSkipped means that the source builds nothing for this architecture, which is no failure.
var errSkipped = errors.New("nothing to build")

// release gives back what all attempts have used.
func (b *builder) release() {
	b.copies.Stop()
	if b.news != nil {
		b.news.End()
	}
	if b.base != nil {
		if err := b.base.Close(); err != nil {
			b.env.Log.Warnf("releasing base %s: %v", b.base.Name, err)
		}
	}
	if b.in != nil {
		if err := b.in.Close(); err != nil {
			b.env.Log.Warnf("deleting what was fetched: %v", err)
		}
	}
}
