package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/compared"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/fault"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/result"
)

func newCompare(a *app) *cobra.Command {
	var x compared.Extent
	var json bool
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Show what differs between two sets of packages",
		Long: `compare shows what differs between packages, as one wants to know before an upload. First
come lines that fit a screen: packages gained and lost, sizes, files, modes, relations, maintainer
scripts, conffiles, triggers, shared libraries with their SONAMEs and symbols, lintian's tags and the
warnings of the builds. Then comes each package with what differs in it. Maintainer scripts are
shown as diffs. Where it can be told, it says what makes a file differ, such as a time stamp or the
build path.

A and B are each a .changes, a .buildinfo, a .deb, or a directory with .debs. Tags and warnings come
from the logs (.build) and results (.json) beside the packages.
`,
		Example: "  nsbuild compare old/hello_2.10-2_amd64.changes hello_2.10-3_amd64.changes",
		Args:    rangeArgs(2, 2, "name two: .changes, .buildinfo, .deb, or directories"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := debcompare.Sets(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if json {
				list, escaped := rawjson.Legible(*r)
				list.Escaped = escaped
				err = a.printJSON(list)
			} else {
				a.tellCompared(r, x)
			}
			if err == nil && !r.Same {
				err = commandStatus(exitStatus(&fault.Error{Kind: fault.Differs}))
			}
			return err
		},
	}
	c.Flags().BoolVar(&x.Diff, "diff", false, "show the differing texts as unified diffs")
	c.Flags().BoolVar(&x.All, "all", false, "show everything, and not only the first of what is "+
		"much")
	c.Flags().BoolVar(&json, "json", false, "write JSON")
	return c
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
