package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/output"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// checkArch tells whether there is anything to build.
func (b *builder) checkArch(context.Context) error {
	archs := b.in.Architectures()
	some := b.o.Source || b.o.ArchAll && slices.Contains(archs, "all")
	for _, a := range archs {
		if b.o.ArchAny && a != "all" && dsc.MatchArch(b.host, a) {
			some = true
		}
	}
	if !some {
		b.log.Section("Check architectures")
		b.log.Printf("Arch check failed: nothing is built for %s by a source for: %s", b.host,
			strings.Join(archs, " "))
		return fmt.Errorf("%w: %s builds for %s", errSkipped, b.header.Package,
			strings.Join(archs, ", "))
	}
	return nil
}

// environment is what the build's environment is made of.
func (b *builder) environment() buildroot.Environment {
	e := buildroot.Environment{Options: b.o.Options, Profiles: b.o.Profiles, Changed: b.hookEnv}
	if b.cross() {
		e.Cross = b.host
	}
	return e
}

// worker runs commands in the open jail as the user that builds.
func (b *builder) worker() buildroot.Worker {
	return buildroot.Worker{Jail: b.open, Env: b.environment(), Log: b.log}
}

// packSource makes a source package out of a source directory, in a jail of its own.
func (b *builder) packSource(ctx context.Context) error {
	jail, err := b.openJail(ctx, false)
	if err != nil {
		return err
	}
	if err := b.in.Pack(ctx, b.worker(), b.env.Log, b.o.SourceOpts); err != nil {
		return err
	}
	b.packedIn = sandbox.Lower{Jail: jail.ID()}
	_, err = b.closeJail()
	return err
}

// inBuildJail are the stages whose hooks run in the jail that builds.
var inBuildJail = []hook.Stage{hook.BeforeBuild, hook.BuildEnded, hook.AfterBuild, hook.BuildFailed,
	hook.Cleanup}

// unpack opens the jail that builds, and unpacks the source in it.
func (b *builder) unpack(ctx context.Context) (err error) {
	if b.jail, err = b.openBuildJail(ctx); err != nil {
		return err
	}
	b.watch.begin() // a copy of the tree is no need of this source's own
	b.describeJail()
	if err := b.describeEnvironment(); err != nil {
		return err
	}
	b.log.Section("Build")
	b.log.Subsection("Unpack source")
	if b.in.Tree == nil {
		b.log.Printf("%s\n", b.in.Text)
	}
	if b.sourceTar != "" {
		b.log.Printf("The source was unpacked before the build dependencies, for hooks.")
		return b.bringBackSource(ctx)
	}
	if err := b.unpackSource(ctx); err != nil {
		return err
	}
	return b.confirm()
}

// unpackSource unpacks the source in the open jail.
func (b *builder) unpackSource(ctx context.Context) error {
	err := b.in.Unpack(ctx, b.worker())
	b.unpacked = err == nil
	return err
}

// toolchain are the packages that a log names first.
var toolchain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(
		`^(binutils|dpkg-dev|g\+\+-[0-9.]+|gcc-[0-9.]+|libc6(\.1)?-dev|libstdc\+\+-?[0-9.]+-dev|libstdc\+\+6|linux-libc-dev)$`)
})

// describeEnvironment writes what the build is done with.
func (b *builder) describeEnvironment() error {
	packages, err := buildroot.Installed(b.jail)
	if err != nil {
		return err
	}
	slices.SortFunc(packages, func(a, b base.Package) int {
		return strings.Compare(a.Name, b.Name)
	})
	var tools, all []string
	for _, p := range packages {
		text := p.Name + "_" + p.Version
		if toolchain().MatchString(p.Name) {
			tools = append(tools, text)
		}
		all = append(all, text)
	}
	b.log.Section("Check architectures") // sbuild's place; it was asked before anything was done
	b.log.Printf("Arch check ok (%s included in %s)", b.host,
		strings.Join(b.in.Architectures(), " "))
	b.log.Section("Build environment")
	b.log.Printf("Kernel: %s", kernel())
	b.log.Printf("Toolchain package versions: %s", strings.Join(tools, " "))
	b.log.Printf("Package versions: %s", strings.Join(all, " "))
	return nil
}

