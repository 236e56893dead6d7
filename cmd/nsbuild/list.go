package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/base"
	"nsbuild/internal/fault"
)

func usage(hint, format string, args ...any) error {
	return fault.New(fault.Usage, hint, format, args...)
}

func newList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the bases",
		Long: "list shows each base with its suite, its architecture, its generation and the " +
			"date of that generation.\n",
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.list(c.Context()) },
	}
}

func (a *app) list(ctx context.Context) error {
	env, err := a.openLocal(ctx)
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
	return listBases(a.stdout, env.Store, names)
}

// listBases writes a line for each base that is still there.
func listBases(out io.Writer, store *base.Store, names []string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BASE\tSUITE\tARCH\tVARIANT\tGENERATION\tCREATED")
	for _, name := range names {
		g, err := store.Use(name)
		if errors.Is(err, base.ErrNone) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		m := g.Manifest
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", name, m.Suite, m.Arch, m.Variant, g.Number,
			m.Created.Format(time.DateTime))
		if err := g.Close(); err != nil {
			return err
		}
	}
	return w.Flush()
}
