package pkgbuild

import (
	"cmp"
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
func (at *attempt) checkArch(context.Context) error {
	archs := at.in.Architectures()
	some := at.o.Source || at.o.ArchAll && slices.Contains(archs, "all")
	for _, a := range archs {
		if at.o.ArchAny && a != "all" && dsc.MatchArch(at.host, a) {
			some = true
		}
	}
	if !some {
		at.log.Section("Check architectures")
		at.log.Printf("Arch check failed: nothing is built for %s by a source for: %s", at.host,
			strings.Join(archs, " "))
		return fmt.Errorf("%w: %s builds for %s", errSkipped, at.header.Package,
			strings.Join(archs, ", "))
	}
	return nil
}

// environment is what the build's environment is made of.
func (at *attempt) environment() buildroot.Environment {
	e := buildroot.Environment{Options: at.options, Profiles: at.o.Profiles, Changed: at.hookEnv}
	if at.cross() {
		e.Cross = at.host
	}
	if at.o.Exact != nil {
		e.Whole = append([]string{}, at.o.Exact.Environment...)
	}
	return e
}

// sourceTree is where the source lies in the jail, unpacked.
func (at *attempt) sourceTree() string {
	return cmp.Or(at.ownTree(), path.Join(buildroot.Dir, at.in.DSC.DirName()))
}

// ownTree is where the source is unpacked, where that is not the usual place; "" where it is.
func (at *attempt) ownTree() string {
	if dir := at.o.Vary.Dir; dir != "" && at.in.DSC != nil {
		return path.Join(dir, at.in.DSC.DirName())
	}
	return at.o.Exact.tree()
}

// worker runs commands in the open jail as the user that builds.
func (at *attempt) worker() buildroot.Worker {
	w := buildroot.Worker{Jail: at.root.open, Env: at.environment(), Log: at.log,
		Tree: at.ownTree()}
	if v := at.root.varied; v != nil {
		w.UID, w.GID = v.UID, v.GID
		w.Env.Changed = append(slices.Clone(w.Env.Changed), v.environment()...)
	}
	return w
}

// packSource makes a source package out of a source directory, in a jail of its own.
func (at *attempt) packSource(ctx context.Context) error {
	jail, err := at.openJail(ctx, false)
	if err != nil {
		return err
	}
	if err := at.in.Pack(ctx, at.worker(), at.env.Log, at.o.SourceOpts); err != nil {
		return at.explainRefusal(err, ctx.Err() == nil)
	}
	at.sources.packedIn = sandbox.Lower{Jail: jail.ID()}
	if at.o.Provenance != "" {
		is, err := at.in.Plan(ctx)
		if err != nil {
			return fmt.Errorf("reading the source directory for --provenance: %w", err)
		}
		at.result.Source.TreeDigest = is.TreeDigest
	}
	_, err = at.closeJail()
	return err
}

// inBuildJail are the stages whose hooks run in the jail that builds.
var inBuildJail = []hook.Stage{hook.BeforeBuild, hook.BuildEnded, hook.AfterBuild, hook.BuildFailed,
	hook.Cleanup}

// unpack opens the jail that builds, and unpacks the source in it.
func (at *attempt) unpack(ctx context.Context) (err error) {
	if at.root.jail, err = at.openBuildJail(ctx); err != nil {
		return err
	}
	at.watch.Begin() // a copy of the tree is no need of this source's own
	at.describeJail()
	if err := at.describeEnvironment(); err != nil {
		return err
	}
	at.log.Section("Build")
	at.log.Subsection("Unpack source")
	if at.in.Tree == nil {
		at.log.Printf("%s\n", at.in.Text)
	}
	if at.sources.tar != "" {
		at.log.Printf("The source was unpacked before the build dependencies, for hooks.")
		return at.bringBackSource(ctx)
	}
	if err := at.unpackSource(ctx); err != nil {
		return err
	}
	return at.confirm()
}

// unpackSource unpacks the source in the open jail.
func (at *attempt) unpackSource(ctx context.Context) error {
	err := at.in.Unpack(ctx, at.worker())
	at.sources.unpacked = err == nil
	return err
}

// toolchain are the packages that a log names first.
var toolchain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(
		`^(binutils|dpkg-dev|g\+\+-[0-9.]+|gcc-[0-9.]+|libc6(\.1)?-dev|` +
			`libstdc\+\+-?[0-9.]+-dev|libstdc\+\+6|linux-libc-dev)$`)
})

