package pkgbuild

import (
	"cmp"
	"context"

	"nsbuild/internal/apt"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// openJail opens a jail over what there is. With apt, packages can be installed in it.
func (at *attempt) openJail(ctx context.Context, withApt bool, change ...specChange) (
	jails.Jail, error) {
	return at.openOver(ctx, sandbox.Root{Lowers: at.root.lowers}, withApt, change...)
}

// specChange changes what a jail is to be.
type specChange func(*sandbox.Spec)

func (at *attempt) openOver(ctx context.Context, root sandbox.Root, withApt bool,
	change ...specChange) (jails.Jail, error) {
	spec := sandbox.Spec{Root: root,
		Hostname: cmp.Or(at.o.Vary.Host, buildroot.Host), Domain: at.o.Vary.Domain}
	if withApt {
		spec.Mounts = append(spec.Mounts, apt.Mounts(at.env.CacheDir)...)
	}
	caches, err := hook.CachesIn(at.env.CacheDir).Mounts(ctx, at.holder, at.o.Hooks)
	if err != nil {
		return nil, err
	}
	spec.Mounts = append(spec.Mounts, caches...)
	for _, one := range change {
		one(&spec)
	}
	jail, err := at.holder.NewJail(ctx, spec)
	at.root.open = jail
	return jail, err
}

// closeJail closes the open jail; what was written in it lies below the next.
func (at *attempt) closeJail() ([]sandbox.Stray, error) {
	jail := at.root.open
	whole := at.root.whole
	at.root.open, at.root.whole = nil, false
	strays, err := jail.Close()
	if whole { // what lies below is part of it
		at.root.lowers = nil
	}
	if err == nil {
		at.root.lowers = append([]sandbox.Lower{{Jail: jail.ID()}}, at.root.lowers...)
	}
	return strays, err
}

// reopen opens a jail over the one that built and was stopped.
func (at *attempt) reopen(ctx context.Context) error {
	if at.root.open != nil && !at.root.stopped {
		return nil
	}
	if at.root.open != nil {
		at.root.stopped = false
		if _, err := at.closeJail(); err != nil {
			return err
		}
	}
	_, err := at.openJail(ctx, true)
	return err
}
