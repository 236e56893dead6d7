package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
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
	archs := b.in.architectures()
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

func (in *input) architectures() []string {
	if in.tree != nil {
		return in.tree.Control.Architecture()
	}
	return in.dsc.Architecture
}

// asBuilder is a command of the unprivileged user that builds.
func (b *builder) asBuilder(dir string, argv ...string) sandbox.Command {
	return sandbox.Command{Argv: argv, Dir: dir, Env: b.buildEnv(), UID: bootstrap.BuilderUID,
		GID: bootstrap.BuilderGID}
}

// buildEnv is the environment of the build. TERM, and all that the caller has, is left out.
func (b *builder) buildEnv() []string {
	env := []string{
		"PATH=" + sandbox.DefaultPath,
		"HOME=/nonexistent", "LC_ALL=C.UTF-8", "SHELL=/bin/sh", "USER=" + bootstrap.BuilderName,
		"LOGNAME=" + bootstrap.BuilderName,
		"DEB_BUILD_OPTIONS=" + strings.Join(b.o.Options, " "),
	}
	if len(b.o.Profiles) > 0 {
		env = append(env, "DEB_BUILD_PROFILES="+strings.Join(b.o.Profiles, " "))
	}
	for _, v := range b.hookEnv {
		name, _, _ := strings.Cut(v, "=")
		env = append(
			slices.DeleteFunc(env, func(s string) bool { return strings.HasPrefix(s, name+"=") }),
			v)
	}
	if b.hasFakeroot() {
		env = append(env, noRealChown)
	}
	if b.cross() {
		env = append(env, "CONFIG_SITE=/etc/dpkg-cross/cross-config."+b.host)
	}
	return env
}

// noRealChown keeps fakeroot from trying first what it fakes. It lets chown fail with EPERM, as on
// a host; to an id that a jail does not map (those above 65535, which tar archives have) the kernel
// says EINVAL, which fakeroot hands on.
const noRealChown = "FAKEROOTDONTTRYCHOWN=1"

// hasFakeroot tells whether fakeroot is installed in the jail that is open.
func (b *builder) hasFakeroot() bool {
	if b.open == nil {
		return false
	}
	f, err := b.open.Open("/var/lib/dpkg/info/fakeroot.list")
	if err != nil {
		return false // dpkg has no list of its files
	}
	_ = f.Close() // nothing was written
	return true
}

// run runs a command of the builder with its output in the log.
func (b *builder) run(ctx context.Context, jail *sandbox.Jail, c sandbox.Command) (sandbox.Status,
	error) {
	out, errs := b.log.Stream(), b.log.Stream()
	defer errs.Flush()
	defer out.Flush()
	return jail.RunTo(ctx, c, out, errs)
}

// packSource makes a source package out of a source directory, in a jail: what is in the directory
// may be as hostile as any source.
func (b *builder) packSource(ctx context.Context) error {
	jail, err := b.openJail(ctx, false)
	if err != nil {
		return err
	}
	if err := buildroot.MakeDir(jail); err != nil {
		return err
	}
	tree := b.in.tree
	name := tree.Name + "-" + tree.Version.Upstream()
	into := path.Join(buildroot.Dir, name)
	if err := b.copyIn(ctx, jail, tree.Dir, into); err != nil {
		return fmt.Errorf("copying %s into the jail: %w", tree.Dir, err)
	}
	if err := copyUpstream(ctx, jail, tree); err != nil {
		return err
	}
	if err := b.overlay(ctx, jail, name); err != nil {
		return err
	}
	status, err := b.run(ctx,
		jail,
		b.asBuilder(buildroot.Dir, append(append([]string{"dpkg-source"}, b.o.SourceOpts...), "-b",
			name)...))
	if err != nil {
		return err
	}
	if !status.Success() {
		return fmt.Errorf("dpkg-source -b %s: %s", tree.Dir, status)
	}
	if b.in.dsc, err = b.readBuiltDSC(jail); err != nil {
		return err
	}
	remove := b.asBuilder(buildroot.Dir, "rm", "-rf", name)
	// of directories that nobody may write to the builder could delete nothing
	remove.UID, remove.GID = 0, 0
	if status, err = b.run(ctx, jail, remove); err != nil || !status.Success() {
		return errors.Join(err, fmt.Errorf("deleting the copy of %s: %s", tree.Dir, status))
	}
	b.packedIn = sandbox.Lower{Jail: jail.ID()}
	_, err = b.closeJail()
	return err
}

