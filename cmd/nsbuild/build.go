package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/strays"
)

// buildOptions are the flags of build, under sbuild's names where the meaning is the same.
type buildOptions struct {
	pkgbuild.Options
	archAll, noArchAll, archAny, noArchAny bool
	profiles                               string
	hooks                                  hookOptions
	checks                                 checkOptions
	jobs                                   int
	scratchSize, maxResults                string
	limits                                 limitOptions
	kind                                   kindOptions
	jobsAtOnce                             string
	plan                                   string
	more                                   additionOptions
}

func newBuild(a *app) *cobra.Command {
	var o buildOptions
	a.buildFlags = &o
	c := &cobra.Command{
		Use:   "build SOURCE...",
		Short: "Build source packages",
		Long: `build builds source packages, each in a sandbox without network over a throwaway
layer.

SOURCE is a .dsc, the URL of a .dsc, a source directory (or '.'), the name of a package, which is
fetched from the suite: NAME or NAME=VERSION, or a plan that --plan has written. The base of the
suite is made when it is missing, and updated when the suite has newer packages of it, with what is
configured for create and update, hooks among it.

The results go to the current directory (for a source directory that is the current one: its
parent), or to --output. Their paths are printed on standard output; the log is
PACKAGE_VERSION_ARCH.build.

Several sources are built beside each other, as many at a time as the machine feeds; --jobs-at-once
1 builds one after the other. They begin in the given order, and share processors (the parallel= of
DEB_BUILD_OPTIONS) and memory. A failure does not stop the others. The exit status is the worst:
that of an interruption, else 1, else 2, else 3.
` + exitHelp,
		Example: "  nsbuild build hello\n  nsbuild build -d trixie foo_1.2-3.dsc\n  nsbuild build .",
		Args:    rangeArgs(1, -1, "which source?"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.checkPlan(c, args); err != nil {
				return err
			}
			if err := o.completeAll(a.verbose, c.Flags()); err != nil {
				return err
			}
			return a.build(c.Context(), args, &o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Suite, "dist", "d", "", "suite to build for (default: a source directory's "+
		"changelog, else this machine's own suite)")
	f.StringVar(&o.Base, "base", "", "base to build over (default: the suite's)")
	f.StringVarP(&o.Output, "output", "o", "", "directory for the results")
	f.StringVar(&o.LogDir, "log-dir", "", "directory for the log (default: that of the results)")
	f.BoolVar(&o.NoLog, "nolog", false, "leave no log behind")
	f.StringVar(&o.Mirror, "mirror", "", "mirror for a base that is to be made")
	f.BoolVarP(&o.archAll, "arch-all", "A", false,
		"build architecture-independent packages (default)")
	f.BoolVar(&o.noArchAll, "no-arch-all", false, "build no architecture-independent packages")
	f.BoolVar(&o.archAny, "arch-any", false, "build architecture-dependent packages (default)")
	f.BoolVar(&o.noArchAny, "no-arch-any", false, "build no architecture-dependent packages")
	f.BoolVarP(&o.Source, "source", "s", false, "build the source package too")
	f.StringVarP(&o.profiles, "profiles", "P", "", "build profiles, separated by commas")
	f.IntVarP(&o.jobs, "jobs", "j", 0,
		"processes that one build may use (default: processors and memory decide)")
	f.StringVar(&o.jobsAtOnce, "jobs-at-once", "auto", "how many of several sources are built at "+
		"a time: a number, or auto (processors and memory decide)")
	f.StringVar(&o.Scratch, "scratch", pkgbuild.ScratchAuto, "where the build writes: auto, tmpfs, "+
		"disk, or copy (a plain copy of the tree, no overlay)")
	f.StringArrayVar(&o.PlainSources, "plain-source", nil, "source that is to be built in such a "+
		"copy where it would see an overlay, besides those known to")
	f.StringVar(&o.scratchSize, "scratch-size", "", "how large a tmpfs for what the build writes "+
		"may grow, as 800M or 4G (default: half of the free memory)")
	f.StringVar(&o.maxResults, "max-results", "",
		"how large all results of a build may be together, as 800M or 4G (default: 64G)")
	o.limits.addFlags(f, &o.Limits, "one build")
	f.StringVar((*string)(&o.Strays), "strays", string(strays.Kill), "processes that the build "+
		"leaves running: "+
		"kill (the log lists them), warn (list them here, too) or fail")
	f.BoolVar(&o.NoLayers, "no-layers", false,
		"install the build dependencies anew, and do not keep them for the next build")
	o.kind.addFlags(f, &o.Options)
	o.more.addFlags(f, &o.Options)
	o.hooks.addBuildFlags(f, &o.ShellOnFailure)
	o.checks.addFlags(f, &o.Checks)
	a.addJSON(f)
	f.StringVar(&o.plan, "plan", "", "write to this file everything that decides the build, "+
		"resolved and pinned, and build nothing; the file is a SOURCE, too")
	f.StringVar(&o.Result, "result", "", "write a machine-readable result to this file")
	return c
}

// completeAll completes the flags of every topic.
func (o *buildOptions) completeAll(verbose bool, set *pflag.FlagSet) error {
	if err := o.complete(verbose, set); err != nil {
		return err
	}
	if err := o.more.complete(&o.Options); err != nil {
		return err
	}
	if err := o.kind.complete(&o.Options, set); err != nil {
		return err
	}
	if !o.ArchAll && !o.ArchAny && !o.Source {
		return fault.New(fault.Usage, "", "--no-arch-any and %s leave nothing to build",
			o.withoutAll())
	}
	return nil
}

// complete checks the flags against each other and fills in what follows from them.
func (o *buildOptions) complete(verbose bool, set *pflag.FlagSet) error {
	for _, name := range []string{"dist", "base", "output", "log-dir", "mirror", "arch", "host",
		"build-dep-resolver", "result", "plan"} {
		if set.Changed(name) && set.Lookup(name).Value.String() == "" {
			return fault.New(fault.Usage, "leave it out for what is usual",
				"--%s: the value is empty", name)
		}
	}
	g := given{set}
	o.noArchAll = o.noArchAll || g.denied("arch-all", "no-arch-all")
	o.noArchAny = o.noArchAny || g.denied("arch-any", "no-arch-any")
	// of these the one that is said nearer counts
	switch onDisk := o.Scratch == pkgbuild.ScratchDisk; {
	case onDisk && g.nearer("scratch-size", "scratch"):
		o.Scratch = pkgbuild.ScratchAuto
	case onDisk && g.nearer("scratch", "scratch-size"):
		o.scratchSize = ""
	}
	if o.more.chain && g.nearer("chain", "jobs-at-once") {
		o.jobsAtOnce = "auto"
	}
	switch {
	case o.archAll && o.noArchAll:
		return fault.New(fault.Usage, "", "--arch-all and --no-arch-all contradict each other")
	case o.archAny && o.noArchAny:
		return fault.New(fault.Usage, "", "--arch-any and --no-arch-any contradict each other")
	case !pkgbuild.KnownScratch(o.Scratch):
		return fault.New(fault.Usage, "use auto, tmpfs, disk or copy", "--scratch %q", o.Scratch)
	case !o.Strays.Known():
		return fault.New(fault.Usage, "kill, warn or fail", "--strays %q is not known", o.Strays)
	case o.NoLog && o.LogDir != "":
		return fault.New(fault.Usage, "", "--nolog and --log-dir contradict each other")
	case o.jobs < 0 || o.jobs > mostJobs:
		return fault.New(fault.Usage, fmt.Sprintf("give a number from 1 to %d, or leave it out",
			mostJobs), "--jobs %d is out of range", o.jobs)
	case o.Scratch == pkgbuild.ScratchDisk && o.scratchSize != "":
		return fault.New(fault.Usage, "leave out one of them",
			"--scratch-size is for a tmpfs, and contradicts --scratch=disk")
	case o.more.chain && o.jobsAtOnce != "1" && o.jobsAtOnce != "auto":
		return fault.New(fault.Usage, "leave out one of them", "--chain and --jobs-at-once=%s "+
			"contradict each other: a chain is built one after the other", o.jobsAtOnce)
	}
	o.ArchAll, o.ArchAny = !o.noArchAll, !o.noArchAny
	for p := range strings.FieldsFuncSeq(o.profiles, func(r rune) bool {
		return r == ',' || r == ' '
	}) {
		o.Profiles = append(o.Profiles, p)
	}
	if o.jobs > 0 {
		o.Options.Options = append(o.Options.Options, fmt.Sprintf("parallel=%d", o.jobs))
	}
	o.Verbose = verbose
	if err := o.CheckPlain(); err != nil {
		return err
	}
	if err := o.limits.complete(&o.Limits); err != nil {
		return err
	}
	var err error
	if o.MaxResults, err = parseSize("--max-results", o.maxResults); err != nil {
		return err
	}
	o.ScratchSize, err = parseSize("--scratch-size", o.scratchSize)
	return err
}

// mostJobs is more than any machine has processors.
const mostJobs = 1 << 16

// withoutAll names the flag that leaves out the architecture-independent packages.
func (o *buildOptions) withoutAll() string {
	if flag := o.VersionFlag(); flag != "" {
		return flag
	}
	return "--no-arch-all"
}

// build builds one source, or several beside each other.
func (a *app) build(ctx context.Context, sources []string, o *buildOptions) error {
	atOnce, err := o.atOnce()
	if err != nil {
		return err
	}
	if o.Result != "" && len(sources) > 1 {
		return fault.New(fault.Usage, "build them one by one", "--result is for one source")
	}
	if err := o.checks.complete(&o.Checks); err != nil {
		return err
	}
	if o.Hooks, err = o.hooks.load(hook.Build); err != nil {
		return err
	}
	o.NewBase = func(asked bases.Options) (bases.Options, error) {
		return a.createFlags.completeFor(a, asked)
	}
	o.UpdateHooks = func() (bases.Hooks, error) {
		return a.updateFlags.loadForBase(a, hook.Update)
	}
	if len(sources) == 1 || o.more.chain || atOnce == 1 { // several would want it at once
		if o.Terminal = openTerminal(a.stderr); o.Terminal != nil {
			defer o.Terminal.Close()
		}
	}
	if a.logTo != nil {
		o.ShowLog = a.logTo
	}
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	if o.plan != "" {
		return a.plan(ctx, env, sources[0], o.plan, o.Options)
	}
	if o.more.chain {
		return a.buildChain(ctx, env, sources, o.Options)
	}
	if len(sources) > 1 {
		return a.buildMany(ctx, env, sources, o, atOnce)
	}
	outcome, err := env.Build(ctx, sources[0], o.Options)
	if outcome != nil {
		a.tell(env, outcome, err)
	}
	return err
}

// tell prints the paths of the results, or why there are none.
func (a *app) tell(env *pkgbuild.Env, o *pkgbuild.Outcome, err error) {
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
	if err == nil || fault.KindOf(err) == fault.Interrupted {
		return
	}
	out := env.Progress.Writer()
	if o.Status == buildlog.Attempted && !a.verbose {
		fmt.Fprintf(out, "the last lines of the log:\n")
		for _, l := range o.Tail {
			fmt.Fprintf(out, "  %6d  %s\n", l.Number, buildlog.VisibleString(l.Text))
		}
	}
	for _, c := range o.Causes[:min(1, len(o.Causes))] {
		fmt.Fprintf(out, "likely cause: %s (line %d)\n", buildlog.VisibleString(c.Text),
			c.Line.Number)
	}
	if o.Stage != "" {
		fmt.Fprintf(out, "stage: %s\n", o.Stage)
	}
	if o.LogPath != "" {
		fmt.Fprintf(out, "log: %s\n", o.LogPath)
	}
}
