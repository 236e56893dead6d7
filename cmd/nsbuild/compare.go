package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/fault"
	"nsbuild/internal/rawjson"
)

func newCompare(a *app) *cobra.Command {
	var diff, json bool
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Show what differs between two sets of packages",
		Long: `compare shows what differs between packages: packages gained and lost, files that
another package has now, and of each package that both have, its control fields, its relations, its
scripts and conffiles, and of its files content, mode, owner, time and target. Where it can be told,
it says what makes a file differ, such as a time stamp or the build path.

A and B are each a .changes, a .buildinfo, a .deb, or a directory with .debs.
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
				a.tellCompared(r, diff)
			}
			if err == nil && !r.Same {
				err = commandStatus(exitStatus(&fault.Error{Kind: fault.Differs}))
			}
			return err
		},
	}
	c.Flags().BoolVar(&diff, "diff", false, "show the differing texts as unified diffs")
	c.Flags().BoolVar(&json, "json", false, "write JSON")
	return c
}

// tellCompared prints what differs, for people.
func (a *app) tellCompared(r *debcompare.Report, diff bool) {
	line := func(format string, args ...any) {
		fmt.Fprintln(a.stdout, buildlog.VisibleString(fmt.Sprintf(format, args...)))
	}
	for _, p := range r.Lost {
		line("- %s", p)
	}
	for _, p := range r.Gained {
		line("+ %s", p)
	}
	for _, m := range r.Moved {
		line("> %s: %s → %s", m.Path, m.From, m.To)
	}
	for _, p := range r.Packages {
		line("%s", p.Summary())
		for _, d := range p.Differences {
			line("    %s", d)
			if diff && d.Diff != "" {
				text := strings.TrimSuffix(d.Diff, "\n")
				for l := range strings.SplitSeq(text, "\n") {
					line("        %s", l)
				}
			}
		}
	}
}
