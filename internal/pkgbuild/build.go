package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/copies"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/install"
	"nsbuild/internal/machine"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
	"nsbuild/internal/strays"
	"nsbuild/internal/workdir"
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

	Hooks          *hook.Set // nil: none
	ShellOnFailure bool      // open a shell in the jail that failed
	Terminal       *os.File  // the caller's, for shells; nil: there is none
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

// builder is one build under way.
type builder struct {
	env        *Env
	o          Options
	in         *source.Source
	suite      suites.Suite
	arch       string // of the jail
	host       string // of the packages
	output     string
	base       *base.Generation
	repos      []archive.Repo     // of the base
	news       *bases.News        // of them, while they are on their way
	releases   []*archive.Release // of them, once the mirror was asked
	place      place              // of what is written
	holder     *sandbox.Holder
	watch      *watch          // of the room there
	attempt    int             // lines of the log when this attempt began
	overflowed int64           // size of the tmpfs that was full in the attempt before
	lowers     []sandbox.Lower // topmost first
	jail       *sandbox.Jail   // that builds
	open       *sandbox.Jail   // the one that is open; nil: none
	openWhole  bool            // it is a copy of the layers below it
	plain      bool            // the jail that builds is such a copy
	seen       string          // the line of the log that asked for one
	stopped    bool            // nothing can be run in it any more
	unpacked   bool            // the source lies in it
	built      bool            // and the results
	installer  *install.Into   // of packages that hooks want
	sourceTar  string          // the unpacked source, while it is in no jail
	packedIn   sandbox.Lower   // the jail in which it was made
	// the source package that was made of a directory, taken out of the jail
	packed     *source.Source
	hookEnv    []string        // what hooks add to the build's environment
	hookedRoot deps.Hooked     // what hooks have made of the base, below the build dependencies
	deps       *deps.Installed // the build dependencies; nil before they are
	copies     *copies.Beside  // of packages
	log        *buildlog.File
	header     buildlog.Header
	summary    buildlog.Summary
	result     *result.Result
	outcome    *Outcome

	version       dsc.Version // of the packages
	sourceChanges []byte      // of the source alone, when one was asked for
	extra         deps.Extra
}

// stage is one step of a build. Its sbuild name decides the status of its failure.
type stage struct {
	name  string // of the phase a user sees
	fails string // Fail-Stage
	run   func(*builder, context.Context) error
}

func (b *builder) stages() []stage {
	all := []stage{{"check architectures", buildlog.StageArchCheck, (*builder).checkArch}}
	if b.in.Tree != nil {
		all = append(all, stage{"source package", buildlog.StageFetchSrc, (*builder).packSource})
	}
	all = append(all,
		stage{"build dependencies", buildlog.StageInstallDeps, (*builder).installDeps},
		stage{"unpack", buildlog.StageUnpack, (*builder).unpack})
	if b.o.ownVersion() {
		all = append(all, stage{"changelog entry", buildlog.StageHackBinNMU, (*builder).writeEntry})
	}
	all = append(all,
		stage{"build", buildlog.StageBuild, (*builder).compile},
		stage{"collect", buildlog.StageParseChanges, (*builder).collect})
	if b.o.Sign {
		all = append(all, stage{"sign", stageSign, (*builder).sign})
	}
	return b.checked(b.hooked(all))
}

// Build builds one source package. The outcome is nil when it failed before there was a log.
func (e *Env) Build(ctx context.Context, spec string, o Options) (*Outcome, error) {
	b, err := e.prepare(ctx, spec, o)
	if err != nil {
		return nil, fault.Interruption(ctx, err)
	}
	defer b.release(ctx)
	err = b.runStages(ctx)
	if errors.Is(err, errOutdated) {
		if err = b.againOverNew(ctx); err == nil {
			err = b.runStages(ctx)
		}
	}
	err = b.notFull(ctx, err)
	if err != nil && b.mayBePlain(ctx) {
		if err = b.againPlain(ctx); err == nil {
			err = b.notFull(ctx, b.runStages(ctx))
		}
	}
	err = b.afterStages(ctx, err)
	b.deps.Saved()
	if err == nil {
		b.noteNeed()
		b.tellKilled()
	}
	return b.outcome, b.report(fault.Interruption(ctx, err))
}

// notFull runs the stages again on disk when a tmpfs was full.
func (b *builder) notFull(ctx context.Context, err error) error {
	if !errors.Is(err, errFull) || !b.onTmpfs() || b.o.Scratch == ScratchTmpfs {
		return err
	}
	if err := b.againOnDisk(ctx); err != nil {
		return err
	}
	return b.runStages(ctx)
}

