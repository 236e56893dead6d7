package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/copies"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
	"nsbuild/internal/sampler"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
)

// Outcome is how a build ended, for whoever tells the user. Its result is complete.
type Outcome struct {
	Result    *result.Result
	Status    buildlog.Status
	Stage     string
	Tail      []buildlog.Line
	Refused   bool // Tail has the changes to the source that dpkg-source refuses
	Causes    []buildlog.Cause
	Located   []buildlog.Located // of a failure
	LogPath   string
	Artefacts []string       // paths, .changes last
	Shell     sandbox.Status // of the shell in place of the build
	Kept      string         // the ID under which it is kept; "": it is not
	// KeptChecks are the jails of failed checks that are kept.
	KeptChecks []KeptCheck
}

// task is what is built, and how: it stands when a build has been prepared, and no attempt changes
// it.
type task struct {
	o       Request
	planned *plan.Plan // what is built, and how; nil: as it was asked for
	dry     bool       // nothing is built, and nothing stored
	in      *source.Source
	suite   suites.Suite
	// the changelog names none yet, and an older entry or the default decided
	unreleased bool
	arch       string // of the jail
	host       string // of the packages
	output     string
	added      dsc.BuildRelations // to the source's own
	version    dsc.Version        // of the packages
	extra      deps.Extra
}

// builder is one build under way: a task, the base that it is built over, the attempts at it, and
// what is told of it.
type builder struct {
	task
	record
	over
	env        *Env
	hold       func(context.Context, string, sandbox.HolderSpec) (jails.Holder, error)
	copies     *copies.Beside   // of packages
	lent       bool             // base and source are another's, who gives them back
	overflowed int64            // size of the tmpfs that was full in the attempt before
	retried    *retried         // the kept build that it goes on with; nil: none
	gaveWay    bool             // what was kept of other builds was forgotten for this one
	tries      int              // attempts that were begun
	tookDirs   []string         // directories of the results that are noted as used
	sampler    *sampler.Sampler // of the processes of all attempts; nil before the first
}

// Build builds one source package. There is an outcome whatever becomes of it.
func (e *Env) Build(ctx context.Context, r Request) (*Outcome, error) {
	b := e.newBuilder(r)
	return b.build(ctx, b.prepare)
}

// build prepares a build, does it, and tells of it.
func (b *builder) build(ctx context.Context, prepare func(context.Context) (*attempt, error)) (
	*Outcome, error) {
	defer b.release()
	at, err := prepare(ctx)
	var frozen *frozen
	if err == nil {
		stages := b.stages
		if b.retried != nil {
			stages = b.retryStages
		}
		at, err = b.attempts(ctx, at, stages())
		frozen = at.freeze(ctx, err)
		err = at.afterStages(ctx, err)
		at.deps.Saved()
	}
	defer at.close(ctx)
	if err == nil {
		if b.retried == nil && b.o.Exact == nil { // which know of no dependencies
			at.noteNeed()
		}
		at.tellKilled()
		at.compare(ctx)
		err = at.writeLocks(ctx)
	}
	at.noteOrigins(ctx)
	err = b.report(ctx, at, b.env.Work.Hide(fault.Interruption(ctx, err)))
	if b.o.Reported != nil {
		b.o.Reported(b.outcome, err)
	}
	b.outcome.KeptChecks = at.keepChecks(ctx)
	b.outcome.Kept = at.keep(ctx, frozen)
	return b.outcome, err
}

// newBuilder is a build of which nothing is done yet.
func (e *Env) newBuilder(r Request) *builder {
	// other builds may have the same
	r.Options, r.Jobs, r.Profiles = slices.Clone(r.words()), 0, slices.Clone(r.Profiles)
	return &builder{env: e, task: task{o: r}, record: newRecord(e.Program, r),
		hold: e.Work.HoldFor, copies: &copies.Beside{Maker: e.Copies, Log: e.Log}}
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
	case errors.Is(err, errFull) && !at.onTmpfs() && b.mayGiveWay():
		return func() (*attempt, error) { return b.againWithRoom(ctx, how) }
	}
	if errors.As(err, new(*timeLimit)) {
		return nil // it would take as long again
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

// mayGiveWay tells whether something is kept of other builds that can be forgotten for this one.
func (b *builder) mayGiveWay() bool {
	all, err := b.env.Kept.List()
	if err != nil {
		b.env.Log.Warn(err)
	}
	return len(all) > 0 && !b.gaveWay
}

// againWithRoom begins an attempt when nothing is kept of other builds any more.
func (b *builder) againWithRoom(ctx context.Context, how how) (*attempt, error) {
	b.gaveWay = true
	const again = "the disk is full; what was kept of other builds is forgotten, and it is built again"
	b.env.Log.Warn(again)
	b.log.Section("Disk full")
	b.log.Warning(again)
	if _, _, err := b.env.forgetUnused(ctx); err != nil {
		return nil, err
	}
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
	for _, dir := range slices.Backward(b.tookDirs) {
		if err := b.env.shared.leaveOutput(dir); err != nil {
			b.env.Log.Warnf("deleting the directory of the results, which is empty: %v", err)
		}
	}
	b.copies.Stop()
	b.noteSamples()
	if b.news != nil {
		b.news.End()
	}
	if b.lent {
		return
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
