package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/hook"
	"nsbuild/internal/output"
)

// hooksBeforeDeps runs the hooks that come before the build dependencies, in a jail of their own:
// what they change lies below those. The source is unpacked for them, as pbuilder does; it is taken
// out again, since overlays refuse to rename the directories of a lower layer.
func (at *attempt) hooksBeforeDeps(ctx context.Context) error {
	if _, err := at.openJail(ctx, at.o.Hooks.Installs(hook.BeforeLayer()...)); err != nil {
		return err
	}
	if err := buildroot.MakeDir(at.root.open, buildroot.Dir); err != nil {
		return err
	}
	if err := at.runHostHooks(ctx, hook.OnHostStart); err != nil {
		return err
	}
	if _, err := at.runHooks(ctx, hook.Start); err != nil {
		return err
	}
	if len(at.o.Hooks.At(hook.BeforeDeps)) > 0 {
		if err := at.unpackSource(ctx); err != nil {
			return err
		}
		if _, err := at.runHooks(ctx, hook.BeforeDeps); err != nil {
			return err
		}
		if err := at.takeSource(ctx); err != nil {
			return fmt.Errorf("keeping the unpacked source: %w", err)
		}
	}
	if err := at.noteHookedRoot(); err != nil {
		return err
	}
	strays, err := at.closeJail()
	for _, s := range strays {
		at.log.Warning("A hook left a process, which was ended: %s", s.Command)
	}
	return err
}

func (at *attempt) hooksBeforeBuild(ctx context.Context) (err error) {
	at.hookEnv, err = at.runHooks(ctx, hook.BeforeBuild)
	return err
}

func (at *attempt) hooksAfterBuild(ctx context.Context) error {
	_, err := at.runHooks(ctx, hook.AfterBuild)
	return err
}

// hooksAfterCollect runs what comes when the results are outside.
func (at *attempt) hooksAfterCollect(ctx context.Context) error {
	_, err := at.runHooks(ctx, hook.AfterCollect)
	return err
}

// afterStages runs the hooks that every build ends with, and signs what has not failed. It returns
// the error that the build then has: a failure stays what it was, and what hooks add to it is said
// in the log.
func (at *attempt) afterStages(ctx context.Context, failed error) error {
	if ctx.Err() != nil || errors.Is(failed, errSkipped) {
		return failed
	}
	at.found.stage = failStage(failed)
	last := func(stage hook.Stage, run func(context.Context, hook.Stage) error) {
		err := run(ctx, stage)
		if err == nil {
			return
		}
		if failed == nil {
			failed, at.found.stage = &stageError{stage.FailStage(), err}, stage.FailStage()
			return
		}
		at.log.Error("%v", err)
		at.env.Log.Error(err)
	}
	inJail := func(ctx context.Context, stage hook.Stage) error {
		if at.root.open == nil {
			return nil
		}
		_, err := at.runHooks(ctx, stage)
		return err
	}
	if failed != nil && at.found.tail == nil {
		at.found.tail = at.log.Tail(output.TailLines) // before what hooks say
	}
	if s := failedStage(failed); s.onFailed != "" {
		last(s.onFailed, inJail)
	}
	if failed != nil && at.o.ShellOnFailure {
		at.failureShell(ctx, failed)
	}
	if at.built && len(at.o.Hooks.At(hook.Cleanup, hook.OnHostSuccess, hook.OnHostFailure)) > 0 {
		if err := at.reopen(ctx); err != nil && failed == nil {
			return err
		}
	}
	last(hook.Cleanup, inJail)
	if failed == nil {
		failed = at.run(ctx, at.signing())
		at.found.stage = failStage(failed)
	}
	stage := hook.OnHostSuccess
	if failed != nil {
		stage = hook.OnHostFailure
	}
	last(stage, at.runHostHooks)
	return failed
}

// checkHookEnv refuses what hooks may not decide about.
func (at *attempt) checkHookEnv() error {
	for _, v := range at.hookEnv {
		if name, _, _ := strings.Cut(v, "="); name == "DEB_BUILD_PROFILES" {
			return &stageError{hook.BeforeBuild.FailStage(),
				fmt.Errorf(
					"a hook sets %s: the build dependencies are installed already; use --profiles",
					name)}
		}
	}
	return nil
}
