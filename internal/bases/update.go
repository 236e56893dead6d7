package bases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/hook"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/output"
	"nsbuild/internal/sandbox"
)

// Unchanged tells whether a base was last compared with just these Release files.
func Unchanged(m base.Manifest, releases []*release.File) bool {
	return slices.EqualFunc(m.Releases, releases, func(old base.Release, r *release.File) bool {
		return old.SHA256 == r.Digest()
	})
}

// Update brings a base up to date, and returns the number of its generation before and after.
// With hooks there is always a new one: they may do another thing each time.
func (k *Keeper) Update(ctx context.Context, name string, hooks Hooks) (before, after int,
	err error) {
	if err := k.sweepBases(ctx); err != nil {
		return 0, 0, err
	}
	g, err := k.Store.Use(name)
	if err != nil {
		return 0, 0, err
	}
	before = g.Number
	if g.Manifest.Lock != "" {
		return before, before, errors.Join(fmt.Errorf("base %s: %w", name, ErrLocked), g.Close())
	}
	releases, err := k.releases(ctx, g.Manifest)
	if err != nil {
		return 0, 0, errors.Join(err, g.Close())
	}
	r := renewal{hooks: func() (Hooks, error) { return hooks, nil },
		always: len(hooks.Set.At(hook.Update.Stages()...)) > 0}
	if g, err = k.freshen(ctx, g, releases, r); err != nil {
		return 0, 0, err
	}
	return before, g.Number, g.Close()
}

// renewal says how a base is brought up to date.
type renewal struct {
	// that a new generation comes by, found when one is made; nil: none
	hooks  func() (Hooks, error)
	always bool // make a generation, be there something newer or not
}

// freshen returns a generation that the Release files would not upgrade: g itself, or a new one. In
// any case it takes care of g. What a lock file fixed is never upgraded.
func (k *Keeper) freshen(ctx context.Context, g *base.Generation, releases []*release.File,
	r renewal) (*base.Generation, error) {
	if g.Manifest.Lock != "" || !r.always && Unchanged(g.Manifest, releases) {
		return g, nil
	}
	ph := k.Progress.Phase("update " + g.Name)
	defer k.Meter.During(ph)()
	newer, number, err := k.upgrade(ctx, g, releases, r)
	ph.Done(err)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("updating base %s: %w", g.Name, err), g.Close())
	}
	if !newer {
		m := g.Manifest
		m.Releases = recorded(releases)
		if err := g.UpdateManifest(m); err != nil {
			return nil, errors.Join(fmt.Errorf("base %s: %w", g.Name, err), g.Close())
		}
		return g, nil
	}
	if err := g.Close(); err != nil {
		return nil, err
	}
	if g, err = k.Store.Use(g.Name); err != nil {
		return nil, err
	}
	r.always = r.always && number == 0
	// nothing is left to be done, unless it was another process that has made it
	return k.freshen(ctx, g, releases, r)
}

// upgrade makes a generation with what the suite has newer, and tells whether there was anything.
// Its number is 0 when another process has made one meanwhile.
func (k *Keeper) upgrade(ctx context.Context, g *base.Generation, releases []*release.File,
	r renewal) (newer bool, number int, err error) {
	h, err := k.Work.HoldFor(ctx, g.Manifest.Arch,
		sandbox.HolderSpec{IDs: g.Manifest.IDs})
	if err != nil {
		return false, 0, err
	}
	defer h.Close()
	sources, err := install.Sources(ctx, k.Client, releases, g.Manifest.Arch)
	if err != nil {
		return false, 0, err
	}
	if newer = r.always; !newer {
		if newer, err = k.hasNewer(ctx, h, g, sources); err != nil || !newer {
			return false, 0, err
		}
	}
	var hooks Hooks
	if r.hooks != nil {
		if hooks, err = r.hooks(); err != nil {
			return false, 0, err
		}
	}
	number, err = k.makeUpgraded(ctx, h, g, releases, sources, hooks)
	return newer, number, err
}

