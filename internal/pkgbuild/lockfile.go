package pkgbuild

import (
	"context"
	"fmt"

	"nsbuild/internal/base"
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
	own, more := at.parts()
	found, err := at.origins(ctx)
	if err == nil {
		p.Base.Packages, err = pinned(own, found)
	}
	if err == nil {
		p.Dependencies.Packages, err = pinned(more, found)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, "build it without --lock",
			fmt.Errorf("writing the lock %s: %w", at.o.LockTo, err))
	}
	return plan.Write(at.o.LockTo, p)
}

// pinned are packages with their files, all of which must be known.
func pinned(packages []base.Package, found map[base.Package]origin) ([]plan.Package, error) {
	all := []plan.Package{}
	for _, p := range packages {
		is, ok := found[p]
		if !ok {
			return nil, fmt.Errorf("%s %s: neither the suite's lists nor the cache have its hash",
				p.Name, p.Version)
		}
		all = append(all, is.planned(p))
	}
	return all, nil
}
