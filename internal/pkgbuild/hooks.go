package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"nsbuild/internal/apt"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/console"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/hook"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/output"
	"nsbuild/internal/pump"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// openJail opens a jail over what there is. With apt, packages can be installed in it.
func (at *attempt) openJail(ctx context.Context, withApt bool, mounts ...sandbox.Mount) (
	jails.Jail, error) {
	return at.openOver(ctx, sandbox.Root{Lowers: at.root.lowers}, withApt, mounts...)
}

func (at *attempt) openOver(ctx context.Context, root sandbox.Root, withApt bool,
	mounts ...sandbox.Mount) (jails.Jail, error) {
	spec := sandbox.Spec{Root: root, Mounts: mounts, Hostname: buildroot.Host}
	if withApt {
		spec.Mounts = append(spec.Mounts, apt.Mounts(at.env.CacheDir)...)
	}
	caches, err := hook.CachesIn(at.env.CacheDir).Mounts(ctx, at.holder, at.o.Hooks)
	if err != nil {
		return nil, err
	}
	spec.Mounts = append(spec.Mounts, caches...)
	jail, err := at.holder.NewJail(ctx, spec)
	at.root.open = jail
	return jail, err
}

// closeJail closes the open jail; what was written in it lies below the next.
func (at *attempt) closeJail() ([]sandbox.Stray, error) {
	jail := at.root.open
	whole := at.root.whole
	at.root.open, at.root.whole = nil, false
	strays, err := jail.Close()
	if whole { // what lies below is part of it
		at.root.lowers = nil
	}
	if err == nil {
		at.root.lowers = append([]sandbox.Lower{{Jail: jail.ID()}}, at.root.lowers...)
	}
	return strays, err
}