// hasNewer finds out in a throwaway layer whether the suite has newer packages than a generation.
func (k *Keeper) hasNewer(ctx context.Context, h jails.Holder, g *base.Generation,
	sources []apt.Source) (bool, error) {
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: g.Tree()}}},
			Mounts: apt.Mounts(k.CacheDir)})
	if err != nil {
		return false, err
	}
	var said output.Tail
	resolver, err := apt.New(jail, k.CacheDir, buildroot.Env(), sources)
	if err != nil {
		return false, err
	}
	wanted, err := resolver.Wanted(ctx, &said, "dist-upgrade")
	if err != nil {
		return false, said.Explain(err)
	}
	_, err = jail.Close()
	return len(wanted) > 0, err
}

// makeUpgraded copies a generation and upgrades the copy. Never through an overlay: dpkg renames
// directories, which overlays refuse across layers. It returns 0 when another process has made a
// generation meanwhile.
func (k *Keeper) makeUpgraded(ctx context.Context, h jails.Holder, g *base.Generation,
	releases []*release.File, sources []apt.Source, hooks Hooks) (number int, err error) {
	if err := k.checkExec(); err != nil {
		return 0, err
	}
	draft, err := k.Store.Begin(ctx, g.Name, k.waitingFor(g.Name))
	if err != nil {
		return 0, err
	}
	number, err = k.upgradeIn(ctx, h, g, draft, releases, sources, hooks)
	switch {
	case err != nil:
		return 0, k.abandon(ctx, draft, g.Manifest.IDs, err)
	case number == 0:
		return 0, k.discard(ctx, draft, g.Manifest.IDs)
	}
	return number, nil
}

// upgradeIn makes a draft a generation. It returns 0 when another process has made one meanwhile.
func (k *Keeper) upgradeIn(ctx context.Context, h jails.Holder, g *base.Generation,
	draft *base.Draft, releases []*release.File, sources []apt.Source, hooks Hooks) (number int,
	err error) {
	if newer, err := k.replaced(g); newer || err != nil {
		return 0, err
	}
	if err := h.CopyTree(ctx, g.Tree(), draft.Tree()); err != nil {
		return 0, err
	}
	m := g.Manifest
	if err := k.hookTree(ctx, h, draft.Tree(), &m, hook.Update, hooks, hook.Start); err != nil {
		return 0, err
	}
	if m.Packages, err = k.upgradeTree(ctx, h, draft.Tree(), m, releases[0], sources); err != nil {
		return 0, err
	}
	if err := k.hookTree(ctx, h, draft.Tree(), &m, hook.Update, hooks, hook.Updated); err != nil {
		return 0, err
	}
	m.Created, m.Releases = time.Now().UTC().Truncate(time.Second), recorded(releases)
	return draft.Commit(m)
}

// upgradeTree has the apt of a tree upgrade it, and returns what is installed then.
func (k *Keeper) upgradeTree(ctx context.Context, h jails.Holder, tree string, m base.Manifest,
	of *release.File, sources []apt.Source) ([]base.Package, error) {
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Dir: tree}, Mounts: apt.Mounts(k.CacheDir)})
	if err != nil {
		return nil, err
	}
	var said output.Tail
	resolver, err := apt.New(jail, k.CacheDir,
		buildroot.Env(fmt.Sprintf("SOURCE_DATE_EPOCH=%d", of.Date().Unix())), sources)
	if err != nil {
		return nil, err
	}
	form, err := install.CopyForm(m.Packages)
	if err != nil {
		return nil, err
	}
	if err := install.Command(ctx, k.Client, resolver, &said, sources, form,
		"dist-upgrade"); err != nil {
		return nil, said.Explain(err)
	}
	packages, err := buildroot.Installed(jail)
	if err != nil {
		return nil, err
	}
	_, err = jail.Close()
	return packages, err
}

// replaced tells whether a generation is no longer its base's current one: another process made one
// while we waited for it.
func (k *Keeper) replaced(g *base.Generation) (bool, error) {
	now, err := k.Store.Use(g.Name)
	if err != nil {
		return false, err
	}
	return now.Number != g.Number, now.Close()
}
