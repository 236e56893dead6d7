package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/archive"
	"nsbuild/internal/fault"
)

func usage(hint, format string, args ...any) error {
	return fault.New(fault.Usage, hint, format, args...)
}

func newList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the bases",
		Long:  "list shows each base with its suite, its architecture, its generation and the date of that.\n" + exitHelp,
		Args:  rangeArgs(0, 0, "it takes no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return a.list(c.Context()) },
	}
}

func (a *app) list(ctx context.Context) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	names, err := env.Store.Names()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		env.Log.Info("there are no bases; nsbuild create SUITE makes one")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BASE\tSUITE\tARCH\tVARIANT\tGENERATION\tCREATED")
	for _, name := range names {
		g, err := env.Store.Use(name)
		if err != nil {
			return err
		}
		m := g.Manifest
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", name, m.Suite, m.Arch, m.Variant, g.Number, m.Created.Format(time.DateTime))
		if err := g.Close(); err != nil {
			return err
		}
	}
	return w.Flush()
}

func newInfo(a *app) *cobra.Command {
	var packages bool
	c := &cobra.Command{
		Use:   "info BASE",
		Short: "Show what a base is made of",
		Long:  "info shows where a base came from: its suite, the Release files and the keys that signed them, its ids and its packages.\n" + exitHelp,
		Args:  rangeArgs(1, 1, "which base?"),
		RunE:  func(c *cobra.Command, args []string) error { return a.info(c.Context(), args[0], packages) },
	}
	c.Flags().BoolVar(&packages, "packages", false, "list every package with its version")
	return c
}

func (a *app) info(ctx context.Context, name string, packages bool) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	g, err := env.Store.Use(name)
	if err != nil {
		return err
	}
	defer g.Close()
	m := g.Manifest
	out := a.stdout
	fmt.Fprintf(out, "Base: %s\nSuite: %s\nArchitecture: %s\nVariant: %s\nGeneration: %d\nCreated: %s\nBootstrapper: %s\nIds: %s\nTree: %s\n",
		name, m.Suite, m.Arch, m.Variant, g.Number, m.Created.Format(time.RFC3339), m.Bootstrapper, m.IDs, g.Tree())
	if s, err := archive.LookupSuite(m.Suite); err == nil && !s.EOL.IsZero() {
		state := "supported until"
		if s.EOL.Before(time.Now()) {
			state = "no longer supported since"
		}
		fmt.Fprintf(out, "Support: %s %s\n", state, s.EOL.Format(time.DateOnly))
	}
	for _, r := range m.Releases {
		fmt.Fprintf(out, "Release: %s %s of %s\n", r.URI, r.Suite, r.Date.UTC().Format(time.RFC3339))
		for _, k := range r.Keys {
			fmt.Fprintf(out, "  signed by %s\n", k)
		}
	}
	fmt.Fprintf(out, "Packages: %d\n", len(m.Packages))
	if packages {
		for _, p := range m.Packages {
			fmt.Fprintf(out, "  %s %s %s\n", p.Name, p.Version, p.Arch)
		}
	}
	return nil
}
