package pkgbuild

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
)

// writeLock writes the lock of a build that has succeeded, where one was asked for: its plan, with
// all packages of the root, those of the base and those that came to it.
func (at *attempt) writeLock(ctx context.Context) error {
	if at.o.LockTo == "" {
		return nil
	}
	relations, err := at.planRelations()
	if err != nil {
		return err
	}
	p, err := at.planWith(ctx, relations)
	if err != nil {
		return err
	}
	more := buildroot.Beyond(at.found.installed, at.base.Manifest.Packages)
	own := buildroot.Beyond(at.found.installed, more)
	if p.Base.Packages, err = at.pinned(ctx, own); err == nil {
		p.Dependencies.Packages, err = at.pinned(ctx, more)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, "build it without --lock",
			fmt.Errorf("writing the lock %s: %w", at.o.LockTo, err))
	}
	return plan.Write(at.o.LockTo, p)
}

// pinned are packages with their hashes: by the lists of the build's suites, else by the cache,
// which has what they were installed from.
func (at *attempt) pinned(ctx context.Context, packages []base.Package) ([]plan.Package, error) {
	called, found := map[string]bool{}, map[base.Package]*index.Package{}
	for _, p := range packages {
		called[p.Name] = true
	}
	note := func(p *index.Package) error {
		key := base.Package{Name: p.Package, Version: p.Version, Arch: p.Architecture}
		if found[key] == nil && p.Hashes.SHA256 != "" {
			found[key] = p
		}
		return nil
	}
	for _, r := range slices.Concat(at.extra.Releases, at.releases) {
		for _, c := range r.Repo().IndexComponents() {
			// what cannot be had is in the cache, or missing below
			_ = at.env.Client.PackagesCalled(ctx, r, c, at.arch, called, note)
		}
	}
	if at.extra.Local != nil {
		for _, p := range at.extra.Local.Packages {
			_ = note(p)
		}
	}
	cached, err := at.env.Client.Cached(ctx, called)
	if err != nil {
		return nil, err
	}
	for _, p := range cached {
		_ = note(p)
	}
	all := []plan.Package{}
	for _, p := range packages {
		is := found[p]
		if is == nil {
			return nil, fmt.Errorf("%s %s: neither the suite's lists nor the cache have its hash",
				p.Name, p.Version)
		}
		uri := failure.PublicURI(is.Repo.URI)
		if is.Repo.URI == pool.CachedOrigin {
			uri = ""
		}
		all = append(all, plan.Package{Name: p.Name, Version: p.Version, Arch: p.Arch,
			Size: is.Size, SHA256: is.Hashes.SHA256, SHA512: is.Hashes.SHA512, URI: uri,
			File: is.Filename})
	}
	slices.SortFunc(all, func(a, b plan.Package) int {
		return strings.Compare(a.Name+" "+a.Arch, b.Name+" "+b.Arch)
	})
	return all, nil
}
