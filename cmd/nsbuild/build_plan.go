package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/plan"
)

// besidePlan are the flags of build that a plan leaves open: where things go, and what is shown.
func besidePlan() []string {
	return []string{"output", "log-dir", "nolog", "result", "json", "scratch", "scratch-size",
		"plain-source", "strays", "no-layers", "jobs-at-once", "shell-on-failure", "sign", "keyid",
		"hook", "hookdir", "hook-network", "hook-timeout"}
}

// isPlan tells whether a source is the file of a plan.
func isPlan(source string) bool { return strings.HasSuffix(source, plan.Suffix) }

// checkPlan refuses what contradicts a plan, be it one to write or one to build.
func (o *buildOptions) checkPlan(c *cobra.Command, sources []string) error {
	some := slices.ContainsFunc(sources, isPlan)
	switch {
	case o.plan != "" && some:
		return fault.New(fault.Usage, "copy it", "--plan %s: what is to be planned is a plan",
			o.plan)
	case o.plan != "" && len(sources) > 1:
		return fault.New(fault.Usage, "plan them one by one", "--plan is for one source")
	case o.plan != "" && !isPlan(o.plan):
		return fault.New(fault.Usage, "call it NAME"+plan.Suffix,
			"--plan %s: the name of a plan ends in %s", o.plan, plan.Suffix)
	case !some:
		return nil
	}
	var other string
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if rankOf(f) == rankFlag && !slices.Contains(besidePlan(), f.Name) {
			other = f.Name
		}
	})
	if other != "" {
		return fault.New(fault.Usage, "leave it out, or plan the build anew",
			"--%s: the plan decides that", other)
	}
	return nil
}

// plan writes the plan of a build, and its path on standard output.
func (a *app) plan(ctx context.Context, env *pkgbuild.Env, source, to string,
	o pkgbuild.Options) error {
	p, err := env.Plan(ctx, source, o)
	if err != nil {
		return err
	}
	if err := plan.Write(to, p); err != nil {
		return err
	}
	if a.events == nil {
		fmt.Fprintln(a.stdout, to)
	}
	return nil
}
