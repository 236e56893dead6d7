package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/compared"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/result"
)

func newCompare(a *app) *cobra.Command {
	var o compareOptions
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Show what differs between two sets of packages",
		Long: `compare shows what differs between packages, as one wants to know before an upload. First
come lines that fit a screen: packages gained and lost, sizes, files, modes, relations, maintainer
scripts, conffiles, triggers, shared libraries with their SONAMEs and symbols, lintian's tags and
the warnings of the builds. Then comes each package with what differs in it. Maintainer scripts are
shown as diffs. Where it can be told, it says what makes a file differ, such as a time stamp or the
build path.

A and B are each a .changes, a .buildinfo, a .deb, or a directory with .debs. Tags and warnings come
from the logs (.build) and results (.json) beside the packages. With --lintian, one lintian looks at
the packages of both.
`,
		Example: "  nsbuild compare old/hello_2.10-2_amd64.changes hello_2.10-3_amd64.changes",
		Args:    rangeArgs(2, 2, "name two: .changes, .buildinfo, .deb, or directories"),
		RunE: func(c *cobra.Command, args []string) error {
			o.was, o.is = args[0], args[1]
			return a.compare(c.Context(), &o)
		},
	}
	c.Flags().BoolVar(&o.Diff, "diff", false, "show the differing texts as unified diffs")
	c.Flags().BoolVar(&o.All, "all", false, "show everything, and not only the first of what is "+
		"much")
	c.Flags().BoolVar(&o.json, "json", false, "write JSON")
	c.Flags().StringVar(&o.diffoscope, "diffoscope", "", "have diffoscope compare what differs, "+
		"and put its texts and pages (HTML) into `DIR`")
	c.Flags().BoolVar(&o.lintian, "lintian", false, "have lintian look at the packages of both, in "+
		"place of reading logs")
	c.Flags().StringVarP(&o.suite, "dist", "d", "", "install diffoscope and lintian over the base of "+
		"`SUITE` (default: this machine's own suite)")
	return c
}

// compareOptions are what is compared, and how that is told.
type compareOptions struct {
	compared.Extent
	was, is    string
	json       bool
	lintian    bool
	diffoscope string // where its texts go; "": it does not run
	suite      string // over whose base these two are installed
}

func (a *app) compare(ctx context.Context, o *compareOptions) error {
	was, err := debcompare.Set(ctx, o.was)
	if err != nil {
		return err
	}
	is, err := debcompare.Set(ctx, o.is)
	if err != nil {
		return err
	}
	c, err := debcompare.Packages(ctx, was, is)
	if err != nil {
		return err
	}
	c.Was, c.Is = o.was, o.is
	var env *pkgbuild.Env
	if (o.lintian || o.diffoscope != "") && !c.Same {
		if env, err = a.open(ctx); err != nil {
			return err
		}
	}
	var unlinted error
	if o.lintian && !c.Same {
		unlinted = a.lint(ctx, env, o.suite, c, was, is)
	}
	if err := a.showCompared(c, o); err != nil || c.Same {
		return err
	}
	if o.diffoscope != "" {
		d := pkgbuild.Diffoscope{Tool: pkgbuild.Tool{Suite: o.suite}, Dir: o.diffoscope}
		for _, p := range debcompare.Differing(c, was, is) {
			d.Pairs = append(d.Pairs, checks.FilePair(p))
		}
		if err := a.diffoscope(ctx, env, d); err != nil {
			return errors.Join(unlinted, err)
		}
	}
	if unlinted != nil {
		return unlinted
	}
	return commandStatus(exitStatus(&fault.Error{Kind: fault.Differs}))
}

// lint has lintian look at both sets. Where it cannot, the comparison says why.
func (a *app) lint(ctx context.Context, env *pkgbuild.Env, suite string, c *compared.Comparison,
	was, is []debcompare.Package) error {
	files := func(all []debcompare.Package) (names []string) {
		for _, p := range all {
			names = append(names, p.File)
		}
		return names
	}
	tags, by, err := env.Lintian(ctx, a.tool(suite), files(was), files(is))
	if err != nil {
		err = fmt.Errorf("running lintian: %w", err)
		c.Lintian = &compared.Findings{Note: err.Error()}
		return err
	}
	debcompare.Lint(c, was, is, tags[0], tags[1], "lintian of "+by)
	return nil
}

// tool is over what a program is installed that looks at packages.
func (a *app) tool(suite string) pkgbuild.Tool {
	return pkgbuild.Tool{Suite: suite, NewBase: func(asked bases.Options) (bases.Options, error) {
		return a.createFlags.completeFor(a, asked)
	}}
}

// showCompared prints a comparison, for people or for programs.
func (a *app) showCompared(c *compared.Comparison, o *compareOptions) error {
	if !o.json {
		a.tellCompared(c, o.Extent)
		return nil
	}
	text, escaped := rawjson.Legible(*c)
	text.Escaped = escaped
	return a.printJSON(text)
}

// diffoscope has diffoscope compare packages, and tells where that is.
func (a *app) diffoscope(ctx context.Context, env *pkgbuild.Env, d pkgbuild.Diffoscope) error {
	d.Tool = a.tool(d.Suite)
	written, err := env.Diffoscope(ctx, d)
	defer env.Progress.Pause()()
	for _, file := range written {
		fmt.Fprintln(env.Progress.Writer(), "diffoscope: "+buildlog.VisibleString(file))
	}
	return err
}

// tellCompared prints what differs, for people: what fits a screen first.
func (a *app) tellCompared(c *compared.Comparison, x compared.Extent) {
	for _, l := range slices.Concat(c.Summary(), c.Details(x)) {
		fmt.Fprintln(a.stdout, buildlog.VisibleString(l))
	}
}

// tellComparison says what a build's results were compared with, and what a screen has of it.
func tellComparison(out io.Writer, c *result.Compare) {
	line := func(text string) { fmt.Fprintln(out, buildlog.VisibleString(text)) }
	head := "compared with " + c.With
	if c.Version != "" {
		head += ", " + c.Version
	}
	switch c.Status {
	case result.CompareNothing, result.CompareFailed:
		line(head + ": " + c.Note)
	case result.CompareSame:
		line(head + ": the same bytes")
	default:
		line(head + ":")
		for _, l := range c.Comparison.Summary() {
			line("  " + l)
		}
	}
}
