package main

import (
	"context"
	"fmt"

	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/plan"
)

// plan writes the plan of a build, and its path on standard output.
func (a *app) plan(ctx context.Context, env *pkgbuild.Env, s *pkgbuild.Several) error {
	p, err := env.Plan(ctx, s.Each()[0])
	if err != nil {
		return err
	}
	if err := plan.Write(s.PlanTo, p); err != nil {
		return err
	}
	if a.events == nil {
		fmt.Fprintln(a.stdout, s.PlanTo)
	}
	return nil
}