// describeEnvironment writes what the build is done with.
func (at *attempt) describeEnvironment() error {
	packages, sizes, err := buildroot.InstalledSizes(at.root.jail)
	if err != nil {
		return err
	}
	if at.result.Inputs.Dependencies == nil { // an earlier build had installed them
		at.result.Inputs.Dependencies = listed(buildroot.Beyond(packages,
			at.base.Manifest.Packages))
	}
	at.noteSizes(sizes)
	at.found.installed = packages
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
	at.log.Section("Check architectures") // sbuild's place; it was asked before anything was done
	at.log.Printf("Arch check ok (%s included in %s)", at.host,
		strings.Join(at.in.Architectures(), " "))
	at.log.Section("Build environment")
	at.log.Printf("Kernel: %s", kernel())
	at.log.Printf("Toolchain package versions: %s", strings.Join(tools, " "))
	at.log.Printf("Package versions: %s", strings.Join(all, " "))
	return nil
}

// compile runs dpkg-buildpackage, and then ends whatever it left running.
func (at *attempt) compile(ctx context.Context) error {
	tree := at.sourceTree()
	at.log.Filter(tree, buildlog.NamePackage)
	at.log.Filter(path.Dir(tree), buildlog.NameBuild)
	var err error
	if at.options, err = at.withJobs(at.options); err != nil {
		return err
	}
	at.result.Target.Options = at.options
	at.trace(ctx)
	if err := at.checkHookEnv(); err != nil {
		return err
	}
	if err := at.vary(ctx); err != nil {
		return err
	}
	command := at.worker().Command(tree, at.variedCommand()...)
	command.Env = append(command.Env, clockEnvironment(at.o.Vary.Clock)...)
	at.describeSpace()
	at.log.Subsection("User Environment")
	sorted := slices.Sorted(slices.Values(command.Env))
	at.log.Printf("%s", strings.Join(sorted, "\n"))
	at.log.Subsection("dpkg-buildpackage")
	at.log.Printf("Command: %s", strings.Join(command.Argv, " "))
	if at.o.Hold != nil {
		if err := at.o.Hold(ctx); err != nil {
			return err
		}
	}
	begin := time.Now()
	at.log.BeginSteps()
	status, err := at.worker().Run(ctx, command)
	at.summary.BuildTime = time.Since(begin)
	at.noteSteps(time.Now())
	if err != nil {
		return err
	}
	// what the package said, before what we say about it
	if err := at.keepTail(!status.Success()); err != nil {
		return err
	}
	at.log.BuildFinished(time.Now(), status.Success())
	at.result.Outcome.Exit, at.result.Outcome.Signal = status.Code, int(status.Signal)
	at.result.Use.PeakMemory, at.result.Use.UserTime, at.result.Use.SystemTime = status.MaxRSS,
		status.User.Seconds(), status.System.Seconds()
	if err := at.sourceOnly(ctx, tree, status.Success()); err != nil {
		return err
	}
	if err := at.measureSpace(ctx); err != nil {
		return err
	}
	if err := at.endStrays(); err != nil {
		return err
	}
	at.built = status.Success()
	_, err = at.runHooks(ctx, hook.BuildEnded)
	if !status.Success() {
		return errors.Join(errors.New(buildlog.BuildFailure(status.Code, int(status.Signal))),
			hideStage(err))
	}
	if n := len(at.found.strays); err == nil && n > 0 && at.o.Strays == strays.Fail {
		at.built = false
		err = fault.New(fault.Attempted, "--strays=warn lists them and goes on",
			"the build left %s running", fault.Count(n, "process", "processes"))
	}
	return err
}

// hideStage makes a failed hook one more failure of the stage that had failed already.
func hideStage(err error) error {
	var part *stageError
	if errors.As(err, &part) {
		return part.err
	}
	return err
}

// measureSpace is sbuild's Build-Space: what the tree and the results take on disk, in KiB.
func (at *attempt) measureSpace(ctx context.Context) error {
	out := output.Capture{Limit: output.Few}
	status, err := at.root.jail.RunTo(ctx,
		at.worker().Command("/", "du", "-k", "-s", at.worker().Dir()), &out,
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
	if at.summary.Space, err = strconv.ParseInt(text, 10, 64); err != nil || !status.Success() {
		at.summary.Space = -1
	}
	return nil
}

// endStrays lists what the build left running, and ends it.
func (at *attempt) endStrays() error {
	left, err := at.root.jail.Sweep()
	if err != nil || len(left) == 0 {
		return err
	}
	at.log.Subsection("Processes left behind")
	for _, s := range left {
		at.log.Printf("%d (parent %d, %s old): %s", s.PID, s.PPID, s.Age, s.Command)
		at.found.strays = append(at.found.strays, result.Stray{PID: s.PID, Command: s.Command,
			Parent: strconv.Itoa(s.PPID)})
	}
	at.log.Printf("The build left %d running; they were ended.", len(left))
	if at.o.Strays.Shown() {
		for _, s := range left {
			at.env.Log.Warnf(
				"still running at the end of the build: pid %d (parent %d), for %v: %s",
				s.PID, s.PPID, s.Age, s.Command)
		}
	}
	at.found.own = append(at.found.own,
		buildlog.Field{Name: "Strays", Value: strconv.Itoa(len(left))})
	return nil
}
