package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/cachedir"
	"nsbuild/internal/config"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

func newCachePin(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "pin [FILE...]",
		Short: "Keep in the cache what a build was made from",
		Long: `pin has the cache keep every package, and every file of a source that was fetched, to which
FILE refers: a plan or a lock (NAME.plan.json), or what the --result of nsbuild build has written.
Cleaning leaves them, whatever they take. So the build can be done again without a network, with
nsbuild rebuild --offline.

Without FILE it lists what is pinned. The exit status is 1 when something that is pinned is not in
the cache.
`,
		Example: "  nsbuild cache pin hello_2.10-3_amd64.plan.json\n  nsbuild cache pin",
		Args:    rangeArgs(0, -1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listPins(c.Context())
			}
			return a.cachePin(c.Context(), args)
		},
	}
}

func newCacheUnpin(a *app) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "unpin [NAME...]",
		Short: "No longer keep what a build was made from",
		Long: `unpin takes pins away: by the names that nsbuild cache pin lists, or by the files that they
were made of. What they kept is deleted when the cache is cleaned next.
`,
		Example: "  nsbuild cache unpin hello_2.10-3_amd64.plan.json\n  nsbuild cache unpin --all",
		Args:    rangeArgs(0, -1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage("nsbuild cache pin lists them", "unpin: say which, or --all")
			}
			return a.cacheUnpin(c.Context(), args, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "take all of them away")
	return c
}

func (a *app) cachePin(ctx context.Context, files []string) error {
	var pins []*cache.Pin
	for _, file := range files {
		of, err := cachedir.PinsOf(file)
		if errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(fault.Usage, "name a plan, a lock or a result", err)
		}
		if err != nil {
			return err
		}
		pins = append(pins, of...)
	}
	if _, err := a.open(ctx); err != nil {
		return err
	}
	gone := 0
	for _, p := range pins {
		if err := a.cache.Files.Pin(p); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, pinLine(p))
		gone += len(p.Gone)
	}
	return notWhole(gone, 0)
}

// pinLine says what a pin keeps.
func pinLine(p *cache.Pin) string {
	text := fmt.Sprintf("pinned %s: %s, %s (%s)", p.What, fault.Count(len(p.Files), "file",
		"files"), config.FormatSize(p.Bytes()), p.Name)
	if len(p.Gone) > 0 {
		text += "; not in the cache: " + goneNames(p)
	}
	return buildlog.VisibleString(text)
}

func goneNames(p *cache.Pin) string {
	const shown = 5
	var names []string
	for _, f := range p.Gone[:min(shown, len(p.Gone))] {
		names = append(names, f.Name)
	}
	text := strings.Join(names, ", ")
	if n := len(p.Gone) - shown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// notWhole is the failure that not all is there that is pinned.
func notWhole(gone, damaged int) error {
	switch {
	case damaged > 0:
		return fault.New(fault.Internal, "nsbuild cache unpin takes it away",
			"%s damaged", fault.Count(damaged, "pin is", "pins are"))
	case gone > 0:
		return fault.New(fault.Internal, "a build or a rebuild that fetches them brings them back",
			"%s not in the cache", fault.Count(gone, "pinned file is", "pinned files are"))
	}
	return nil
}

func (a *app) listPins(ctx context.Context) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	pins, err := a.cache.Files.Pins()
	if err != nil {
		return err
	}
	if len(pins) == 0 {
		env.Log.Info("nothing is pinned")
		return nil
	}
	gone, damaged := 0, 0
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tWHAT\tFILES\tSIZE\tMADE\tSTATE")
	for _, p := range pins {
		state := "whole"
		switch {
		case p.Damaged != nil:
			state = "damaged: " + p.Damaged.Error()
			damaged++
		case len(p.Gone) > 0:
			state = "not in the cache: " + goneNames(p)
			gone += len(p.Gone)
		}
		fmt.Fprintln(w, strings.Join([]string{p.Name, buildlog.VisibleString(p.What),
			fmt.Sprint(len(p.Files)), config.FormatSize(p.Bytes()), when(p.Made),
			buildlog.VisibleString(state)}, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := a.tellPinned(ctx); err != nil {
		return err
	}
	return notWhole(gone, damaged)
}

// tellPinned says how much of the cache is pinned, where something is.
func (a *app) tellPinned(ctx context.Context) error {
	files, bytes, err := a.cache.Pinned(ctx)
	if err == nil && files > 0 {
		text := fault.Count(files, "file is", "files are") + " pinned and stay: " +
			config.FormatSize(bytes)
		if bytes > a.cache.Limit {
			text += ", more than the cache may take (" + config.FormatSize(a.cache.Limit) + ")"
		}
		a.env.Log.Info(text)
	}
	return err
}

func (a *app) cacheUnpin(ctx context.Context, names []string, all bool) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	pins, err := a.cache.Files.Pins()
	if err != nil {
		return err
	}
	chosen := pins
	if !all {
		if chosen, err = pinsCalled(pins, names); err != nil {
			return err
		}
	}
	for _, p := range chosen {
		if err := a.cache.Files.Unpin(p.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("taking the pin %s away: %w", p.Name, err)
		}
	}
	env.Log.Infof("%s taken away", fault.Count(len(chosen), "pin was", "pins were"))
	return nil
}

// pinsCalled are pins by their names, or by the files that they are of.
func pinsCalled(pins []*cache.Pin, names []string) (chosen []*cache.Pin, err error) {
	for _, name := range names {
		called := []string{name}
		if of, err := cachedir.PinsOf(name); err == nil {
			called = nil
			for _, p := range of {
				called = append(called, p.Name)
			}
		}
		found := false
		for _, p := range pins {
			if slices.Contains(called, p.Name) {
				chosen = append(chosen, p)
				found = true
			}
		}
		if !found {
			return nil, fault.New(fault.Usage, "nsbuild cache pin lists them",
				"there is no pin %s", name)
		}
	}
	return chosen, nil
}

// pinBuilt pins what a build was made from. That it cannot be done is no failure of the build.
func (a *app) pinBuilt(env *pkgbuild.Env, o *pkgbuild.Outcome) {
	p, err := cachedir.PinOfResult(o.Result, "")
	if err == nil {
		err = a.cache.Files.Pin(p)
	}
	switch {
	case err != nil:
		env.Log.WithField(fault.Shown, true).Warnf("what it was made from is not pinned: %v", err)
	case len(p.Gone) > 0:
		env.Log.WithField(fault.Shown, true).Warn(pinLine(p))
	default:
		env.Log.Info(pinLine(p))
	}
}
