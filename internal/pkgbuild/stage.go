package pkgbuild

import (
	"context"
	"errors"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/hook"
	"nsbuild/internal/result"
)

// stage is one step of a build.
type stage struct {
	name  string // of the phase a user sees
	fails string // Fail-Stage: sbuild's name decides the status of its failure
	run   func(*attempt, context.Context) error

	jail     jailState  // that it begins with
	onFailed hook.Stage // hooks that run when it has failed; "" for none
	// Whether it runs what the source says: a failure may come of what its programs see of the
	// root, and be none in another.
	foreign bool
	// Whether the package is built by then: what the log says of a full disk it says of the
	// package.
	after bool
}

// jailState is what a stage wants of the jail that stages before it have left.
type jailState int

const (
	anyJail  jailState = iota
	openJail           // one in which something can be run
	noJail             // none: it opens its own
)

// stages are the steps of this build, in their order.
func (b *builder) stages() []stage {
	var all []stage
	add := func(wanted bool, s stage) {
		if wanted {
			all = append(all, s)
		}
	}
	hooked := func(name string, run func(*attempt, context.Context) error, jail jailState,
		at ...hook.Stage) {
		add(len(b.o.Hooks.At(at...)) > 0,
			stage{name: name, fails: at[len(at)-1].FailStage(), run: run, jail: jail})
	}
	add(true, stage{name: "check architectures", fails: buildlog.StageArchCheck,
		run: (*attempt).checkArch})
	add(b.planned != nil, stage{name: "plan", fails: buildlog.StageFetchSrc,
		run: (*attempt).checkPlanned})
	add(b.in.Tree != nil, stage{name: "source package", fails: buildlog.StageFetchSrc,
		run: (*attempt).packSource})
	hooked("hooks before the dependencies", (*attempt).hooksBeforeDeps, anyJail,
		hook.OnHostStart, hook.Start, hook.BeforeDeps)
	add(b.o.Exact == nil, stage{name: "build dependencies", fails: buildlog.StageInstallDeps,
		run: (*attempt).installDeps, onFailed: hook.DepsFailed})
	add(true, stage{name: "unpack", fails: buildlog.StageUnpack, run: (*attempt).unpack})
	add(b.o.ownVersion(), stage{name: "changelog entry", fails: buildlog.StageHackBinNMU,
		run: (*attempt).writeEntry})
	hooked("hooks before the build", (*attempt).hooksBeforeBuild, anyJail, hook.BeforeBuild)
	if b.o.Shell != nil {
		return append(all, stage{name: "shell", fails: buildlog.StageBuild,
			run: (*attempt).openShell})
	}
	add(true, stage{name: "build", fails: buildlog.StageBuild, run: (*attempt).compile,
		onFailed: hook.BuildFailed, foreign: true})
	hooked("hooks after the build", (*attempt).hooksAfterBuild, anyJail, hook.AfterBuild)
	add(true, stage{name: "collect", fails: buildlog.StageParseChanges, run: (*attempt).collect})
	// the jail that built was stopped for collecting
	hooked("hooks at the end", (*attempt).hooksAfterCollect, openJail, hook.AfterCollect)
	for _, c := range b.checks() {
		add(true,
			stage{name: c.kind.Name, fails: buildlog.StagePostBuild, jail: noJail, after: true,
				run: func(at *attempt, ctx context.Context) error {
					return at.check(ctx, c.kind, c.note)
				}})
	}
	return all
}

// run runs one stage after the other until one fails.
func (at *attempt) run(ctx context.Context, stages []stage) error {
	for _, s := range stages {
		ph := at.env.Progress.Phase(s.name)
		if at.log != nil {
			ph.Detail(at.log.Doing)
		}
		stop := at.env.Meter.During(ph)
		begin := time.Now()
		err := at.runStage(ctx, s)
		stop()
		if errors.Is(err, errOutdated) { // it is begun again
			ph.Done(nil)
			return err
		}
		ph.Done(err)
		at.result.Stages = append(at.result.Stages,
			result.Stage{Name: s.name, Start: at.sinceStart(begin),
				Seconds: time.Since(begin).Seconds(), Failed: err != nil,
				Attempt: at.number})
		if err != nil {
			return err
		}
	}
	return nil
}

// runStage runs a stage. A full scratch and memory that ran out are told from a failure of the
// package.
func (at *attempt) runStage(ctx context.Context, s stage) error {
	before := at.exhausted()
	err := at.ready(ctx, s.jail)
	if err == nil {
		err = at.within(ctx, s)
		if s.foreign && ctx.Err() == nil {
			at.tellTraces(ctx, s)
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || errors.Is(err, errSkipped):
	case errors.Is(at.confirm(), errOutdated):
		return errOutdated // whatever failed, it did so over a base that is not the newest
	case errors.Is(err, errOutdated):
		return err
	}
	if failStage(err) == "" {
		err = &stageError{s.fails, &wholeStage{s, err}}
	}
	if ctx.Err() == nil && at.spaceRanOut(s) {
		return at.fullScratch(err)
	}
	if e := at.exhausted().Since(before); e != nil && ctx.Err() == nil {
		return at.outOfMemory(e, err)
	}
	return err
}

// wholeStage is the failure of a stage as a whole.
type wholeStage struct {
	stage stage
	err   error
}

func (e *wholeStage) Error() string { return e.err.Error() }
func (e *wholeStage) Unwrap() error { return e.err }

// failedStage is the stage that has failed as a whole, in itself and not for want of room; the zero
// stage is none.
func failedStage(err error) stage {
	var f *wholeStage
	if errors.As(err, &f) && failStage(err) == f.stage.fails {
		return f.stage
	}
	return stage{}
}

// ready brings the jail into the state that a stage begins with.
func (at *attempt) ready(ctx context.Context, want jailState) error {
	switch want {
	case openJail:
		return at.reopen(ctx)
	case noJail:
		return at.leaveJail()
	}
	return nil
}
