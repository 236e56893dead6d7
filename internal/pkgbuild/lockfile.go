package pkgbuild

import (
	"context"
	"fmt"
	"path/filepath"

	"nsbuild/internal/base"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
)

// writeLocks writes the locks of a build that has succeeded: the one that was asked for, and the
// one beside the results. That this one cannot be written does not harm the build.
func (at *attempt) writeLocks(ctx context.Context) error {
	if at.o.KeepLock && at.retried == nil {
		name, _ := at.in.Identity()
		file := filepath.Join(at.output, name+"_"+at.version.FileName()+"_"+at.fileArch()+
			plan.Suffix)
		if err := at.writeLock(ctx, file); err != nil {
			if ctx.Err() != nil {
				return err
			}
			at.env.Log.WithField(fault.Shown, true).Warnf("there is no lock beside the results: %v",
				err)
		}
	}
	if at.o.LockTo == "" {
		return nil
	}
	return fault.Wrap(fault.Internal, "build it without --lock", at.writeLock(ctx, at.o.LockTo))
}

// writeLock writes the plan of the build, with all packages of the root, those of the base and
// those that came to it.
func (at *attempt) writeLock(ctx context.Context, to string) error {
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
		return fmt.Errorf("writing the lock %s: %w", to, err)
	}
	return plan.Write(to, p)
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
