package pkgbuild

import (
	"context"
	"io"

	"nsbuild/internal/plan"
	"nsbuild/internal/progress"
)

// PlanOneOf plans one of many as Plan does, without a word. Unlike Plan it may plan a source again
// that it has planned before.
func (e *Env) PlanOneOf(ctx context.Context, r Request) (*plan.Plan, error) {
	quiet := *e
	quiet.Progress = progress.New(io.Discard, progress.Options{Quiet: true})
	quiet.Meter = &progress.Meter{}
	defer e.shared.disclaim(r.From)
	return quiet.Plan(ctx, r)
}

// BesidePlan tells whether a flag of build may be given with a plan: it decides nothing about what
// is built.
func BesidePlan(flag string) bool {
	for _, one := range besidePlan() {
		if one == flag {
			return true
		}
	}
	return false
}
