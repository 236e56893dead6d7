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
	"nsbuild/internal/output"
	"nsbuild/internal/pump"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// hooked is the stages of a build with those of hooks between them, where there are any.
func (b *builder) hooked(all []stage) []stage {
	var out []stage
	add := func(s stage, stages ...hook.Stage) {
		if len(b.o.Hooks.At(stages...)) > 0 {
			s.fails = stages[len(stages)-1].FailStage()
			out = append(out, s)
		}
	}
	for _, s := range all {
		switch s.fails {
		case buildlog.StageInstallDeps:
			add(stage{name: "hooks before the dependencies", run: (*builder).hooksBeforeDeps},
				hook.OnHostStart, hook.Start, hook.BeforeDeps)
		case buildlog.StageBuild:
			add(stage{name: "hooks before the build", run: (*builder).hooksBeforeBuild},
				hook.BeforeBuild)
		case buildlog.StageParseChanges:
			add(stage{name: "hooks after the build", run: (*builder).hooksAfterBuild},
				hook.AfterBuild)
		}
		out = append(out, s)
	}
	add(stage{name: "hooks at the end", run: (*builder).hooksAfterCollect}, hook.AfterCollect)
	return out
}

// openJail opens a jail over what there is. With apt, packages can be installed in it.
func (b *builder) openJail(ctx context.Context, withApt bool, mounts ...sandbox.Mount) (
	*sandbox.Jail, error) {
	return b.openOver(ctx, sandbox.Root{Lowers: b.lowers}, withApt, mounts...)
}

func (b *builder) openOver(ctx context.Context, root sandbox.Root, withApt bool,
	mounts ...sandbox.Mount) (*sandbox.Jail, error) {
	spec := sandbox.Spec{Root: root, Mounts: mounts, Hostname: buildroot.Host}
	if withApt {
		spec.Mounts = append(spec.Mounts, apt.Mounts(b.env.CacheDir)...)
	}
	caches, err := b.env.HookCaches().Mounts(ctx, b.holder, b.o.Hooks)
	if err != nil {
		return nil, err
	}
	spec.Mounts = append(spec.Mounts, caches...)
	jail, err := b.holder.NewJail(ctx, spec)
	b.open = jail
	return jail, err
}

// closeJail closes the open jail; what was written in it lies below the next.
func (b *builder) closeJail() ([]sandbox.Stray, error) {
	jail := b.open
	whole := b.openWhole
	b.open, b.openWhole = nil, false
	strays, err := jail.Close()
	if whole { // what lies below is part of it
		b.lowers = nil
	}
	if err == nil {
		b.lowers = append([]sandbox.Lower{{Jail: jail.ID()}}, b.lowers...)
	}
	return strays, err
}

// hookContext is what hooks are told at this point of the build.
func (b *builder) hookContext() hook.Context {
	c := hook.Context{
		Operation: hook.Build, Source: b.header.Package, Version: b.header.Version,
		Distribution: b.suite.Name, BuildArch: b.arch, HostArch: b.host, BuildType: b.o.buildType(),
		Profiles: b.o.Profiles, Builder: bootstrap.BuilderName, BuildDir: buildroot.Dir,
		FailStage: b.outcome.Stage,
		Fakeroot:  buildroot.HasFakeroot(b.open),
	}
	if b.outcome.Stage != "" {
		c.Status = string(buildlog.StatusOf(b.outcome.Stage))
	}
	if b.unpacked {
		c.SourceDir = path.Join(buildroot.Dir, b.in.DSC.DirName())
	}
	if b.in.DSC != nil {
		c.DSC = path.Join(buildroot.Dir, filepath.Base(b.in.DSC.Path))
		if b.in.Dir != "" {
			c.HostDSC = filepath.Join(b.in.Dir, filepath.Base(b.in.DSC.Path))
		}
	}
	if b.built {
		c.Changes = path.Join(buildroot.Dir, b.changesName())
	}
	if n := len(b.outcome.Artefacts); n > 0 {
		c.HostChanges = b.outcome.Artefacts[n-1]
	}
	return c
}

