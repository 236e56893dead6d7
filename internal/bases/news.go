package bases

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
)

// News is what the mirrors say about a base's suites, asked for while a build gets ready over the
// base as it is. Nothing is built before it has come: that is up to the build.
type News struct {
	stop     context.CancelFunc
	done     chan struct{}
	releases []*release.File
	err      error
}

// Ask begins to fetch and verify the Release files of a base. Builds of one command ask one
// after the other, so that the mirror is asked once.
func (k *Keeper) Ask(ctx context.Context, g *base.Generation) *News {
	ctx, stop := context.WithCancel(ctx)
	n := &News{stop: stop, done: make(chan struct{})}
	name, m := g.Name, g.Manifest
	go func() {
		defer close(n.done)
		release, err := k.Turns.alone(ctx, "lists of "+name)
		if err != nil {
			n.err = err
			return
		}
		defer release()
		n.releases, n.err = k.releases(ctx, m)
	}()
	return n
}

// Wait returns what there was to say.
func (n *News) Wait() ([]*release.File, error) {
	<-n.done // at the latest when its context ends
	n.stop()
	return n.releases, fault.Wrap(fault.GivenBack, "", n.err)
}

// End gives up the question.
func (n *News) End() {
	n.stop()
	<-n.done
}

// Take takes a base into use, by its name and as it is; a missing one is made as the options
// say, completed by as.
func (k *Keeper) Take(ctx context.Context, o Options,
	as func(Options) (Options, error)) (*base.Generation, error) {
	release, err := k.Turns.alone(ctx, "base "+o.Name) // other builds of this command find it done
	if err != nil {
		return nil, err
	}
	defer release()
	g, err := k.Store.Use(o.Name)
	if !errors.Is(err, base.ErrNone) {
		return g, err
	}
	if as != nil {
		name := o.Name
		if o, err = as(o); err != nil {
			return nil, fmt.Errorf("making base %s: %w", name, err)
		}
	}
	if _, err = k.makeBase(ctx, o); err != nil {
		return nil, err
	}
	return k.Store.Use(o.Name)
}

// Renew takes the newest generation of a base into use in place of an older one, brought up to date
// with Release files first. In any case it takes care of g.
func (k *Keeper) Renew(ctx context.Context, g *base.Generation, releases []*release.File,
	hooks func() (Hooks, error)) (*base.Generation, error) {
	release, err := k.Turns.alone(ctx, "base "+g.Name) // other builds of this command find it done
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	defer release()
	if err := g.Close(); err != nil {
		return nil, err
	}
	if g, err = k.Store.Use(g.Name); err != nil {
		return nil, err
	}
	return k.freshen(ctx, g, releases, renewal{hooks: hooks})
}

// Require refuses a base that does not exist.
func (k *Keeper) Require(name string) error {
	names, err := k.Store.Names()
	if err != nil || slices.Contains(names, name) {
		return err
	}
	hint := fmt.Sprintf(
		"nsbuild list shows those that there are, nsbuild create --name %s SUITE makes it", name)
	if near := nearest.Names(name, names, 1); len(near) > 0 {
		hint = "did you mean " + near[0] + "?"
	}
	return fault.New(fault.Usage, hint, "--base: there is no base %s", name)
}
