package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/base"
	"nsbuild/internal/config"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/rawjson"
)

func usage(hint, format string, args ...any) error {
	return fault.New(fault.Usage, hint, format, args...)
}

func newList(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the bases",
		Long: "list shows each base with its suite, its architecture, its generation and the " +
			"date of that generation, what it takes on disk, and when it was last used.\n",
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.list(c.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// baseReport is a base as `list --json` writes it.
type baseReport struct {
	Name         string    `json:"name"`
	Suite        string    `json:"suite"`
	Architecture string    `json:"architecture"`
	Variant      string    `json:"variant"`
	Generation   int       `json:"generation"`
	Created      time.Time `json:"created"`
	LastUsed     time.Time `json:"last_used"`
	Bytes        int64     `json:"bytes"`
}

// baseList is what `list --json` writes.
type baseList struct {
	Bases   []baseReport `json:"bases"`
	Escaped []string     `json:"escaped,omitempty"` // see docs/result.md
}

func (a *app) list(ctx context.Context, asJSON bool) error {
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	names, err := env.Store.Names()
	if err != nil {
		return err
	}
	if len(names) == 0 && !asJSON {
		env.Log.Info("there are no bases; nsbuild create SUITE makes one")
		return nil
	}
	var h jails.Holder
	if len(names) > 0 { // what mapped ids own is measured in a sandbox
		if h, err = env.Work.Hold(ctx, env.IDs); err != nil {
			return fmt.Errorf("measuring the bases: %w", err)
		}
		defer h.Close()
	}
	var list baseList
	if list.Bases, err = lookAt(ctx, env.Store, h, names); err != nil {
		return err
	}
	if asJSON {
		list, list.Escaped = rawjson.Legible(list)
		return a.printJSON(list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BASE\tSUITE\tARCH\tVARIANT\tGENERATION\tCREATED\tSIZE\tLAST USED")
	for _, b := range list.Bases {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", b.Name, b.Suite, b.Architecture,
			b.Variant, b.Generation, b.Created.Format(time.DateTime), config.FormatSize(b.Bytes),
			when(b.LastUsed))
	}
	return w.Flush()
}

// lookAt reports on each base that is still there.
func lookAt(ctx context.Context, store *base.Store, h jails.Holder, names []string) ([]baseReport,
	error) {
	all := make([]baseReport, 0, len(names))
	for _, name := range names {
		g, err := store.Look(name)
		if errors.Is(err, base.ErrNone) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		m := g.Manifest
		r := baseReport{Name: name, Suite: m.Suite, Architecture: m.Arch, Variant: m.Variant,
			Generation: g.Number, Created: m.Created}
		if r.LastUsed, err = g.Used(); err == nil {
			r.Bytes, err = h.TreeSize(ctx, g.Tree())
		}
		if err = errors.Join(err, g.Close()); err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		all = append(all, r)
	}
	return all, nil
}
