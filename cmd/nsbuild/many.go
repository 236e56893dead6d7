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
		fmt.Fprint(env.Progress.Writer(), table(all))
	}
	worst := pkgbuild.Worst(all)
	if worst == nil || fault.KindOf(worst) == fault.Interrupted {
		return worst
	}
	return commandStatus(exitStatus(worst))
}

// table has a line for each build.
func table(all []*pkgbuild.Ended) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "source\tversion\tstatus\ttime")
	for _, d := range all {
		name, version := d.Name, "-"
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", buildlog.VisibleString(name),
			buildlog.VisibleString(version), status, d.Time.Round(100*time.Millisecond))
	}
	_ = w.Flush() // into memory
	return text.String()
}