// changesName is the name of the build's .changes.
func (b *builder) changesName() string {
	return dsc.PkgVer(b.header.Package, b.version) + "_" + b.fileArch() + ".changes"
}

// runHooks runs the hooks of a stage in the open jail.
func (b *builder) runHooks(ctx context.Context, stage hook.Stage) ([]string, error) {
	if len(b.o.Hooks.At(stage)) == 0 {
		return nil, nil
	}
	out := b.log.Stream()
	defer out.Flush()
	r := hook.Runner{
		Set: b.o.Hooks, Jail: b.open, Out: out, Log: b.log, Context: b.hookContext(),
		Install: b.installForHooks,
		Source:  func() (io.ReadCloser, error) { return os.Open(b.log.Path) },
	}
	if b.hasTerminal() {
		r.Terminal = func(ctx context.Context, c sandbox.Command) (sandbox.Status, error) {
			return b.onTerminal(ctx, c, out)
		}
	}
	ran, env, err := r.Run(ctx, stage)
	b.noteHooks(ran)
	if err != nil {
		err = &partError{stage.FailStage(), err}
	}
	return env, err
}

// runHostHooks runs the commands of a stage that sbuild defines for the host.
func (b *builder) runHostHooks(ctx context.Context, stage hook.Stage) (err error) {
	if len(b.o.Hooks.At(stage)) == 0 {
		return nil
	}
	out := b.log.Stream()
	defer out.Flush()
	r := hook.Host{Set: b.o.Hooks, Out: out, Log: b.log, Context: b.hookContext(),
		Pause: b.env.Progress.Pause}
	if b.open != nil {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		dir, err := b.env.Work.Make("jail-")
		if err != nil {
			return err
		}
		relay, err := hook.Listen(b.open, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, relay.Close(), os.Remove(dir)) }()
		r.Context.ChrootExec = hook.ExecPrefix(program, relay.Socket())
		r.Context.ChrootDir = fmt.Sprintf("/proc/%d/root/jail/%d", b.holder.PID(), b.open.ID())
	}
	ran, err := r.Run(ctx, stage)
	b.noteHooks(ran)
	if err != nil {
		err = &partError{stage.FailStage(), err}
	}
	return err
}

func (b *builder) noteHooks(ran []hook.Run) {
	for _, r := range ran {
		noted := result.Hook{Name: r.Hook.Name, Stage: string(r.Hook.Stage), Seconds: r.Seconds,
			Outcome: r.Outcome(), Network: r.Network}
		for _, s := range r.Strays {
			noted.Strays = append(noted.Strays, s.Command)
		}
		b.result.Hooks = append(b.result.Hooks, noted)
	}
}

// installForHooks installs packages in the open jail, fetched and verified outside it.
func (b *builder) installForHooks(ctx context.Context, relations string) error {
	reduced, err := install.ForHooks(relations, b.arch, b.o.Profiles)
	if err != nil {
		return err
	}
	out := b.log.Stream()
	defer out.Flush()
	return b.installMore(ctx, reduced, out)
}

// hooksBeforeDeps runs the hooks that come before the build dependencies, in a jail of their own:
// what they change lies below those. The source is unpacked for them, as pbuilder does; it is taken
// out again, since overlays refuse to rename the directories of a lower layer.
func (b *builder) hooksBeforeDeps(ctx context.Context) error {
	if _, err := b.openJail(ctx, b.o.Hooks.Installs(hook.BeforeLayer()...)); err != nil {
		return err
	}
	if err := buildroot.MakeDir(b.open); err != nil {
		return err
	}
	if err := b.runHostHooks(ctx, hook.OnHostStart); err != nil {
		return err
	}
	if _, err := b.runHooks(ctx, hook.Start); err != nil {
		return err
	}
	if len(b.o.Hooks.At(hook.BeforeDeps)) > 0 {
		if err := b.unpackSource(ctx); err != nil {
			return err
		}
		if _, err := b.runHooks(ctx, hook.BeforeDeps); err != nil {
			return err
		}
		if err := b.takeSource(ctx); err != nil {
			return fmt.Errorf("keeping the unpacked source: %w", err)
		}
	}
	if err := b.noteHookedRoot(); err != nil {
		return err
	}
	strays, err := b.closeJail()
	for _, s := range strays {
		b.log.Warning("A hook left a process, which was ended: %s", s.Command)
	}
	return err
}

