// Package keptroot is the root of a kept build, as jails are opened over it: to work in it, to see
// what the build has changed, and to take files out.
//
// What is kept, and where, is internal/kept's; how a build goes on in such a root is
// internal/pkgbuild's.
package keptroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"nsbuild/internal/base"
	"nsbuild/internal/budget"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/kept"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// Opener takes kept builds into use, with all that they lie on.
type Opener struct {
	Kept   *kept.Store
	Bases  *base.Store
	Layers *layer.Store
	Work   *workdir.Dir
}

// Root is the root of a kept build. What it is made of stays while it is not closed.
type Root struct {
	*kept.Build
	Base   *base.Generation
	Lowers []sandbox.Lower // topmost first
	Under  []sandbox.Lower // what the topmost lies on: the root that the build began with
	layers []*layer.Layer
}

// Use takes a kept build into use, beside others.
func (o *Opener) Use(id string) (*Root, error) {
	b, err := o.Kept.Use(id)
	return o.complete(b, err)
}

// Own takes a kept build into use that is to be written to, and that nobody else may use meanwhile.
func (o *Opener) Own(id string) (*Root, error) {
	b, err := o.Kept.Own(id)
	if errors.Is(err, kept.ErrUsed) {
		err = fault.New(fault.Internal, "wait for the commands that use it, or leave out --write",
			"kept build %s is in use: who writes to it has to be alone with it", id)
	}
	return o.complete(b, err)
}

func (o *Opener) complete(b *kept.Build, err error) (*Root, error) {
	if err != nil {
		return nil, err
	}
	r := &Root{Build: b}
	if err := o.open(r); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (o *Opener) open(r *Root) (err error) {
	r.Base, err = o.Bases.UseGeneration(r.Manifest.Base, r.Generation)
	if errors.Is(err, fs.ErrNotExist) {
		return r.incomplete("what it lies on: generation %d of base %s", r.Generation,
			r.Manifest.Base)
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(r.Plan()); errors.Is(err, fs.ErrNotExist) {
		return r.incomplete("its plan %s", r.Plan())
	}
	if r.Lowers, err = o.lowers(r, r.Manifest.Lowers); err == nil {
		r.Under, err = o.lowers(r, r.Manifest.Under())
	}
	return err
}

func (o *Opener) lowers(r *Root, parts []kept.Lower) (all []sandbox.Lower, err error) {
	for _, p := range parts {
		switch {
		case p.Base:
			if _, err := os.Stat(r.Base.Tree()); errors.Is(err, fs.ErrNotExist) {
				return nil, r.incomplete("what it lies on: the tree of base %s", r.Manifest.Base)
			}
			all = append(all, sandbox.Lower{Path: r.Base.Tree()})
		case p.Layer != "":
			l, err := o.Layers.Use(p.Layer)
			if err == nil && l == nil {
				err = r.incomplete("what it lies on (or that was hurt by a crash): the dependency "+
					"layer %.12s", p.Layer)
			}
			if err != nil {
				return nil, err
			}
			r.layers = append(r.layers, l)
			all = append(all, sandbox.Lower{Path: l.Tree()})
		default:
			tree := r.Tree(p.Tree)
			if _, err := os.Stat(tree); errors.Is(err, fs.ErrNotExist) {
				return nil, r.incomplete("what it wrote: %s", tree)
			}
			all = append(all, sandbox.Lower{Path: tree})
		}
	}
	return all, nil
}

// incomplete is the error of a kept build of which something was deleted.
func (r *Root) incomplete(format string, args ...any) error {
	return fault.New(fault.Internal, "nsbuild forget "+r.ID+"; nsbuild build makes it anew",
		"%s cannot be used any more, as this is gone: "+format, append([]any{r.ID}, args...)...)
}

// Close ends the use.
func (r *Root) Close() error {
	var errs []error
	for _, l := range r.layers {
		errs = append(errs, l.Close())
	}
	if r.Base != nil {
		errs = append(errs, r.Base.Close())
	}
	return errors.Join(append(errs, r.Build.Close())...)
}

// LayerAt is the key of the dependency layer that has its tree at a path; "" for none.
func (r *Root) LayerAt(path string) string {
	for _, l := range r.layers {
		if l.Tree() == path {
			return l.Key
		}
	}
	return ""
}

// Top is the directory of the topmost layer: what the build wrote.
func (r *Root) Top() string { return r.Lowers[0].Path }

// Open is an open jail over the root of a kept build.
type Open struct {
	Root   *Root
	Holder jails.Holder
	Jail   jails.Jail
}

// Open opens a jail: what is done there is thrown away, unless it is to be written to the root.
func (o *Opener) Open(ctx context.Context, r *Root, write bool, mounts ...sandbox.Mount) (_ *Open,
	err error) {
	machine, err := budget.Read()
	if err != nil {
		return nil, err
	}
	open := &Open{Root: r}
	if open.Holder, err = o.Work.HoldFor(ctx, r.Base.Manifest.Arch, sandbox.HolderSpec{IDs: r.IDs,
		ScratchSize: machine.Limit / 2}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, open.Holder.Close())
		}
	}()
	root := sandbox.Root{Lowers: r.Lowers}
	switch {
	case write && r.Whole():
		root = sandbox.Root{Dir: r.Top()}
	case write:
		root = sandbox.Root{Lowers: r.Lowers[1:], Upper: r.Top()}
	}
	open.Jail, err = open.Holder.NewJail(ctx, sandbox.Spec{Root: root, Mounts: mounts,
		Hostname: buildroot.Host})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", r.ID, err)
	}
	return open, nil
}

// Close ends the jail, with all that runs in it.
func (o *Open) Close() error { return o.Holder.Close() }

// Command is a command of the user that builds, or of root, in the unpacked source, with the
// environment of the build; for a check that of its command, and its user.
func (o *Open) Command(asRoot bool, argv ...string) sandbox.Command {
	w := buildroot.Worker{Jail: o.Jail,
		Env: buildroot.Environment(o.Root.Environment)}
	c := w.Command(o.Root.Where(), argv...)
	if check := o.Root.Check; check != nil {
		c.Env = slices.Clone(check.Env)
		asRoot = asRoot || check.Root
	}
	if asRoot {
		c.UID, c.GID = 0, 0
	}
	return c
}

// Where is the directory of the jail in which the build, or the check, ran.
func (r *Root) Where() string {
	switch {
	case r.Check != nil && r.Check.Dir != "":
		return r.Check.Dir
	case r.Dir != "":
		return r.Dir
	}
	return "/"
}

// Measure notes what the build takes, after it was written to.
func (o *Open) Measure(ctx context.Context) error {
	size, err := o.Holder.TreeSize(ctx, o.Root.Top())
	if err != nil {
		return err
	}
	m := o.Root.Manifest
	m.Size = size
	return o.Root.Note(m)
}