// compile runs dpkg-buildpackage, and then ends whatever it left running.
func (b *builder) compile(ctx context.Context) error {
	tree := path.Join(buildroot.Dir, b.in.DSC.DirName())
	b.log.Filter(tree, buildlog.NamePackage)
	b.log.Filter(buildroot.Dir, buildlog.NameBuild)
	if !slices.ContainsFunc(b.o.Options, func(s string) bool {
		return strings.HasPrefix(s, "parallel=")
	}) {
		n, err := b.env.jobs()
		if err != nil {
			return err
		}
		b.o.Options = append(b.o.Options, "parallel="+strconv.Itoa(b.limitedJobs(n)))
		b.result.Target.Options = b.o.Options
	}
	if err := b.checkHookEnv(); err != nil {
		return err
	}
	command := b.worker().Command(tree, b.command()...)
	b.describeSpace()
	b.log.Subsection("User Environment")
	sorted := slices.Sorted(slices.Values(command.Env))
	b.log.Printf("%s", strings.Join(sorted, "\n"))
	b.log.Subsection("dpkg-buildpackage")
	b.log.Printf("Command: %s", strings.Join(command.Argv, " "))
	begin := time.Now()
	status, err := b.worker().Run(ctx, command)
	b.summary.BuildTime = time.Since(begin)
	if err != nil {
		return err
	}
	// what the package said, before what we say about it
	b.outcome.Tail = b.log.Tail(output.TailLines)
	b.log.BuildFinished(time.Now(), status.Success())
	b.result.Outcome.Exit, b.result.Outcome.Signal = status.Code, int(status.Signal)
	b.result.Use.PeakMemory, b.result.Use.UserTime, b.result.Use.SystemTime = status.MaxRSS,
		status.User.Seconds(), status.System.Seconds()
	if err := b.sourceOnly(ctx, tree, status.Success()); err != nil {
		return err
	}
	if err := b.measureSpace(ctx); err != nil {
		return err
	}
	if err := b.endStrays(); err != nil {
		return err
	}
	b.built = status.Success()
	_, err = b.runHooks(ctx, hook.BuildEnded)
	if !status.Success() {
		return errors.Join(errors.New(buildlog.BuildFailure(status.Code, int(status.Signal))),
			hideStage(err))
	}
	if n := len(b.result.Strays); err == nil && n > 0 && b.o.Strays == strays.Fail {
		b.built = false
		err = fault.New(fault.Attempted, "--strays=warn lists them and goes on",
			"the build left %s running", fault.Count(n, "process", "processes"))
	}
	return err
}

// hideStage makes a failed hook one more failure of the stage that had failed already.
func hideStage(err error) error {
	var part *partError
	if errors.As(err, &part) {
		return part.err
	}
	return err
}

// measureSpace is sbuild's Build-Space: what the tree and the results take on disk, in KiB.
func (b *builder) measureSpace(ctx context.Context) error {
	out := output.Capture{Limit: output.Few}
	status, err := b.jail.RunTo(ctx, b.worker().Command("/", "du", "-k", "-s", buildroot.Dir), &out,
		io.Discard)
	if err != nil {
		return err
	}
	said, err := out.String()
	if err != nil {
		return fmt.Errorf("measuring the space of the build with du: %w", err)
	}
	text, _, _ := strings.Cut(said, "\t")
	// du fails when the build has made a directory that its own user cannot read.
	if b.summary.Space, err = strconv.ParseInt(text, 10, 64); err != nil || !status.Success() {
		b.summary.Space = -1
	}
	return nil
}

// endStrays lists what the build left running, and ends it.
func (b *builder) endStrays() error {
	left, err := b.jail.Sweep()
	if err != nil || len(left) == 0 {
		return err
	}
	b.log.Subsection("Processes left behind")
	for _, s := range left {
		b.log.Printf("%d (parent %d, %s old): %s", s.PID, s.PPID, s.Age, s.Command)
		b.result.Strays = append(b.result.Strays, result.Stray{PID: s.PID, Command: s.Command,
			Parent: strconv.Itoa(s.PPID)})
	}
	b.log.Printf("The build left %d running; they were ended.", len(left))
	if b.o.Strays.Shown() {
		for _, s := range left {
			b.env.Log.Warnf("still running at the end of the build: pid %d (parent %d), for %v: %s",
				s.PID, s.PPID, s.Age, s.Command)
		}
	}
	b.header.Extra = append(b.header.Extra,
		buildlog.Field{Name: "Strays", Value: strconv.Itoa(len(left))})
	return nil
}