// takeSource moves the unpacked source out of the open jail, as an archive that only jails read.
func (b *builder) takeSource(ctx context.Context) error {
	f, err := os.CreateTemp(b.env.Work.Path(), "source-*.tar")
	if err != nil {
		return err
	}
	b.sourceTar = f.Name()
	// a hole must not fill the disk
	pack := []string{"tar", "-C", buildroot.Dir, "--numeric-owner", "--sparse", "-cf", "-", "."}
	for _, argv := range [][]string{pack, {"find", buildroot.Dir, "-mindepth", "1", "-delete"}} {
		status, err := b.open.Run(ctx, sandbox.Command{Argv: argv, Env: buildroot.Env(), Stdout: f})
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
func (b *builder) bringBackSource(ctx context.Context) error {
	f, err := os.Open(b.sourceTar)
	if err != nil {
		return err
	}
	defer f.Close()
	status, err := b.open.Run(ctx,
		sandbox.Command{Argv: []string{"tar", "-C", buildroot.Dir, "--numeric-owner", "-xpf", "-"},
			Env: buildroot.Env(), Stdin: f})
	if err == nil && !status.Success() {
		err = fmt.Errorf("tar: %s", status)
	}
	return errors.Join(err, os.Remove(b.sourceTar))
}

func (b *builder) hooksBeforeBuild(ctx context.Context) (err error) {
	b.hookEnv, err = b.runHooks(ctx, hook.BeforeBuild)
	return err
}

func (b *builder) hooksAfterBuild(ctx context.Context) error {
	_, err := b.runHooks(ctx, hook.AfterBuild)
	return err
}

// hooksAfterCollect runs what comes when the results are outside: the jail that built was stopped
// for that, so it is in another one over it.
func (b *builder) hooksAfterCollect(ctx context.Context) error {
	if err := b.reopen(ctx); err != nil {
		return err
	}
	_, err := b.runHooks(ctx, hook.AfterCollect)
	return err
}

// reopen opens a jail over the one that built and was stopped.
func (b *builder) reopen(ctx context.Context) error {
	if b.open != nil && !b.stopped {
		return nil
	}
	if b.open != nil {
		b.stopped = false
		if _, err := b.closeJail(); err != nil {
			return err
		}
	}
	_, err := b.openJail(ctx, true)
	return err
}

// afterStages runs the hooks that every build ends with, and returns the error that the build then
// has: a failure stays what it was, and what hooks add to it is said in the log.
func (b *builder) afterStages(ctx context.Context, failed error) error {
	if ctx.Err() != nil || errors.Is(failed, errSkipped) {
		return failed
	}
	last := func(stage hook.Stage, run func(context.Context, hook.Stage) error) {
		err := run(ctx, stage)
		if err == nil {
			return
		}
		if failed == nil {
			failed, b.outcome.Stage = err, stage.FailStage()
			return
		}
		b.log.Error("%v", err)
		b.env.Log.Error(err)
	}
	inJail := func(ctx context.Context, stage hook.Stage) error {
		if b.open == nil {
			return nil
		}
		_, err := b.runHooks(ctx, stage)
		return err
	}
	if failed != nil && b.outcome.Tail == nil {
		b.outcome.Tail = b.log.Tail(output.TailLines) // before what hooks say
	}
	switch {
	case failed == nil:
	case b.outcome.Stage == buildlog.StageInstallDeps:
		last(hook.DepsFailed, inJail)
	case b.outcome.Stage == buildlog.StageBuild:
		last(hook.BuildFailed, inJail)
	}
	if failed != nil && b.o.ShellOnFailure {
		b.failureShell(ctx)
	}
	if b.built && len(b.o.Hooks.At(hook.Cleanup, hook.OnHostSuccess, hook.OnHostFailure)) > 0 {
		if err := b.reopen(ctx); err != nil && failed == nil {
			return err
		}
	}
	last(hook.Cleanup, inJail)
	stage := hook.OnHostSuccess
	if failed != nil {
		stage = hook.OnHostFailure
	}
	last(stage, b.runHostHooks)
	return failed
}

// hasTerminal tells whether there is a person to ask.
func (b *builder) hasTerminal() bool {
	return b.o.Terminal != nil && console.IsTerminal(b.o.Terminal)
}

// onTerminal runs a command with a terminal of the jail's, joined to the caller's, as its /dev/tty.
// Where out is given, what the command prints goes there.
func (b *builder) onTerminal(ctx context.Context, c sandbox.Command, out io.Writer) (
	status sandbox.Status, err error) {
	defer b.env.Progress.Pause()()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	o := session.Options{Stdin: b.o.Terminal, Stdout: b.o.Terminal, Signals: signals,
		Log: b.env.Log}
	c.Terminal, c.Stdout, c.Stderr = true, b.o.Terminal, b.o.Terminal
	for _, key := range []string{"TERM", "COLORTERM"} {
		if value := os.Getenv(key); value != "" {
			c.Env = append(c.Env, key+"="+value)
		}
	}
	if out == nil {
		return o.Attach(ctx, b.open, c)
	}
	said, err := pump.Start(out)
	if err != nil {
		return status, err
	}
	c.Stdout, c.Stderr = said.W, said.W
	status, err = o.Attach(ctx, b.open, c)
	return status, errors.Join(err, said.W.Close(), said.Finish())
}

// failureShell opens a shell in the jail that failed. That it cannot is no further failure.
func (b *builder) failureShell(ctx context.Context) {
	switch {
	case b.open == nil:
		b.env.Log.Warnf("--shell-on-failure: no jail is open at stage %s", b.outcome.Stage)
		return
	case !b.hasTerminal():
		b.env.Log.Warn("--shell-on-failure: there is no terminal")
		return
	}
	c := b.hookContext()
	dir := c.SourceDir
	if dir == "" {
		dir = "/"
	}
	fmt.Fprintf(b.env.Progress.Writer(),
		"the build failed at stage %s: a shell in its jail; it ends with the shell. Log: %s\n",
		b.outcome.Stage, b.log.Path)
	b.log.Info("A shell was opened in the jail (--shell-on-failure).")
	env := append(buildroot.Env(), "debian_chroot="+b.header.Package, "HOME=/root")
	if status, err := b.onTerminal(ctx, sandbox.Command{Argv: []string{"/bin/bash", "-i"}, Env: env,
		Dir: dir}, nil); err != nil {
		b.env.Log.Warnf("--shell-on-failure: %v", err)
	} else {
		b.log.Info("The shell ended: %s", status)
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
func (b *builder) installMore(ctx context.Context, wanted dsc.Reduced, out io.Writer) error {
	if b.installer == nil || b.installer.Jail() != b.open {
		sources, err := deps.Sources(ctx, b.env.Client, b.archs(), b.extra, b.releases)
		if err != nil {
			return err
		}
		if b.installer, err = install.Open(b.env.Client, b.env.CacheDir, b.open, b.arch, sources,
			b.base.Manifest.Packages,
			b.extra.Pins); err != nil {
			return err
		}
	}
	return b.installer.Install(ctx, wanted, out)
}

// checkHookEnv refuses what hooks may not decide about.
func (b *builder) checkHookEnv() error {
	for _, v := range b.hookEnv {
		if name, _, _ := strings.Cut(v, "="); name == "DEB_BUILD_PROFILES" {
			return &partError{hook.BeforeBuild.FailStage(),
				fmt.Errorf(
					"a hook sets %s: the build dependencies are installed already; use --profiles",
					name)}
		}
	}
	return nil
}
