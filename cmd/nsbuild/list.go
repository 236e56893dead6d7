package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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
