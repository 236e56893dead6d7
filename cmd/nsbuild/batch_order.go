package main

import (
	"context"
	"fmt"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
)

// orderBatch finds out which sources are built with the packages of others. What the suite knows is
// not fetched for that; other sources are looked at.
func (a *app) orderBatch(ctx context.Context, sources []batch.Source, suite *pkgbuild.Suite,
	cut bool) (err error) {
	env, err := a.opened(ctx)
	if err != nil {
		return err
	}
	ph := env.Progress.Phase("order")
	ph.Unit("sources")
	ph.AddTotal(int64(len(sources)))
	defer func() { ph.Done(err) }()
	var known *pkgbuild.Known
	if suite != nil {
		if known, err = suite.Known(ctx, specsOfSources(sources)); err != nil {
			return err
		}
	}
	nodes := make([]batch.Node, len(sources))
	for i, s := range sources {
		nodes[i].Spec = s.Spec
		if s.Skip == "" {
			if nodes[i], err = a.nodeOf(ctx, env, known, s, ph); err != nil {
				return err
			}
		}
		ph.Add(1)
	}
	needs, err := batch.Graph(nodes, cut)
	for i := range needs {
		sources[i].Needs = needs[i]
	}
	return err
}

// nodeOf is a source as the suite knows it, or as it is found when it is fetched.
func (a *app) nodeOf(ctx context.Context, env *pkgbuild.Env, known *pkgbuild.Known,
	s batch.Source, ph *progress.Phase) (n batch.Node, err error) {
	r := a.buildFlags.Request
	r.From = s.Spec
	if err := withOwn(&r, s.Options); err != nil {
		return n, err
	}
	var looked *pkgbuild.Looked
	if known != nil {
		looked = known.Look(s.Spec, &r)
	}
	if looked == nil {
		ph.Note(s.Spec)
		looked, err = env.Look(ctx, r)
	}
	if pkgbuild.Transient(err) && ctx.Err() == nil {
		env.Log.Warnf("%s has no place in the order: %v", s.Spec, err)
		return batch.Node{Spec: s.Spec}, nil
	}
	if err != nil {
		return n, fault.Wrap(fault.KindOf(err), "", fmt.Errorf("%s: %w", s.Spec, err))
	}
	return batch.Node{Spec: s.Spec, Version: looked.Version, Binaries: looked.Binaries,
		Depends: looked.Depends}, nil
}

// opened is the environment, which is opened once.
func (a *app) opened(ctx context.Context) (*pkgbuild.Env, error) {
	if a.env != nil {
		return a.env, nil
	}
	return a.open(ctx)
}