// runStages runs one stage after the other until one fails. A full scratch is told from a failure
// of the package.
func (b *builder) runStages(ctx context.Context) error {
	for _, s := range b.stages() {
		ph := b.env.Progress.Phase(s.name)
		stop := b.env.Meter.During(ph)
		begin, before := time.Now(), b.exhausted()
		err := s.run(b, ctx)
		stop()
		if err != nil && ctx.Err() == nil && !errors.Is(err, errSkipped) &&
			errors.Is(b.confirm(), errOutdated) {
			err = errOutdated // whatever failed, it did so over a base that is not the newest
		}
		if errors.Is(err, errOutdated) { // it is begun again
			ph.Done(nil)
			return err
		}
		ph.Done(err)
		b.result.Stages = append(b.result.Stages,
			result.Stage{Name: s.name, Seconds: time.Since(begin).Seconds(), Failed: err != nil})
		if err != nil {
			b.outcome.Stage = s.fails
			if part := (*partError)(nil); errors.As(err, &part) {
				b.outcome.Stage = part.stage
			}
			if ctx.Err() == nil && b.spaceRanOut(s) {
				return b.fullScratch(err)
			}
			if e := b.exhausted().Since(before); e != nil && ctx.Err() == nil {
				return b.outOfMemory(e, err)
			}
			return err
		}
	}
	return nil
}

// againOnDisk makes everything ready for the stages to run once more, over a scratch that does not
// fill so soon.
func (b *builder) againOnDisk(ctx context.Context) error {
	again := fmt.Sprintf(
		"the tmpfs of %d MiB that the build wrote to is full; it is built again, on disk",
		b.place.limit>>20)
	b.env.Log.Warn(again)
	b.log.Section("Scratch full")
	b.log.Warning("%s", again)
	b.overflowed = b.place.limit
	b.dropAttempt(ctx)
	return b.hold(ctx, (*builder).diskScratch)
}

// dropAttempt forgets what the stages have done so far, but what they have kept for later builds.
func (b *builder) dropAttempt(ctx context.Context) {
	b.deps.Saved()
	b.endAttempt(ctx)
	b.openWhole = false
	b.open, b.stopped, b.unpacked, b.built, b.hookEnv, b.result.Hooks = nil, false, false, false,
		nil, nil
	b.attempt = b.log.Lines()
	b.outcome.Stage, b.outcome.Tail, b.result.Strays, b.result.Inputs.Layer = "", nil, nil,
		result.Layer{}
}

// hold starts the sandbox that the build's jails are in, with their upper directories in the place
// that choose says.
func (b *builder) hold(ctx context.Context, choose func(*builder) (place, error)) (err error) {
	if b.place, err = choose(b); err != nil {
		return err
	}
	if b.holder, err = b.env.Work.HoldFor(ctx, b.base.Manifest.Arch, sandbox.HolderSpec{
		IDs: b.base.Manifest.IDs, ScratchDir: b.place.dir, ScratchSize: b.place.limit,
		Limits: b.o.Limits}); err != nil {
		return err
	}
	b.lowers = []sandbox.Lower{{Path: b.base.Tree()}}
	b.result.Isolation.Scratch = string(b.holder.Scratch())
	if b.plain = b.plain || b.o.Scratch == ScratchCopy; b.plain {
		b.result.Isolation.Scratch = string(sandbox.ScratchCopy)
	}
	b.header.Extra = []buildlog.Field{
		{Name: "Isolation", Value: b.base.Manifest.IDs.String()},
		{Name: "Scratch", Value: b.result.Isolation.Scratch},
		{Name: "Base", Value: fmt.Sprintf("%s, generation %d of %s", b.base.Name, b.base.Number,
			b.base.Manifest.Created.Format(time.DateOnly))},
	}
	b.watch, err = watchSpace(b.holder)
	return err
}

