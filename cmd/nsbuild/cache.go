package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/cachedir"
	"nsbuild/internal/config"
	"nsbuild/internal/copies"
	"nsbuild/internal/fault"
	"nsbuild/internal/rawjson"
)

func newCache(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "cache",
		Short: "Look at, check and clean what is kept to save time",
		Long: `cache is about what nsbuild keeps of downloads and of installed build dependencies.
nsbuild can fetch or make all of it again. It grows to --cache-limit; then what was not used for
longest is deleted.
`,
	})
	c.AddCommand(newCacheInfo(a), newCacheLayers(a), newCacheClean(a), newCacheVerify(a),
		newCacheCopies(a), newCachePin(a), newCacheUnpin(a))
	return c
}

// kindReport is a line of `cache info`.
type kindReport struct {
	Kind     string    `json:"kind"`
	Count    int       `json:"count"`
	Bytes    int64     `json:"bytes"`
	LastUsed time.Time `json:"last_used,omitzero"`
}

func newCacheInfo(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "info",
		Short: "Show how much the cache takes",
		Long: `info shows the cache by kind:

    lists      indices of suites
    debs       packages as downloaded
    copies     the same packages, packed so that they are unpacked quickly
    sources    source packages
    layers     installed build dependencies
`,
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.cacheInfo(c.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) cacheInfo(ctx context.Context, asJSON bool) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	items, err := a.cache.Items(ctx)
	if err != nil {
		return err
	}
	kinds := cachedir.Kinds()
	report := make([]kindReport, len(kinds))
	total := kindReport{Kind: "total"}
	for i, kind := range kinds {
		report[i].Kind = kind
	}
	for _, item := range items {
		for _, r := range []*kindReport{&report[slices.Index(kinds, item.Kind)], &total} {
			r.Count++
			r.Bytes += item.Size
			if item.Used.After(r.LastUsed) {
				r.LastUsed = item.Used
			}
		}
	}
	if asJSON {
		return a.printJSON(cacheReport{
			Directory: env.CacheDir, Limit: a.cache.Limit, Bytes: total.Bytes, Kinds: report,
		}.legible())
	}
	fmt.Fprintf(a.stdout, "Directory: %s\nLimit: %s\n\n", env.CacheDir,
		config.FormatSize(a.cache.Limit))
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tCOUNT\tSIZE\tLAST USED")
	for _, r := range append(report, total) {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", r.Kind, r.Count, config.FormatSize(r.Bytes),
			when(r.LastUsed))
	}
	return w.Flush()
}

// cacheReport is what `cache info --json` writes.
type cacheReport struct {
	Directory string       `json:"directory"`
	Limit     int64        `json:"limit"`
	Bytes     int64        `json:"bytes"`
	Kinds     []kindReport `json:"kinds"`
	Escaped   []string     `json:"escaped,omitempty"` // see docs/result.md
}

func (r cacheReport) legible() cacheReport {
	r, r.Escaped = rawjson.Legible(r)
	return r
}

// when writes a time for people, or that there was none.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// layerReport is a layer as `cache layers` writes it.
type layerReport struct {
	Key      string    `json:"key"`
	Base     string    `json:"base"`
	Packages []string  `json:"packages"`
	Bytes    int64     `json:"bytes"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"`
}

