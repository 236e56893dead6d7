package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/annotate"
	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/plan"
	"nsbuild/internal/strays"
)

// buildOptions are the flags of build, under sbuild's names where the meaning is the same.
type buildOptions struct {
	pkgbuild.Several
	archAll, noArchAll, archAny, noArchAny bool
	sourceOnly                             bool
	profiles                               string
	hooks                                  hookOptions
	checks                                 checkOptions
	scratchSize, maxResults                string
	limits                                 limitOptions
	kind                                   kindOptions
	jobsAtOnce                             string
	more                                   additionOptions
	keep                                   keepOptions
	annotations                            string
	provenance                             provenanceOptions
	pin                                    bool
}

func newBuild(a *app) *cobra.Command {
	var o buildOptions
	a.buildFlags = &o
	c := &cobra.Command{
		Use:   "build [SOURCE...]",
		Short: "Build source packages",
		Long: `build builds source packages. Each is built in a sandbox without network, over a
throwaway layer.

SOURCE is one of these:

    hello                fetched from the suite; also hello=2.10-3, hello/trixie
    hello_2.10-3.dsc     a source package; also the URL of one
    .                    a source directory, as without SOURCE in one
    hello.plan.json      a plan that --plan has written

A base that is missing is made. A base whose suite has newer packages is brought up to date. What is
configured for nsbuild create and nsbuild update holds for that, too.

The results go to the current directory, or to --output. The results of the current directory as a
source go to its parent. Their paths are printed on standard output. The log is
PACKAGE_VERSION_ARCH.build.

Several sources are built beside each other, as many at a time as processors and memory allow;
--jobs-at-once 1 builds one after the other. A failure does not stop the others. The exit status is
the worst: 128+N, else 1, else 64, else 2, else 3.
`,
		Example: "  nsbuild build hello\n  nsbuild build -d trixie foo_1.2-3.dsc\n  nsbuild build .",
		Args:    sourceArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if o.Sources = args; len(args) == 0 {
				o.Sources = []string{"."}
			}
			if o.PlanTo != "" && !c.Flags().Changed("result") {
				o.Result = "" // configured, it is for builds
			}
			if o.PlanTo != "" && !c.Flags().Changed("junit") {
				o.JUnit = ""
			}
			if o.PlanTo != "" && !c.Flags().Changed("report") {
				o.Report = ""
			}
			if o.PlanTo != "" && !c.Flags().Changed("provenance") {
				o.Provenance = ""
			}
			a.result.maker = &o.provenance
			if err := a.result.claim(o.Places, &o.Several); err != nil {
				return err
			}
			if err := o.complete(a.verbose, c.LocalNonPersistentFlags()); err != nil {
				return err
			}
			if err := o.provenance.complete(c.Flags(), o.Provenance); err != nil {
				return err
			}
			a.result.ask(&o.Several)
			return a.build(c.Context(), &o)
		},
	}
	o.addFlags(c.Flags())
	a.addJSON(c.Flags())
	return c
}

