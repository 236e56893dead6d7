package pkgbuild

import (
	"context"
	"fmt"

	"nsbuild/internal/archive"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
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
	if b.in.Tree != nil {
		return b.o.added.Join(b.in.Tree.Control.BuildRelations)
	}
	return b.o.added.Join(b.in.DSC.BuildRelations)
}

// installDeps makes the build dependencies a layer of the build's root: one that an earlier build
// left, or a new one.
func (b *builder) installDeps(ctx context.Context) error {
	log := b.log
	log.Section("Install package build dependencies")
	reduced, err := b.dependencies(b.context())
	if err != nil {
		return err
	}
	log.Subsection("Setup apt archive")
	log.Printf("Merged Build-Depends: %s", b.relations().Reduce(b.context()).Depends)
	log.Printf("Filtered Build-Depends: %s", reduced.Depends)
	if text := reduced.Conflicts.String(); text != "" {
		log.Printf("Filtered Build-Conflicts: %s", text)
	}
	log.Subsection("Install main build dependencies (" + b.resolver() + "-based resolver)")
	request := deps.Request{Reduced: reduced, Base: b.base, Arch: b.arch, Host: b.host,
		Suite: b.suite.Name, Resolver: b.resolver(), Repos: b.repos, Components: b.o.Components,
		Extra: b.extra, NoLayers: b.o.NoLayers, What: "installing the build dependencies"}
	if b.cross() && b.o.ArchAll && len(b.relations().DependsIndep) > 0 {
		request.Unresolved = "--no-arch-all leaves out the packages for all architectures and " +
			"their Build-Depends-Indep, which seldom work in a cross build"
	}
	on := deps.On{Holder: b.holder, Lowers: b.lowers, Leavings: b.packedIn, Hooked: b.hookedRoot,
		Copies: b.copies, Log: b.log,
		Confirm: func() ([]*archive.Release, error) { err := b.confirm(); return b.releases, err }}
	b.deps, err = b.env.deps().Install(ctx, request, on)
	b.summary.InstallTime, b.lowers, b.open = b.deps.Time, b.deps.Lowers, b.deps.Open
	b.result.Inputs.Layer = result.Layer{Key: b.deps.Key, Cached: b.deps.Cached}
	if b.deps.Packages != nil {
		b.result.Inputs.Dependencies = listed(b.deps.Packages)
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
