package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"nsbuild/internal/compared"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/repro"
)

// reproOptions are the flags that repro has besides those of build.
type reproOptions struct {
	repro.Request
	vary       string
	diff, json bool
}

// reproBuildFlags are the flags of build that repro has, too.
func reproBuildFlags() []string {
	return []string{"dist", "base", "mirror", "arch", "host", "arch-all", "no-arch-all", "arch-any",
		"no-arch-any", "source", "git", "profiles", "deb-build-options", "jobs", "debbuildopt",
		"debbuildopts", "extra-repository", "extra-repository-key", "extra-package", "pin",
		"components", "include", "add-depends", "add-depends-arch", "add-depends-indep",
		"add-conflicts", "add-conflicts-arch", "add-conflicts-indep", "build-dep-resolver",
		"resolve-alternatives", "scratch", "scratch-size", "plain-source", "memory", "cpus", "pids",
		"timeout", "silence", "jobs-at-once"}
}

func newRepro(a *app, build *cobra.Command) *cobra.Command {
	var o reproOptions
	var table strings.Builder
	for _, v := range repro.Variations() {
		fmt.Fprintf(&table, "    %-12s %s", v.Name, v.What)
		if v.Off {
			table.WriteString(" (not by default)")
		}
		table.WriteString("\n")
	}
	c := &cobra.Command{
		Use:   "repro SOURCE",
		Short: "Build twice, the second time varied, and compare",
		Long: `repro finds out whether a package is reproducible: it builds it twice, over one base and
with the same build dependencies. The second build finds other things than the first, none of which
may matter. The packages are compared, byte by byte.

These are the variations:

` + table.String() + `
--vary names them. --vary host,user makes these two, --vary +path makes path, too, and
--vary=-cpus leaves out cpus. There are also all and none.

With --bisect, further builds find the variations that make the packages differ. A package that
differs without any variation varies by itself; that is told first.

The two builds run beside each other where processors and memory allow; with --jobs-at-once 1 they
run one after the other. SOURCE, and what is
configured for it, is as with nsbuild build; hooks and checks are left out.
`,
		Example: "  nsbuild repro hello\n  nsbuild repro --bisect --vary +path .",
		Args:    reproArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			return a.repro(c, build, &o, args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&o.vary, "vary", "", "make the variations of `LIST`; +NAME adds one to the usual, "+
		"-NAME leaves one out; all, none")
	f.BoolVar(&o.Bisect, "bisect", false, "find the variations that make a difference")
	f.StringVarP(&o.Output, "output", "o", "", "keep what was built in `DIR`, as first and second")
	f.BoolVar(&o.diff, "diff", false, "show the differing texts as unified diffs")
	f.BoolVar(&o.json, "json", false, "write what was found out as JSON")
	for _, name := range reproBuildFlags() {
		f.AddFlag(build.Flags().Lookup(name))
	}
	return c
}

// reproArgs wants one source, or the current directory as one.
func reproArgs(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("nsbuild repro SOURCE", "repro: %q is one argument too many", args[1])
	}
	return sourceArgs(c, args)
}

// repro takes what is configured for builds, and leaves out what is about more than packages.
func (a *app) repro(c, build *cobra.Command, o *reproOptions, source string) (err error) {
	if o.Vary, err = repro.Choose(o.vary); err != nil {
		return err
	}
	b := a.buildFlags
	b.Sources = []string{source}
	if err := b.complete(a.verbose, build.LocalNonPersistentFlags()); err != nil {
		return err
	}
	if b.Many() {
		return usage("--dist SUITE", "repro: several are named to build for, and it is for one")
	}
	r := b.Each()[0]
	r.Output, r.LogDir, r.Result, r.JUnit, r.Report, r.LockTo = "", "", "", "", "", ""
	r.Checks, r.Keep, r.ShellOnFailure, r.Sign = pkgbuild.Checks{}, pkgbuild.KeepNever, false, false
	r.SourceOnlyChanges = false
	o.Build = r
	if err := o.Build.Validate(); err != nil {
		return err
	}
	o.AtOnce = b.AtOnce
	return a.reproduce(c.Context(), o)
}

func (a *app) reproduce(ctx context.Context, o *reproOptions) error {
	a.makesBases(&o.Build)
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	report, err := repro.Run(ctx, env, o.Request)
	if report.Failure != nil && !o.json {
		a.tell(env, report.Failure, err)
	}
	defer env.Progress.Pause()()
	if o.json {
		text, escaped := rawjson.Legible(*report)
		text.Escaped = escaped
		if writeErr := a.printJSON(text); err == nil {
			err = writeErr
		}
		return err
	}
	if kind := fault.KindOf(err); kind == fault.Usage || kind == fault.Interrupted {
		return err
	}
	var all []compared.Difference
	for _, f := range report.Files {
		all = append(all, f.Differences...)
	}
	a.tellRepeated(report.Lines(), all, o.diff)
	if err == nil {
		fmt.Fprintf(a.stdout, "%s %s: %s\n", report.Source, report.Version, report.Verdict)
	}
	return err
}