func (o *buildOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.Suite, "dist", "d", "", "build for this `SUITE`, or for several, with "+
		"commas between them (default: the one that a source directory's changelog names, else "+
		"this machine's own)")
	f.StringVar(&o.Base, "base", "", "build over this `BASE` (default: the suite's)")
	f.StringVarP(&o.Output, "output", "o", "", "put the results into `DIR`")
	f.StringVar(&o.LogDir, "log-dir", "", "put the log into `DIR` (default: beside the results)")
	f.BoolVar(&o.NoLog, "nolog", false, "leave no log behind")
	f.IntVar(&o.KeepLogs, "keep-logs", 1, "let the newest `N` logs of a version stay, for one "+
		"architecture and suite; 0: all")
	f.StringVar(&o.Mirror, "mirror", "", "make a missing base from the mirror at this `URL`")
	f.BoolVarP(&o.archAll, "arch-all", "A", false,
		"build architecture-independent packages (default)")
	f.BoolVar(&o.noArchAll, "no-arch-all", false, "build no architecture-independent packages")
	f.BoolVar(&o.archAny, "arch-any", false, "build architecture-dependent packages (default)")
	f.BoolVar(&o.noArchAny, "no-arch-any", false, "build no architecture-dependent packages")
	f.BoolVarP(&o.sourceOnly, "source-only", "S", false, "build the source package alone: nothing "+
		"is compiled, and no dependencies are installed")
	f.BoolVarP(&o.Source, "source", "s", false, "build the source package too")
	f.StringVarP(&o.profiles, "profiles", "P", "",
		"build with these `PROFILES`, with commas between them")
	f.IntVarP(&o.Jobs, "jobs", "j", 0,
		"let one build use `N` processes (default: as processors and memory allow)")
	f.StringVar(&o.jobsAtOnce, "jobs-at-once", "auto",
		"build `N` of several sources at a time; auto: as processors and memory allow")
	f.StringVar(&o.Scratch, "scratch", pkgbuild.ScratchAuto, "let the build write on `PLACE`: "+
		"tmpfs, disk, copy (a plain copy of the tree, no overlay), or auto, which chooses")
	f.StringArrayVar(&o.PlainSources, "plain-source", nil, "build the package `SOURCE` in a plain "+
		"copy of its tree where it would see an overlay; some are known without this option")
	f.StringVar(&o.scratchSize, "scratch-size", "", "let the tmpfs that the build writes to grow "+
		"to `SIZE`, such as 800M or 4G (default: half of the free memory)")
	f.StringVar(&o.maxResults, "max-results", "",
		"refuse results that are larger than `SIZE` together (default: 64G)")
	o.limits.addFlags(f, &o.Limits, "one build")
	f.DurationVar(&o.Timeout, "timeout", 0, "end a build that takes longer than `TIME`; 0: never")
	f.DurationVar(&o.Silence, "silence", 150*time.Minute,
		"end a build that writes nothing to its log for `TIME`; 0: never")
	f.StringVar((*string)(&o.Strays), "strays", string(strays.Kill), "`WHAT` is done when the "+
		"build leaves processes running: kill lists them in the log, warn here, too, fail lets "+
		"the build fail")
	f.BoolVar(&o.NoLayers, "no-layers", false,
		"install the build dependencies anew, and do not keep them for the next build")
	o.keep.addFlags(f, &o.Keeping)
	o.kind.addFlags(f, &o.Kind)
	o.more.addFlags(f, &o.Several)
	o.hooks.addBuildFlags(f, &o.ShellOnFailure)
	o.checks.addFlags(f, &o.Checks)
	f.StringVar(&o.PlanTo, "plan", "", "build nothing; write all that decides the build to `FILE`, "+
		"resolved and pinned, which is a SOURCE, too")
	f.StringVar(&o.LockTo, "lock", "", "write to `FILE` what was built, with every package that it "+
		"was built with, as a plan")
	f.BoolVar(&o.KeepLock, "keep-lock", false, "leave a lock beside the results: "+
		"PACKAGE_VERSION_ARCH"+plan.Suffix)
	f.StringVar(&o.JUnit, "junit", "",
		"write to `FILE` what became of builds and checks, as JUnit XML")
	f.StringVar(&o.annotations, "annotations", string(annotate.Auto), "show errors and the log as "+
		"`SERVICE` does: github, gitlab, none, or auto, which looks where it runs")
	f.StringVar(&o.Report, "report", "", "write to `FILE` a page about it (HTML)")
	o.provenance.addFlags(f, &o.Provenance)
	f.BoolVar(&o.pin, "cache-pin", false, "have the cache keep what it was made from (nsbuild "+
		"cache pin)")
	f.StringVar(&o.Result, "result", "", "write to `FILE` what became of it, for programs")
}

// sourceArgs wants a source, unless the current directory is one.
func sourceArgs(c *cobra.Command, args []string) error {
	if _, err := os.Stat(filepath.Join("debian", "changelog")); err == nil {
		return nil
	}
	return rangeArgs(1, -1, "which source?")(c, args)
}

// complete makes a request of the flags. Whether it contradicts itself is Validate's to say.
func (o *buildOptions) complete(verbose bool, set *pflag.FlagSet) error {
	g := given{set}
	if err := o.completeContents(g); err != nil {
		return err
	}
	if err := o.completeHow(g); err != nil {
		return err
	}
	o.more.complete(&o.Several)
	o.kind.complete(&o.Request, g)
	if err := o.keep.complete(&o.Keeping); err != nil {
		return err
	}
	if err := checkService(g, o.annotations); err != nil {
		return err
	}
	o.checks.complete(&o.Checks)
	o.Verbose = verbose
	return o.completeAtOnce(g)
}