// partError is a failure within a stage for which sbuild has a name of its own.
type partError struct {
	stage string
	err   error
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// errSkipped means that the source builds nothing for this architecture, which is no failure.
var errSkipped = errors.New("nothing to build")

// prepare does what comes before the log: the source's description, the output directory, the base,
// and fetching.
func (e *Env) prepare(ctx context.Context, spec string, o Options) (_ *builder, err error) {
	// other builds may have the same
	o.Options, o.Profiles = slices.Clone(o.Options), slices.Clone(o.Profiles)
	b := &builder{env: e, o: o, outcome: &Outcome{},
		copies: &copies.Beside{Maker: e.Copies, Log: e.Log},
		result: &result.Result{Program: e.Program, Started: time.Now().UTC()}}
	defer func() {
		if err != nil {
			b.release(ctx)
		}
	}()
	if err := o.checkSigner(); err != nil {
		return nil, err
	}
	if err := b.chooseArch(); err != nil {
		return nil, err
	}
	if b.in, err = e.sources().Open(ctx, spec); err != nil {
		return nil, err
	}
	if err := b.checkEntry(); err != nil {
		return nil, err
	}
	if err := e.sources().FromGit(ctx, b.in, o.Git); err != nil {
		return nil, err
	}
	if b.output, err = outputDir(o.Output, b.in); err != nil {
		return nil, err
	}
	if err := b.checkPlaces(); err != nil {
		return nil, err
	}
	if err := b.chooseSuite(); err != nil {
		return nil, err
	}
	if err := b.openBase(ctx); err != nil {
		return nil, err
	}
	if got := b.base.Manifest.Arch; got != b.arch {
		return nil, fault.New(fault.Usage, "name a base of that architecture with --base",
			"base %s is for %s, the build for %s", b.base.Name, got, b.arch)
	}
	if err := b.openAdditions(ctx); err != nil {
		return nil, err
	}
	if err := b.fetchSource(ctx); err != nil {
		return nil, err
	}
	if err := b.hold(ctx, (*builder).chooseScratch); err != nil {
		return nil, err
	}
	for _, n := range b.holder.Spared() {
		e.Log.WithField(fault.Shown, true).Warn(n)
	}
	return b, b.openLog()
}

// checkPlaces finds out whether what a build leaves can be stored, before it takes its time.
func (b *builder) checkPlaces() error {
	if err := checkWritable(b.output); err != nil {
		return fault.Wrap(fault.Usage, "choose another directory with --output",
			fmt.Errorf("the results cannot be stored: %w", err))
	}
	if b.o.LogDir != "" {
		if err := checkWritable(b.o.LogDir); err != nil {
			return fault.Wrap(fault.Usage, "choose another directory with --log-dir",
				fmt.Errorf("the log cannot be stored: %w", err))
		}
	}
	if b.o.Result == "" {
		return nil
	}
	if st, err := os.Stat(b.o.Result); err == nil && st.IsDir() {
		return fault.New(fault.Usage, "name a file", "--result %s is a directory", b.o.Result)
	}
	if err := checkWritable(filepath.Dir(b.o.Result)); err != nil {
		return fault.Wrap(fault.Usage, "choose another file with --result",
			fmt.Errorf("the machine-readable result cannot be stored: %w", err))
	}
	return nil
}

func (b *builder) fetchSource(ctx context.Context) error {
	if b.in.Name == "" && b.in.URL == "" {
		return nil
	}
	ph := b.env.Progress.Phase("source")
	defer b.env.Meter.During(ph)()
	from, err := b.sourceReleases(ctx)
	if err == nil {
		err = b.env.sources().Fetch(ctx, b.in, from)
	}
	ph.Done(err)
	return err
}

// sourceReleases are the suites to look for a source by its name in.
func (b *builder) sourceReleases(ctx context.Context) ([]*archive.Release, error) {
	if b.in.Suite == "" {
		return slices.Concat(b.releases, b.extra.Sources), nil
	}
	suite, err := b.env.Suites.Lookup(b.in.Suite)
	if err != nil {
		return nil, err
	}
	repos, err := b.env.Bases().Repos(bases.Options{Suite: suite, Mirror: b.o.Mirror})
	if err != nil {
		return nil, err
	}
	releases, err := b.env.Client.Releases(ctx, repos)
	return releases, fault.Wrap(fault.GivenBack, "", err)
}

// chooseSuite takes what was asked for, else what a directory's changelog says, else the default.
func (b *builder) chooseSuite() (err error) {
	name, said := b.o.Suite, "--dist"
	if name == "" {
		name, said = b.in.Distribution(), "the changelog's distribution"
	}
	if name == "" {
		name = DefaultSuite(b.env.Suites)
	}
	if b.suite, err = b.env.Suites.Lookup(name); err != nil {
		return fault.Wrap(fault.Usage, "choose one with --dist", fmt.Errorf("%s: %w", said, err))
	}
	return nil
}

// outputDir is where results go: where the user said, else the current directory; for a source
// directory that the user stands in, its parent, as with dpkg-buildpackage.
func outputDir(asked string, in *source.Source) (string, error) {
	if asked != "" {
		return filepath.Abs(asked)
	}
	cwd, err := os.Getwd()
	if err != nil || in.Tree == nil {
		return cwd, err
	}
	dir, err := source.Resolved(in.From)
	if err != nil {
		return "", err
	}
	if here, err := source.Resolved(cwd); err != nil {
		return "", err
	} else if here == dir || strings.HasPrefix(here, dir+"/") {
		return filepath.Dir(dir), nil
	}
	return cwd, nil
}

// context is the build for which relations are reduced.
func (b *builder) context() dsc.Context {
	return dsc.Context{BuildArch: b.arch, HostArch: b.host, Profiles: b.o.Profiles,
		ArchAny: b.o.ArchAny, ArchAll: b.o.ArchAll}
}

// openLog starts the log and the result.
func (b *builder) openLog() (err error) {
	name, text := b.in.Identity()
	version, err := dsc.ParseVersion(text)
	if err != nil {
		return err
	}
	if b.version, err = b.o.binaryVersion(version); err != nil {
		return err
	}
	if err := b.env.shared.claim(
		strings.Join([]string{b.output, name, b.version.String(), b.suite.Name, b.fileArch()},
			"\x00"), b.in.Spec); err != nil {
		return err
	}
	start := time.Now()
	var opt buildlog.Options
	if b.o.Verbose {
		opt.Tee = b.env.Progress.Writer()
		if b.o.ShowLog != nil {
			opt.Tee = b.o.ShowLog
		}
	}
	dir := b.output
	switch {
	case b.o.NoLog: // hooks and checks read it
		if dir, err = b.env.Work.Make("log-"); err != nil {
			return fmt.Errorf("opening the build log: %w", err)
		}
	case b.o.LogDir != "":
		if dir, err = filepath.Abs(b.o.LogDir); err != nil {
			return err
		}
		opt.LinkDir = b.output
	}
	if b.log, err = buildlog.Create(dir, name, b.version.FileName(), b.fileArch(), start,
		opt); err != nil {
		return fmt.Errorf("opening the build log: %w", err)
	}
	if !b.o.NoLog {
		b.outcome.LogPath = b.log.Path
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	b.header = buildlog.Header{
		Program: b.env.Program, Host: host, Package: name, Version: b.version.String(),
		SourceVersion: text, Distribution: b.suite.Name,
		MachineArch: machine.Native(), HostArch: b.host, BuildArch: b.arch, Profiles: b.o.Profiles,
		BuildType: b.o.buildType(), Start: start, Extra: b.header.Extra,
	}
	if limits := describeLimits(b.o.Limits); limits != "" {
		b.header.Extra = append(b.header.Extra, buildlog.Field{Name: "Limits", Value: limits})
	}
	b.log.Header(b.header)
	b.describeBase()
	b.describeAdditions()
	b.describeSource()
	b.warnProfiles()
	b.describeHooks()
	b.result.Isolation.Rung, b.result.Isolation.Host = string(b.base.Manifest.IDs.Rung),
		buildroot.Host
	b.result.Source = result.Source{Name: name, Version: text, From: b.in.Spec}
	b.result.Target = result.Target{Distribution: b.suite.Name, BuildArch: b.arch, HostArch: b.host,
		BuildType: b.o.buildType(), Profiles: b.o.Profiles, Options: b.o.Options}
	b.result.Log = b.outcome.LogPath
	return nil
}

// describeSource says in the log what is built.
func (b *builder) describeSource() {
	b.log.Section("Fetch source files")
	switch {
	case b.in.Tree != nil:
		b.log.Printf("Source directory %s", b.in.From)
		for _, n := range b.in.Notes {
			b.log.Printf("%s", n)
		}
	default:
		b.log.Printf("%s: %s", b.in.DSC.DscName(), b.in.DSC.Signature)
		for _, weak := range b.in.DSC.WeakFiles() {
			b.log.Warning("%s is promised by a weak hash only", weak)
		}
		b.env.Log.Debugf("%s: %s", b.in.DSC.DscName(), b.in.DSC.Signature)
	}
}

// release ends everything that a build holds. What can fail in it was only to be thrown away.
func (b *builder) release(ctx context.Context) {
	b.copies.Stop()
	if b.news != nil {
		b.news.End()
	}
	b.endAttempt(ctx)
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

// endAttempt ends the sandbox and what belongs to it.
func (b *builder) endAttempt(ctx context.Context) {
	if b.watch != nil {
		if err := b.watch.close(); err != nil {
			b.env.Log.Debugf("watching the scratch: %v", err)
		}
		b.watch = nil
	}
	if b.holder != nil {
		if err := b.holder.Close(); err != nil {
			b.env.Log.Warnf("ending the sandbox: %v", err)
		}
		b.holder, b.jail = nil, nil
	}
	if b.place.dir != "" {
		// A tmpfs is gone with its namespace. Other builds of this command may want the room on the
		// disk.
		ctx, cancel := workdir.Afterwards(ctx)
		if err := workdir.UnlessLate(b.env.Log, sandbox.RemoveTree(ctx, b.place.dir)); err != nil {
			b.env.Log.Warnf("deleting what the build wrote: %v", err)
		}
		cancel()
	}
	if b.place.give != nil {
		b.place.give()
	}
	b.place = place{}
	b.deps.Close()
	b.deps = nil
}