func newCacheLayers(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "layers",
		Short: "List the layers of installed build dependencies",
		Long: "layers lists what installing build dependencies has left for later builds, the " +
			"last used first.\n",
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.cacheLayers(c.Context(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON, with the packages by name and version")
	return c
}

func (a *app) cacheLayers(ctx context.Context, asJSON bool) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	layers, err := env.Layers.List()
	if err != nil {
		return err
	}
	if asJSON {
		report := make([]layerReport, 0, len(layers))
		for _, l := range layers {
			report = append(report, layerReport{l.Key, l.Base, l.Packages, l.Size, l.Created,
				l.Used})
		}
		return a.printJSON(report)
	}
	if len(layers) == 0 {
		env.Log.Info("there are no layers; nsbuild build makes them")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tBASE\tPACKAGES\tSIZE\tLAST USED")
	for _, l := range layers {
		fmt.Fprintf(w, "%.12s\t%s\t%d\t%s\t%s\n", l.Key, l.Base, len(l.Packages),
			config.FormatSize(l.Size), when(l.Used))
	}
	return w.Flush()
}

func newCacheClean(a *app) *cobra.Command {
	var size, age string
	var all bool
	c := &cobra.Command{
		Use:   "clean",
		Short: "Delete what was not used for longest",
		Long: `clean deletes what is beyond --max-size, the longest unused first, and what was not used
for --older-than. With --all it deletes everything. What a running build uses stays, and so does
what is pinned (nsbuild cache pin).
`,
		Example: "  nsbuild cache clean --max-size 5G\n  nsbuild cache clean --older-than 30d\n  " +
			"nsbuild cache clean --all",
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			keep := cachedir.Keep{Bytes: 1<<63 - 1}
			var err error
			g := given{c.Flags()}
			if all && g.rank("max-size") > rankFlag && g.rank("older-than") > rankFlag {
				size, age = "", "" // they are what is usual
			}
			switch {
			case all == (size != "" || age != ""):
				return usage("nsbuild cache clean --help",
					"clean: say --max-size, --older-than or both, or --all")
			case all:
				keep.Bytes = -1
			}
			if size != "" {
				if keep.Bytes, err = config.ParseSize(size); err != nil {
					return fmt.Errorf("--max-size: %w", err)
				}
			}
			if age != "" {
				if keep.Age, err = config.ParseAge(age); err != nil {
					return fmt.Errorf("--older-than: %w", err)
				}
				keep.Age = max(keep.Age, 1)
			}
			return a.cacheClean(c.Context(), keep)
		},
	}
	f := c.Flags()
	f.StringVar(&size, "max-size", "", "let `SIZE` stay, such as 500M or 5G")
	f.StringVar(&age, "older-than", "", "delete what was not used for `AGE`, such as 12h, 30d or 2w")
	f.BoolVar(&all, "all", false, "delete everything")
	return c
}

func (a *app) cacheClean(ctx context.Context, keep cachedir.Keep) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	freed, err := a.cache.Trim(ctx, keep)
	if freed > 0 || err == nil {
		env.Log.Infof("%s freed", config.FormatSize(freed))
	}
	if err != nil {
		return err
	}
	return a.tellPinned(ctx)
}

func newCacheVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check what was downloaded against its digests",
		Long: `verify reads every list, package, copy and source of the cache, and deletes those that
are damaged. They are fetched or made again when they are needed. nsbuild also checks each of them
before it uses it.
`,
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.cacheVerify(c.Context()) },
	}
}

func (a *app) cacheVerify(ctx context.Context) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	ph := env.Progress.Phase("verify the cache")
	good, bad, err := env.Client.Cache.Verify(ctx)
	ph.Done(err)
	for _, e := range bad {
		fmt.Fprintf(a.stdout, "damaged, deleted: %s\n", e.Path)
	}
	if err != nil {
		return err
	}
	env.Log.Infof("%s as they should be, %s not", fault.Count(good, "file is", "files are"),
		fault.Count(len(bad), "was", "were"))
	return nil
}

func newCacheCopies(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "copies",
		Short: "Make all copies of packages that are missing, now",
		Long: `copies makes the copy of every package that has none. nsbuild makes them by itself, too,
on processors that are idle. After this command the next nsbuild create is at its quickest.
`,
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.cacheCopies(c.Context()) },
	}
}

func (a *app) cacheCopies(ctx context.Context) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	ph := env.Progress.Phase("make copies")
	made, err := copies.All(ctx, env.Client)
	ph.Done(err)
	if err == nil {
		env.Log.Infof("%s made", fault.Count(made, "copy", "copies"))
	}
	return err
}
