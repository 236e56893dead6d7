package pkgbuild

import (
	"context"
	"fmt"
	"io"

	"nsbuild/internal/archive/release"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
	"nsbuild/internal/result"
)

// dependencies are the relations that a build needs, with what every build needs.
func (b *builder) dependencies(ctx dsc.Context) (dsc.Reduced, error) {
	core, err := dsc.ParseRelations(b.coreDepends())
	if err != nil {
		return dsc.Reduced{}, err
	}
	extra := []dsc.Relations{core}
	for _, text := range b.o.Hooks.BuildDepends() {
		relations, err := dsc.ParseRelations(text)
		if err != nil {
			return dsc.Reduced{}, fmt.Errorf("the Build-Depends of a hook: %w", err)
		}
		extra = append(extra, relations)
	}
	reduced := b.relations().Reduce(ctx, extra...)
	if b.firstOnly() {
		reduced.Depends = reduced.Depends.FirstAlternatives()
	}
	for _, r := range []dsc.Relations{reduced.Depends, reduced.Conflicts} {
		if bad, found := r.Invalid(); found {
			return reduced, fault.New(fault.GivenBack, "correct debian/control",
				"the build dependencies: %s: %s (no substitution variables hold there)", bad,
				bad.Invalid)
		}
	}
	return reduced, nil
}

// relations are the source's own, and those that were added to them.
func (b *builder) relations() dsc.BuildRelations {
	if b.sourceAlone() {
		return b.added
	}
	if b.in.Tree != nil {
		return b.added.Join(b.in.Tree.Control.BuildRelations)
	}
	return b.added.Join(b.in.DSC.BuildRelations)
}

// installDeps makes the build dependencies a layer of the build's root: one that an earlier build
// left, or a new one.
func (at *attempt) installDeps(ctx context.Context) error {
	log := at.log
	log.Section("Install package build dependencies")
	reduced, err := at.dependencies(at.context())
	if err != nil {
		return err
	}
	log.Subsection("Setup apt archive")
	log.Printf("Merged Build-Depends: %s", at.relations().Reduce(at.context()).Depends)
	log.Printf("Filtered Build-Depends: %s", reduced.Depends)
	if text := reduced.Conflicts.String(); text != "" {
		log.Printf("Filtered Build-Conflicts: %s", text)
	}
	log.Subsection("Install main build dependencies (" + at.resolver() + "-based resolver)")
	at.deps, err = at.env.deps().Install(ctx, at.request(reduced), at.on())
	at.summary.InstallTime, at.root.lowers, at.root.open = at.deps.Time, at.deps.Lowers,
		at.deps.Open
	at.found.layer = result.Layer{Key: at.deps.Key, Cached: at.deps.Cached}
	if at.deps.Packages != nil {
		at.result.Inputs.Dependencies = listed(at.deps.Packages)
	}
	return err
}

// archs are the architectures that apt may install packages of.
func (b *builder) archs() []string {
	if b.cross() {
		return []string{b.arch, b.host}
	}
	return []string{b.arch}
}

// request is what is to be installed.
func (b *builder) request(reduced dsc.Reduced) deps.Request {
	r := deps.Request{Reduced: reduced, Base: b.base, Arch: b.arch, Host: b.host,
		Suite: b.suite.Name, Resolver: b.resolver(), Explainer: b.o.Explainer,
		Repos: b.repos, Components: b.o.Components,
		Extra: b.extra, NoLayers: b.o.NoLayers, What: "installing the build dependencies"}
	if b.cross() && b.o.ArchAll && len(b.relations().DependsIndep) > 0 {
		r.Unresolved = "--no-arch-all leaves out the packages for all architectures and their " +
			"Build-Depends-Indep, which seldom work in a cross build"
	}
	if b.planned != nil {
		r.Planned = plannedFiles(b.planned)
	}
	return r
}

// on is what it is to be installed on.
func (at *attempt) on() deps.On {
	return deps.On{Holder: at.holder, Lowers: at.root.lowers, Leavings: at.sources.packedIn,
		Hooked: at.root.hooked, Copies: at.copies, Log: at.log,
		Confirm: func() ([]*release.File, error) {
			err := at.confirm()
			return at.releases, err
		}}
}

// installMore installs packages in the open jail, which has the mounts of apt.
func (at *attempt) installMore(ctx context.Context, wanted dsc.Reduced, out io.Writer) error {
	if at.root.install == nil || at.root.install.Jail() != at.root.open {
		sources, err := deps.Sources(ctx, at.env.Client, at.archs(), at.extra, at.releases)
		if err != nil {
			return err
		}
		if at.root.install, err = install.Open(at.env.Client, at.env.CacheDir, at.root.open,
			at.arch, sources,
			at.base.Manifest.Packages,
			at.extra.Pins); err != nil {
			return err
		}
	}
	return at.root.install.Install(ctx, wanted, out)
}
