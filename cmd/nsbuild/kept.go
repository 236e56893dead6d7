package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/config"
	"nsbuild/internal/kept"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/result"
)

// keepOptions are the flags of what is kept of builds.
type keepOptions struct {
	size, age string
}

func (k *keepOptions) addFlags(f *pflag.FlagSet, o *pkgbuild.Keeping) {
	f.StringVar(&o.Keep, "keep", pkgbuild.KeepFailed,
		"keep what the build wrote when it has ended as `HOW`: failed, always or never")
	f.IntVar(&o.KeepLimits.Count, "keep-count", 10, "keep the newest `N` builds")
	f.StringVar(&k.size, "keep-size", "5G",
		"let all kept builds take `SIZE` together, such as 800M or 5G")
	f.StringVar(&k.age, "keep-age", "14d", "keep a build for `TIME`, such as 12h, 14d or 2w")
}

func (k *keepOptions) complete(o *pkgbuild.Keeping) (err error) {
	if o.KeepLimits.Bytes, err = config.ParseSize(k.size); err != nil {
		return fmt.Errorf("--keep-size: %w", err)
	}
	if o.KeepLimits.Age, err = config.ParseAge(k.age); err != nil {
		return fmt.Errorf("--keep-age: %w", err)
	}
	return nil
}

// tellKept tells under which ID a build is kept, and what can be done with it.
func (a *app) tellKept(env *pkgbuild.Env, o *pkgbuild.Outcome) {
	if a.events != nil {
		for _, c := range o.KeptChecks {
			a.events.Write(result.Event{Event: result.EventKept, Kept: c.ID, Check: c.Check})
		}
		if o.Kept != "" {
			a.events.Write(result.Event{Event: result.EventKept, Kept: o.Kept})
		}
		return
	}
	out := env.Progress.Writer()
	for _, c := range o.KeptChecks {
		last := ""
		if c.Artifacts != "" {
			last = fmt.Sprintf(" · nsbuild copy %s %s DIR", c.ID, c.Artifacts)
		}
		fmt.Fprintf(out, "%s is kept as %s: nsbuild enter %[2]s · nsbuild diff %[2]s%s\n", c.Check,
			c.ID, last)
	}
	if o.Kept != "" {
		fmt.Fprintf(out, "kept as %s: nsbuild enter %[1]s · nsbuild diff %[1]s · nsbuild retry %[1]s\n",
			o.Kept)
	}
}

// keptReport is a kept build as `kept --json` writes it.
type keptReport struct {
	ID           string    `json:"id"`
	Source       string    `json:"source,omitempty"`
	Version      string    `json:"version,omitempty"`
	Distribution string    `json:"distribution,omitempty"`
	Status       string    `json:"status,omitempty"`
	Stage        string    `json:"stage,omitempty"`
	Why          string    `json:"why,omitempty"`
	Created      time.Time `json:"created"`
	Bytes        int64     `json:"bytes"`
	Directory    string    `json:"directory,omitempty"`
	RetryOf      string    `json:"retry_of,omitempty"`
	Error        string    `json:"error,omitempty"` // why no more is known of it
}

// keptList is what `kept --json` writes.
type keptList struct {
	Kept    []keptReport `json:"kept"`
	Escaped []string     `json:"escaped,omitempty"` // see docs/result.md
}

func newKept(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "kept",
		Short: "List the builds that are kept as they ended",
		Long: `kept lists the builds that are kept as they ended, the newest first: ID, source,
version, suite, the stage that failed, why, how old it is, and what it takes on disk.

A build that fails is kept, unless it is given --keep never. --keep-count, --keep-size and
--keep-age of build bound what is kept; the oldest go first.
`,
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.kept(c.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) kept(ctx context.Context, asJSON bool) error {
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	all, err := env.Kept.List()
	if err != nil {
		return err
	}
	if asJSON {
		list := keptList{Kept: make([]keptReport, 0, len(all))}
		for _, i := range all {
			r := keptReport{i.ID, i.Source, i.Version, i.Distribution, i.Status, i.Stage, i.Why,
				i.Created, i.Size, i.Directory, i.RetryOf, ""}
			if i.Err != nil {
				r.Error = i.Err.Error()
			}
			list.Kept = append(list.Kept, r)
		}
		list, list.Escaped = rawjson.Legible(list)
		return a.printJSON(list)
	}
	if len(all) == 0 {
		env.Log.Info("no build is kept")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tVERSION\tSUITE\tSTAGE\tAGE\tSIZE\tWHY")
	for _, i := range all {
		if i.Err != nil {
			fmt.Fprintf(w, "%s\t-\t-\t-\t%s\t-\t%s\n", buildlog.VisibleString(i.ID),
				howOld(i.Created), oneLine(i.Err.Error()))
			continue
		}
		stage := i.Stage
		if stage == "" {
			stage = "-"
		}
		stage = oneLine(stage)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Version, i.Distribution, stage,
			howOld(i.Created), config.FormatSize(i.Size), oneLine(i.Why))
	}
	return w.Flush()
}

// oneLine is a text as a cell of a table: what it was made of may be hostile.
func oneLine(text string) string {
	const longest = 100
	text = buildlog.VisibleString(strings.Join(strings.Fields(text), " "))
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest-1]) + "…"
	}
	return text
}

// howOld is how long ago a time is, in the largest unit that it has one of.
func howOld(t time.Time) string {
	d := max(time.Since(t), 0)
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func newForget(a *app) *cobra.Command {
	var all bool
	var older string
	c := &cobra.Command{
		Use:   "forget {ID... | --all | --older-than AGE}",
		Short: "Delete kept builds",
		Long: `forget deletes kept builds: those that are named, all, or those that are older than
AGE. The beginning of an ID is enough where no other begins so. One that a command uses stays.
`,
		Example: "  nsbuild forget hello-7c1e\n  nsbuild forget --older-than 7d",
		Args:    rangeArgs(0, -1, ""),
		RunE: func(c *cobra.Command, ids []string) error {
			return a.forget(c.Context(), ids, all, older)
		},
	}
	f := c.Flags()
	f.BoolVar(&all, "all", false, "every one")
	f.StringVar(&older, "older-than", "", "those that are older than `AGE`, such as 12h or 7d")
	return c
}

func (a *app) forget(ctx context.Context, ids []string, all bool, older string) error {
	given := 0
	for _, g := range []bool{len(ids) > 0, all, older != ""} {
		if g {
			given++
		}
	}
	if given != 1 {
		return usage("nsbuild forget --help", "forget: name kept builds, or say --all or "+
			"--older-than")
	}
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	if all {
		_, err := env.ForgetAll(ctx)
		return err
	}
	var which []string
	if older != "" {
		limit, err := config.ParseAge(older)
		if err != nil {
			return fmt.Errorf("--older-than: %w", err)
		}
		excess, err := env.Kept.Excess(kept.Limits{Count: 1<<31 - 1, Bytes: 1<<63 - 1, Age: limit})
		if err != nil {
			return err
		}
		for _, i := range excess {
			which = append(which, i.ID)
		}
	}
	for _, text := range ids {
		if text == "" {
			return usage("nsbuild kept lists them", "forget: an ID is empty")
		}
		id, err := env.Kept.Find(text, "")
		if err != nil {
			return err
		}
		which = append(which, id)
	}
	used, err := env.Forget(ctx, which...)
	if err != nil {
		return err
	}
	return pkgbuild.InUse(used)
}