func (b *builder) readBuiltDSC(jail *sandbox.Jail) (*dsc.Source, error) {
	name := b.in.tree.Name + "_" + b.in.tree.Version.FileName() + ".dsc"
	f, err := jail.Open(path.Join(buildroot.Dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return dsc.Parse(name, io.LimitReader(f, maxDSC), nil)
}

func copyFileIn(ctx context.Context, jail *sandbox.Jail, from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return buildroot.Fill(jail, to, mode, func(out io.Writer) error {
		_, err := io.Copy(out, until(ctx, in))
		return err
	})
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
	if b.in.tree == nil {
		b.log.Printf("%s\n", b.in.text)
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

// unpackSource brings the verified source into the open jail, and unpacks it there: its tarballs
// are hostile.
func (b *builder) unpackSource(ctx context.Context) error {
	source := b.in.dsc
	if b.in.tree == nil {
		if err := b.bringSource(ctx, source); err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
	}
	status, err := b.run(ctx, b.open,
		b.asBuilder(buildroot.Dir, "dpkg-source", "-x", filepath.Base(source.Path),
			source.DirName()))
	if err == nil && !status.Success() {
		err = fmt.Errorf("dpkg-source -x %s: %s", filepath.Base(source.Path), status)
	}
	b.unpacked = err == nil
	return err
}

// bringSource copies the .dsc and its files into the jail and checks them on the way: what was
// checked is what is built.
func (b *builder) bringSource(ctx context.Context, source *dsc.Source) error {
	if err := buildroot.MakeDir(b.open); err != nil {
		return err
	}
	err := buildroot.Fill(b.open, path.Join(buildroot.Dir, filepath.Base(source.Path)), 0,
		func(w io.Writer) error {
			_, err := w.Write(b.in.text)
			return err
		})
	if err != nil {
		return err
	}
	open := openUntil(ctx, sourceFile(b.in.dir))
	return source.Verify(func(name string) (io.ReadCloser, error) {
		in, err := open(name)
		if err != nil {
			return nil, err
		}
		out, err := b.open.Create(path.Join(buildroot.Dir, name), 0o644, bootstrap.BuilderUID,
			bootstrap.BuilderGID)
		if err != nil {
			return nil, errors.Join(err, in.Close())
		}
		return &teeCloser{io.TeeReader(in, out), in, out}, nil
	})
}

// teeCloser is a file being read and copied.
type teeCloser struct {
	io.Reader
	in, out io.Closer
}

func (t *teeCloser) Close() error { return errors.Join(t.in.Close(), t.out.Close()) }

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
		strings.Join(b.in.architectures(), " "))
	b.log.Section("Build environment")
	b.log.Printf("Kernel: %s", kernel())
	b.log.Printf("Toolchain package versions: %s", strings.Join(tools, " "))
	b.log.Printf("Package versions: %s", strings.Join(all, " "))
	return nil
}

// compile runs dpkg-buildpackage, and then ends whatever it left running.
func (b *builder) compile(ctx context.Context) error {
	tree := path.Join(buildroot.Dir, b.in.dsc.DirName())
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
	command := b.asBuilder(tree, b.command()...)
	b.describeSpace()
	b.log.Subsection("User Environment")
	sorted := slices.Sorted(slices.Values(command.Env))
	b.log.Printf("%s", strings.Join(sorted, "\n"))
	b.log.Subsection("dpkg-buildpackage")
	b.log.Printf("Command: %s", strings.Join(command.Argv, " "))
	begin := time.Now()
	status, err := b.run(ctx, b.jail, command)
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
	status, err := b.jail.RunTo(ctx, b.asBuilder("/", "du", "-k", "-s", buildroot.Dir), &out,
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
