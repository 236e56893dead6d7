package pkgbuild

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/hook"
	"nsbuild/internal/install"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// hookContext is what hooks are told at this point of the build.
func (at *attempt) hookContext() hook.Context {
	c := hook.Context{
		Operation: hook.Build, Source: at.header.Package, Version: at.header.Version,
		Distribution: at.suite.Name, BuildArch: at.arch, HostArch: at.host,
		PkgVer:    dsc.PkgVer(at.header.Package, at.version),
		BuildType: at.o.buildType(),
		Profiles:  at.o.Profiles, Builder: bootstrap.BuilderName, BuildDir: buildroot.Dir,
		FailStage: at.found.stage,
		HostLog:   at.logPlace(),
		Fakeroot:  buildroot.HasFakeroot(at.root.open),
	}
	if at.found.stage != "" {
		c.Status = string(buildlog.StatusOf(at.found.stage))
	}
	if at.sources.unpacked {
		c.SourceDir = path.Join(buildroot.Dir, at.in.DSC.DirName())
	}
	if at.in.DSC != nil {
		c.DSC = path.Join(buildroot.Dir, filepath.Base(at.in.DSC.Path))
		if at.in.Dir != "" {
			c.HostDSC = filepath.Join(at.in.Dir, filepath.Base(at.in.DSC.Path))
			if whole, err := filepath.Abs(c.HostDSC); err == nil { // a command may go elsewhere
				c.HostDSC = whole
			}
		}
	}
	if at.built {
		c.Changes = path.Join(buildroot.Dir, at.changesName())
	}
	if n := len(at.found.files); n > 0 {
		c.HostChanges = at.found.files[n-1]
	}
	return c
}

// runHooks runs the hooks of a stage in the open jail.
func (at *attempt) runHooks(ctx context.Context, stage hook.Stage) ([]string, error) {
	if len(at.o.Hooks.At(stage)) == 0 {
		return nil, nil
	}
	out := at.log.Stream()
	defer out.Flush()
	r := hook.Runner{
		Set: at.o.Hooks, Jail: at.root.open, Out: out, Log: at.log, Context: at.hookContext(),
		Install: at.installForHooks,
		Source:  func() (io.ReadCloser, error) { return os.Open(at.log.Path) },
	}
	if at.hasTerminal() {
		r.Terminal = func(ctx context.Context, c sandbox.Command) (sandbox.Status, error) {
			return at.onTerminal(ctx, c, out)
		}
	}
	ran, env, err := r.Run(ctx, stage)
	at.noteHooks(ran)
	if err != nil {
		err = &stageError{stage.FailStage(), err}
	}
	return env, err
}

// runHostHooks runs the commands of a stage that sbuild defines for the host.
func (at *attempt) runHostHooks(ctx context.Context, stage hook.Stage) (err error) {
	if len(at.o.Hooks.At(stage)) == 0 {
		return nil
	}
	out := at.log.Stream()
	defer out.Flush()
	r := hook.Host{Set: at.o.Hooks, Out: out, Log: at.log, Context: at.hookContext(),
		Pause: at.env.Progress.Pause}
	if at.root.open != nil {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		dir, err := at.env.Work.Make("jail-")
		if err != nil {
			return err
		}
		relay, err := hook.Listen(at.root.open, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, relay.Close(), os.Remove(dir)) }()
		r.Context.ChrootExec = hook.ExecPrefix(program, relay.Socket())
		r.Context.ChrootDir = at.holder.RootPath(at.root.open.ID())
	}
	ran, err := r.Run(ctx, stage)
	at.noteHooks(ran)
	if err != nil {
		err = &stageError{stage.FailStage(), err}
	}
	return err
}

func (at *attempt) noteHooks(ran []hook.Run) {
	for _, r := range ran {
		noted := result.Hook{Name: r.Hook.Name, Stage: string(r.Hook.Stage), Seconds: r.Seconds,
			Outcome: r.Outcome(), Network: r.Network}
		for _, s := range r.Strays {
			noted.Strays = append(noted.Strays, s.Command)
		}
		at.found.hooks = append(at.found.hooks, noted)
	}
}

// installForHooks installs packages in the open jail, fetched and verified outside it.
func (at *attempt) installForHooks(ctx context.Context, relations string) error {
	reduced, err := install.ForHooks(relations, at.arch, at.o.Profiles)
	if err != nil {
		return err
	}
	out := at.log.Stream()
	defer out.Flush()
	return at.installMore(ctx, reduced, out)
}

// describeHooks says in the log what hooks were skipped.
func (b *builder) describeHooks() {
	if b.o.Hooks == nil {
		return
	}
	for _, note := range b.o.Hooks.Notes {
		b.log.Warning("%s", note)
	}
}
