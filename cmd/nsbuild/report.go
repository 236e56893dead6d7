package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/report"
	"nsbuild/internal/result"
)

func newReport(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "report RESULT...",
		Short: "Make a page of builds that have ended",
		Long: `report makes a page (HTML) of builds that have ended: what became of each and why, what it
did when, what it took of the machine, what it was made from and what it left, and its log.
RESULT is a file that the --result of nsbuild build has written. Of several builds the page has a
table, and a part for each.

The page is one file. It works without a network. nsbuild build --report writes it at once.
`,
		Example: "  nsbuild report hello.json -o hello.html\n  nsbuild report */result.json -o all.html",
		Args:    rangeArgs(1, -1, "of which results?"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.report(args, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write the page to `FILE` (default: standard "+
		"output, if that is no terminal)")
	return c
}

// report makes a page of the results in files.
func (a *app) report(args []string, output string) error {
	if output == "" && console.IsTerminal(a.stdout) {
		return usage("-o FILE.html", "report: to which file?")
	}
	var builds []report.Build
	for _, path := range args {
		all, err := result.ReadAll(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fault.New(fault.Internal, "name a file that the --result of nsbuild build has written",
				"there is no %s", path)
		case errors.Is(err, result.ErrLater):
			return fault.Wrap(fault.Internal, "use that version", err)
		case err != nil:
			return fault.Wrap(fault.Internal,
				"name a file that the --result of nsbuild build has written", err)
		}
		for _, r := range all {
			builds = append(builds, report.Build{Result: r, Dir: filepath.Dir(path)})
		}
	}
	if output != "" {
		if err := claimFile("output", output); err != nil {
			return err
		}
		return report.Write(output, builds)
	}
	page, err := report.Page(".", builds)
	if err == nil {
		_, err = a.stdout.Write(page)
	}
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