// hookContext is what hooks are told at this point of the build.
func (at *attempt) hookContext() hook.Context {
	c := hook.Context{
		Operation: hook.Build, Source: at.header.Package, Version: at.header.Version,
		Distribution: at.suite.Name, BuildArch: at.arch, HostArch: at.host,
		BuildType: at.o.buildType(),
		Profiles:  at.o.Profiles, Builder: bootstrap.BuilderName, BuildDir: buildroot.Dir,
		FailStage: at.found.stage,
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

// changesName is the name of the build's .changes.
func (b *builder) changesName() string {
	return dsc.PkgVer(b.header.Package, b.version) + "_" + b.fileArch() + ".changes"
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

// hooksBeforeDeps runs the hooks that come before the build dependencies, in a jail of their own:
// what they change lies below those. The source is unpacked for them, as pbuilder does; it is taken
// out again, since overlays refuse to rename the directories of a lower layer.
func (at *attempt) hooksBeforeDeps(ctx context.Context) error {
	if _, err := at.openJail(ctx, at.o.Hooks.Installs(hook.BeforeLayer()...)); err != nil {
		return err
	}
	if err := buildroot.MakeDir(at.root.open); err != nil {
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

// takeSource moves the unpacked source out of the open jail, as an archive that only jails read.
func (at *attempt) takeSource(ctx context.Context) error {
	f, err := os.CreateTemp(at.env.Work.Path(), "source-*.tar")
	if err != nil {
		return err
	}
	at.sources.tar = f.Name()
	// a hole must not fill the disk
	pack := []string{"tar", "-C", buildroot.Dir, "--numeric-owner", "--sparse", "-cf", "-", "."}
	for _, argv := range [][]string{pack, {"find", buildroot.Dir, "-mindepth", "1", "-delete"}} {
		status, err := at.root.open.Run(ctx,
			sandbox.Command{Argv: argv, Env: buildroot.Env(), Stdout: f})
		if err == nil && !status.Success() {
			err = fmt.Errorf("%s: %s", argv[0], status)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// bringBackSource unpacks what takeSource took.
func (at *attempt) bringBackSource(ctx context.Context) error {
	f, err := os.Open(at.sources.tar)
	if err != nil {
		return err
	}
	defer f.Close()
	status, err := at.root.open.Run(ctx,
		sandbox.Command{Argv: []string{"tar", "-C", buildroot.Dir, "--numeric-owner", "-xpf", "-"},
			Env: buildroot.Env(), Stdin: f})
	if err == nil && !status.Success() {
		err = fmt.Errorf("tar: %s", status)
	}
	return errors.Join(err, os.Remove(at.sources.tar))
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

// reopen opens a jail over the one that built and was stopped.
func (at *attempt) reopen(ctx context.Context) error {
	if at.root.open != nil && !at.root.stopped {
		return nil
	}
	if at.root.open != nil {
		at.root.stopped = false
		if _, err := at.closeJail(); err != nil {
			return err
		}
	}
	_, err := at.openJail(ctx, true)
	return err
}

// afterStages runs the hooks that every build ends with, and returns the error that the build then
// has: a failure stays what it was, and what hooks add to it is said in the log.
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
		at.failureShell(ctx)
	}
	if at.built && len(at.o.Hooks.At(hook.Cleanup, hook.OnHostSuccess, hook.OnHostFailure)) > 0 {
		if err := at.reopen(ctx); err != nil && failed == nil {
			return err
		}
	}
	last(hook.Cleanup, inJail)
	stage := hook.OnHostSuccess
	if failed != nil {
		stage = hook.OnHostFailure
	}
	last(stage, at.runHostHooks)
	return failed
}

// hasTerminal tells whether there is a person to ask.
func (b *builder) hasTerminal() bool {
	return b.o.Terminal != nil && console.IsTerminal(b.o.Terminal)
}

// onTerminal runs a command with a terminal of the jail's, joined to the caller's, as its /dev/tty.
// Where out is given, what the command prints goes there.
func (at *attempt) onTerminal(ctx context.Context, c sandbox.Command, out io.Writer) (
	status sandbox.Status, err error) {
	defer at.env.Progress.Pause()()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	o := session.Options{Stdin: at.o.Terminal, Stdout: at.o.Terminal, Signals: signals,
		Log: at.env.Log}
	c.Terminal, c.Stdout, c.Stderr = true, at.o.Terminal, at.o.Terminal
	for _, key := range []string{"TERM", "COLORTERM"} {
		if value := os.Getenv(key); value != "" {
			c.Env = append(c.Env, key+"="+value)
		}
	}
	jail, err := jails.Real(at.root.open)
	if err != nil {
		return status, err
	}
	if out == nil {
		return o.Attach(ctx, jail, c)
	}
	said, err := pump.Start(out)
	if err != nil {
		return status, err
	}
	c.Stdout, c.Stderr = said.W, said.W
	status, err = o.Attach(ctx, jail, c)
	return status, errors.Join(err, said.W.Close(), said.Finish())
}

// failureShell opens a shell in the jail that failed. That it cannot is no further failure.
func (at *attempt) failureShell(ctx context.Context) {
	switch {
	case at.root.open == nil:
		at.env.Log.Warnf("--shell-on-failure: no jail is open at stage %s", at.found.stage)
		return
	case !at.hasTerminal():
		at.env.Log.Warn("--shell-on-failure: there is no terminal")
		return
	}
	c := at.hookContext()
	dir := c.SourceDir
	if dir == "" {
		dir = "/"
	}
	fmt.Fprintf(at.env.Progress.Writer(),
		"the build failed at stage %s: a shell in its jail; it ends with the shell. Log: %s\n",
		at.found.stage, at.log.Path)
	at.log.Info("A shell was opened in the jail (--shell-on-failure).")
	env := append(buildroot.Env(), "debian_chroot="+at.header.Package, "HOME=/root")
	if status, err := at.onTerminal(ctx,
		sandbox.Command{Argv: []string{"/bin/bash", "-i"}, Env: env,
			Dir: dir}, nil); err != nil {
		at.env.Log.Warnf("--shell-on-failure: %v", err)
	} else {
		at.log.Info("The shell ended: %s", status)
	}
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

// installMore installs packages in the open jail, which has the mounts of apt.
func (at *attempt) installMore(ctx context.Context, wanted dsc.Reduced, out io.Writer) error {
	if at.root.install == nil || at.root.install.Jail() != at.root.open {
		sources, err := deps.Sources(ctx, at.env.Client, at.archs(), at.extra, at.releases)
		if err != nil {
			return err
		}
		if at.root.install, err = install.Open(at.env.Client, at.env.CacheDir, at.root.open,
			at.arch, sources,
			at.base.Manifest.Packages,
			at.extra.Pins); err != nil {
			return err
		}
	}
	return at.root.install.Install(ctx, wanted, out)
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