// completeContents is what is built, and for what. Of two flags for the one question what is built
// the nearer one counts; from the same place they are no answer.
func (o *buildOptions) completeContents(g given) error {
	for _, name := range []string{"dist", "base", "output", "log-dir", "mirror", "arch", "host",
		"build-dep-resolver", "result", "junit", "report", "plan", "provenance", "provenance-key",
		"builder-id"} {
		if g.set.Changed(name) && g.set.Lookup(name).Value.String() == "" {
			return fault.New(fault.Usage, "leave it out for what is usual",
				"--%s: the value is empty", name)
		}
	}
	if err := o.completeSourceOnly(g); err != nil {
		return err
	}
	o.noArchAll = o.noArchAll || g.denied("arch-all", "no-arch-all")
	o.noArchAny = o.noArchAny || g.denied("arch-any", "no-arch-any")
	switch {
	case o.archAll && o.noArchAll:
		return fault.New(fault.Usage, "leave out one of them",
			"%s and %s contradict each other", g.place("arch-all"), g.place("no-arch-all"))
	case o.archAny && o.noArchAny:
		return fault.New(fault.Usage, "leave out one of them",
			"%s and %s contradict each other", g.place("arch-any"), g.place("no-arch-any"))
	}
	o.ArchAll, o.ArchAny = !o.noArchAll, !o.noArchAny
	for p := range strings.FieldsFuncSeq(o.profiles, func(r rune) bool {
		return r == ',' || r == ' '
	}) {
		o.Profiles = append(o.Profiles, p)
	}
	if p := os.Getenv("DEB_BUILD_PROFILES"); p != "" && !g.said("profiles") {
		o.Profiles = strings.Fields(p)
	}
	o.Said = g.origins()
	return o.completeMatrix()
}

// completeMatrix is for which suites and architectures is built, where there are several.
func (o *buildOptions) completeMatrix() (err error) {
	if o.Suites, err = o.Listed("dist", o.Suite); err != nil {
		return err
	}
	o.Archs, err = o.Listed("arch", o.Arch)
	return err
}

// completeSourceOnly has --source-only mean that there is the source package and no other.
func (o *buildOptions) completeSourceOnly(g given) error {
	if !o.sourceOnly {
		return nil
	}
	for _, other := range []string{"arch-all", "arch-any"} {
		if g.set.Changed(other) && g.set.Lookup(other).Value.String() == "true" &&
			!g.nearer("source-only", other) {
			return fault.New(fault.Usage, "leave out one of them; --source builds the source "+
				"package besides", "%s and %s contradict each other", g.place("source-only"),
				g.place(other))
		}
	}
	o.Source, o.archAll, o.archAny, o.noArchAll, o.noArchAny = true, false, false, true, true
	return nil
}

// completeHow is where the build writes, and what it may take. Of a disk and the size of a tmpfs
// the one that is said nearer counts.
func (o *buildOptions) completeHow(g given) (err error) {
	switch onDisk := o.Scratch == pkgbuild.ScratchDisk; {
	case onDisk && g.nearer("scratch-size", "scratch"):
		o.Scratch = pkgbuild.ScratchAuto
	case onDisk && g.nearer("scratch", "scratch-size"):
		o.scratchSize = ""
	}
	if o.Limits.Memory, err = parseSize(g.place("memory"), o.limits.memory); err != nil {
		return err
	}
	if o.MaxResults, err = parseSize(g.place("max-results"), o.maxResults); err != nil {
		return err
	}
	o.ScratchSize, err = parseSize(g.place("scratch-size"), o.scratchSize)
	return err
}

// build builds one source, or several beside each other.
func (a *app) build(ctx context.Context, o *buildOptions) (err error) {
	if o.Hooks, err = o.hooks.load(hook.Build); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	a.makesBases(&o.Request)
	if !o.Many() || o.Chain || o.AtOnce == 1 { // several would want it at once
		if o.Terminal = openTerminal(a.stderr); o.Terminal != nil {
			defer o.Terminal.Close()
		}
	}
	a.pinning, o.Traced = o.pin, o.pin
	if a.logTo != nil {
		o.ShowLog = a.logTo
	}
	a.service = a.serviceOf(o.annotations)
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	for _, suite := range o.Suites { // before the first is built
		if _, err := env.Suites.Lookup(suite); err != nil {
			return fault.Wrap(fault.Usage, "", fmt.Errorf("%s: %w", o.Said["dist"].Place, err))
		}
	}
	switch {
	case o.PlanTo != "":
		return a.plan(ctx, env, &o.Several)
	case o.Chain:
		return a.buildChain(ctx, env, &o.Several)
	case o.Many():
		return a.buildMany(ctx, env, &o.Several)
	}
	_, err = a.buildOne(ctx, env, 0, o.Each()[0], nil)
	return err
}

