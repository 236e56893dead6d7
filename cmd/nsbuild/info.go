package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/rawjson"
)

func newInfo(a *app) *cobra.Command {
	var packages, asJSON bool
	c := &cobra.Command{
		Use:   "info BASE",
		Short: "Show what a base is made of",
		Long: `info shows where a base came from: its suite and how long that is supported, its
mirrors, their Release files and the keys that signed them, its lock, its ids and its packages.
`,
		Example: "  nsbuild info trixie\n  nsbuild info --packages trixie",
		Args:    rangeArgs(1, 1, "which base?"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.info(c.Context(), args[0], packages, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON, with every package")
	c.Flags().BoolVar(&packages, "packages", false, "list every package with its version")
	return c
}

// infoReport is what `info --json` writes.
type infoReport struct {
	Name       string        `json:"name"`
	Generation int           `json:"generation"`
	Tree       string        `json:"tree"`
	Base       base.Manifest `json:"base"`
	Escaped    []string      `json:"escaped,omitempty"` // see docs/result.md
}

func (a *app) info(ctx context.Context, name string, packages, asJSON bool) error {
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	g, err := env.Store.Look(name)
	if err != nil {
		return err
	}
	defer g.Close()
	if asJSON {
		report := infoReport{Name: g.Name, Generation: g.Number, Tree: g.Tree(), Base: g.Manifest}
		report, report.Escaped = rawjson.Legible(report)
		return a.printJSON(report)
	}
	describe(a.stdout, a.suites(), g, time.Now())
	if packages {
		for _, p := range g.Manifest.Packages {
			fmt.Fprintf(a.stdout, "  %s %s %s\n", p.Name, p.Version, p.Arch)
		}
	}
	return nil
}

// describe writes what is known of a base, a field a line. What does not apply has no line.
func describe(out io.Writer, known *suites.Table, g *base.Generation, now time.Time) {
	m := g.Manifest
	fields := [][2]string{
		{"Base", g.Name}, {"Suite", m.Suite}, {"Architecture", m.Arch}, {"Variant", m.Variant},
		{"Included", strings.Join(m.Include, " ")},
		{"Excluded", strings.Join(m.Exclude, " ")}, {"Components", strings.Join(m.Components, " ")},
		{"Generation", fmt.Sprint(g.Number)}, {"Created", m.Created.Format(time.RFC3339)},
		{"Bootstrapper", m.Bootstrapper}, {"Lock", lockOf(m)}, {"Ids", fmt.Sprint(m.IDs)},
		{"Tree", g.Tree()}, {"Support", support(known, m.Suite, now)}, {"Keyring", m.Keyring},
	}
	// as it was asked for; what it came to is said below
	for line := range strings.Lines(m.Mirror) {
		fields = append(fields, [2]string{"Mirror", strings.TrimSpace(line)})
	}
	for _, f := range fields {
		if f[1] != "" {
			fmt.Fprintf(out, "%s: %s\n", f[0], f[1])
		}
	}
	for _, r := range m.Releases {
		fmt.Fprintf(out, "Release: %s %s of %s\n  sha256 %s\n", r.URI, r.Suite,
			r.Date.UTC().Format(time.RFC3339), r.SHA256)
		for _, k := range r.Keys {
			fmt.Fprintf(out, "  signed by %s\n", k)
		}
		if len(r.Keys) == 0 {
			fmt.Fprint(out, "  not verified: trusted without a signature\n")
		}
	}
	fmt.Fprintf(out, "Packages: %d\n", len(m.Packages))
}

// support is how long a suite gets updates that are free for all, by the suite table.
func support(known *suites.Table, suite string, now time.Time) string {
	s, err := known.Lookup(suite)
	if err == nil && s.EOL.IsZero() && s.Base != "" { // what only adds to a suite ends with it
		s, err = known.Lookup(s.Base)
	}
	switch {
	case err != nil:
		return "not known: the suite is in no table"
	case s.EOL.IsZero():
		return "no end is known"
	case s.EOL.Before(now):
		return "end of life: no longer supported since " + s.EOL.Format(time.DateOnly)
	}
	return "supported until " + s.EOL.Format(time.DateOnly)
}

// lockOf is the lock file that fixed a base.
func lockOf(m base.Manifest) string {
	switch {
	case m.Lock == "":
		return ""
	case m.Digest != "":
		return "sha256 " + m.Lock + ", and changed by hand since"
	}
	return "sha256 " + m.Lock
}
