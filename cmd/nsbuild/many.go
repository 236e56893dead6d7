package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// completeAtOnce is how many builds there may be at a time. Of a chain and a number the one that is
// said nearer counts.
func (o *buildOptions) completeAtOnce(g given) (err error) {
	if o.jobsAtOnce == "auto" || o.Chain && g.nearer("chain", "jobs-at-once") {
		delete(o.Said, "jobs-at-once")
		o.AtOnce, err = pkgbuild.Suitable()
		return err
	}
	o.AtOnce, err = strconv.Atoi(o.jobsAtOnce)
	if err != nil || o.AtOnce < 1 {
		return fault.New(fault.Usage, "give a number from 1 on, or auto", "%s %q",
			g.place("jobs-at-once"), o.jobsAtOnce)
	}
	return nil
}

// buildMany builds several sources and shows at the end what has become of each. Its error has been
// told already.
func (a *app) buildMany(ctx context.Context, env *pkgbuild.Env, s *pkgbuild.Several) error {
	all := env.BuildMany(ctx, s, func(view *pkgbuild.Env, d *pkgbuild.Ended) {
		a.result.note(d.Index, d.Outcome.Result)
		a.tell(view, d.Outcome, d.Err)
		if d.Err != nil && fault.KindOf(d.Err) != fault.Interrupted {
			if a.events != nil {
				a.errorJSON(d.Name, d.Err)
			}
			out := env.Progress.Writer()
			fmt.Fprint(out, errorText(d.Name+": ", d.Err))
		}
	}, a.tellKept)
	if !a.quiet {
		fmt.Fprint(env.Progress.Writer(), table(all, len(s.Suites) > 1, len(s.Archs) > 1))
	}
	worst := pkgbuild.Worst(all)
	if worst == nil || fault.KindOf(worst) == fault.Interrupted {
		return worst
	}
	return commandStatus(exitStatus(worst))
}

// table has a line for each build, with its suite and its architecture where these differ.
func table(all []*pkgbuild.Ended, suites, archs bool) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	row := func(source, version, suite, arch, status, took string) {
		cells := []string{source, version}
		if suites {
			cells = append(cells, suite)
		}
		if archs {
			cells = append(cells, arch)
		}
		fmt.Fprintln(w, strings.Join(append(cells, status, took), "\t"))
	}
	row("source", "version", "suite", "arch", "status", "time")
	for _, d := range all {
		name, version := d.Source, "-"
		if s := d.Outcome.Result.Source; s.Version != "" {
			name, version = s.Name, s.Version
		}
		status := string(d.Outcome.Status)
		switch {
		case d.Err != nil && fault.KindOf(d.Err) == fault.Interrupted:
			status = "stopped"
		case d.Err != nil && d.Outcome.Status != buildlog.Successful && d.Outcome.Stage != "":
			status += " (" + d.Outcome.Stage + ")"
		}
		target := d.Outcome.Result.Target
		row(buildlog.VisibleString(name), buildlog.VisibleString(version), target.Distribution,
			target.BuildArch, status, d.Time.Round(100*time.Millisecond).String())
	}
	_ = w.Flush() // into memory
	return text.String()
}