// makesBases has a build make a base, and bring it up to date, as that is configured.
func (a *app) makesBases(r *pkgbuild.Request) {
	r.NewBase = func(asked bases.Options) (bases.Options, error) {
		return a.createFlags.completeFor(a, asked)
	}
	r.UpdateHooks = func() (bases.Hooks, error) {
		return a.updateFlags.loadForBase(a, hook.Update)
	}
}

// buildOne builds a source of the command, and tells of it before what it wrote is kept. Where
// explain is given, it says more of the error.
func (a *app) buildOne(ctx context.Context, env *pkgbuild.Env, i int, r pkgbuild.Request,
	explain func(error) error) (*pkgbuild.Outcome, error) {
	return a.reporting(env, i, r, explain, func(r pkgbuild.Request) *pkgbuild.Outcome {
		outcome, _ := env.Build(ctx, r) // whose error is reported
		return outcome
	})
}

// reporting has a build of the command tell how it ended before what it wrote is kept.
func (a *app) reporting(env *pkgbuild.Env, i int, r pkgbuild.Request, explain func(error) error,
	build func(pkgbuild.Request) *pkgbuild.Outcome) (*pkgbuild.Outcome, error) {
	var told error
	r.Reported = func(outcome *pkgbuild.Outcome, err error) {
		a.result.note(i, outcome.Result)
		a.tell(env, outcome, err)
		if err == nil {
			return
		}
		if explain != nil {
			err = explain(err)
		}
		defer env.Progress.Pause()()
		a.printError(err)
		told = reported{err}
	}
	outcome := build(r)
	a.tellKept(env, outcome)
	return outcome, told
}

// tell prints the paths of the results, or why there are none.
func (a *app) tell(env *pkgbuild.Env, o *pkgbuild.Outcome, err error) {
	if a.pinning && err == nil && o.Status == buildlog.Successful {
		a.pinBuilt(env, o)
	}
	if a.events != nil {
		a.tellJSON(o)
		return
	}
	resume := env.Progress.Pause() // other builds may be shown on the same terminal
	for _, file := range o.Artefacts {
		fmt.Fprintln(a.stdout, file)
	}
	resume()
	if o.Status == buildlog.Skipped {
		env.Log.Infof("skipped: %s builds nothing for this architecture", o.Result.Source.Name)
	}
	out := env.Progress.Writer()
	if err == nil && !a.quiet {
		fmt.Fprintln(out, ended(o))
	}
	if c := o.Result.Compare; err == nil && c != nil && !a.quiet {
		tellComparison(out, c)
	}
	defer a.annotate(out, o)
	if err == nil || fault.KindOf(err) == fault.Interrupted {
		return
	}
	if len(o.Tail) > 0 && (o.Status == buildlog.Attempted || o.Refused) && !a.verbose {
		fmt.Fprintf(out, "the last lines of the log:\n")
		for _, l := range o.Tail {
			fmt.Fprintf(out, "  %6d  %s\n", l.Number, buildlog.VisibleString(l.Text))
		}
	}
	for _, c := range o.Causes[:min(1, len(o.Causes))] {
		fmt.Fprintf(out, "%s: %s (line %d)\n", c.Label(), buildlog.VisibleString(c.Text),
			c.Line.Number)
	}
	if o.Stage != "" {
		fmt.Fprintf(out, "stage: %s\n", o.Stage)
	}
	if o.LogPath != "" {
		fmt.Fprintln(out, ended(o))
	}
}

// ended says how a build ended, how long it took, and where its log is.
func ended(o *pkgbuild.Outcome) string {
	r := o.Result
	took := r.Finished.Sub(r.Started).Round(100 * time.Millisecond)
	if took > time.Minute {
		took = took.Round(time.Second)
	}
	text := fmt.Sprintf("%s %s: %s, %v", r.Source.Name, r.Source.Version, o.Status, took)
	if o.LogPath != "" {
		text += " · log: " + o.LogPath
	}
	return buildlog.VisibleString(text)
}
