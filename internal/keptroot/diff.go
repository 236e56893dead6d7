package keptroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/output"
	"nsbuild/internal/plan"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/treediff"
)

// Where a jail that compares has what is compared, besides its root.
const (
	aside    = "/.nsbuild"
	before   = aside + "/before"  // the root that the build began with
	wrote    = aside + "/wrote"   // the upper directory
	unpacked = aside + "/source/" // a directory of the user that builds
	source   = unpacked + "tree"
)

// Change is a change that a build has made: in the unpacked source, or elsewhere in its root.
type Change struct {
	treediff.Change
	Inside bool `json:"inside"` // of the unpacked source: then the path is from there on
}

// Name is a change's path as people are told it: on one line.
func (c *Change) Name() string {
	if c.Inside {
		return label(c.Path)
	}
	return label("/" + c.Path)
}

// Differ is a jail in which a kept build is compared with what it began with.
type Differ struct {
	*Open
}

// Differ opens one.
func (o *Opener) Differ(ctx context.Context, r *Root) (*Differ, error) {
	open, err := o.Open(ctx, r, false, r.beforeMounts()...)
	if err != nil {
		return nil, err
	}
	d := &Differ{open}
	if r.Dir == "" {
		return d, nil
	}
	if err := d.unpack(ctx); err != nil {
		return nil, errors.Join(err, open.Close())
	}
	return d, nil
}

// beforeMounts are those of the root that the build began with, and of what it wrote.
func (r *Root) beforeMounts() []sandbox.Mount {
	return []sandbox.Mount{merged(r.Under), {Type: "bind", Source: r.Top(), Target: wrote,
		ReadOnly: true, Mkdir: true}}
}

// merged shows layers as one tree.
func merged(layers []sandbox.Lower) sandbox.Mount {
	if len(layers) == 1 { // of which the kernel makes no overlay
		return sandbox.Mount{Type: "bind", Source: layers[0].Path, Target: before, ReadOnly: true,
			Mkdir: true}
	}
	paths := make([]string, len(layers))
	for i, l := range layers {
		paths[i] = l.Path
	}
	return sandbox.Mount{Type: "overlay", Target: before, Mkdir: true, ReadOnly: true,
		Overlay: &sandbox.Overlay{Lowers: paths}}
}

// place is where the source package lies, beside what was unpacked of it.
func (d *Differ) place() string {
	if d.Root.Dir == "" || d.Root.Check != nil {
		return buildroot.Dir
	}
	return path.Dir(d.Root.Dir)
}

// unpack unpacks the source anew.
func (d *Differ) unpack(ctx context.Context) error {
	if err := d.Jail.Mkdir(strings.TrimSuffix(unpacked, "/"), 0o755, bootstrap.BuilderUID,
		bootstrap.BuilderGID); err != nil {
		return err
	}
	var said output.Tail
	c := d.Command(false, "dpkg-source", "-x", d.Root.DSC, source)
	c.Dir = d.place()
	status, err := d.Jail.RunTo(ctx, c, &said, &said)
	if err == nil && !status.Success() {
		err = said.Explain(fmt.Errorf("unpacking the source again: dpkg-source: %s", status))
	}
	return err
}

// Changes calls tell for each change.
func (d *Differ) Changes(ctx context.Context, tell func(Change) error) error {
	p, err := plan.Read(d.Root.Plan())
	if err != nil {
		return err
	}
	// What a jail itself makes, and what nsbuild has brought there, the build has not written.
	skip := []string{strings.Trim(aside, "/"), "dev", "proc", "sys", "etc/hosts", "etc/hostname"}
	var made []string
	for dir := d.place(); dir != "/"; dir = path.Dir(dir) {
		made = append(made, strings.Trim(dir, "/"))
	}
	for _, f := range p.Source.Files {
		skip = append(skip, strings.Trim(path.Join(d.place(), f.Name), "/"))
	}
	skip = append(skip, strings.Trim(path.Join(d.place(), d.Root.DSC), "/"))
	if d.Root.Check != nil {
		for _, brought := range d.Root.Check.Brought {
			skip = append(skip, strings.Trim(brought, "/"))
		}
	}
	if d.Root.Dir != "" {
		if err := treediff.InJail(ctx, d.Jail, treediff.Trees{Before: source, After: d.Root.Dir},
			func(c treediff.Change) error { return tell(Change{c, true}) }); err != nil {
			return err
		}
		skip = append(skip, strings.Trim(d.Root.Dir, "/"))
	}
	t := treediff.Trees{Before: before, After: "/", Written: wrote, Skip: skip}
	return treediff.InJail(ctx, d.Jail, t, func(c treediff.Change) error {
		if c.Change == treediff.Created && slices.Contains(made, c.Path) {
			return nil
		}
		return tell(Change{c, false})
	})
}

// Patch writes what became of the content of a file, as a unified diff.
func (d *Differ) Patch(ctx context.Context, c Change, to io.Writer) error {
	was, is := path.Join(before, c.Path), path.Join("/", c.Path)
	if c.Inside {
		was, is = path.Join(source, c.Path), path.Join(d.Root.Dir, c.Path)
	}
	a, b := label("a/"+c.Path), label("b/"+c.Path)
	if c.Before == nil || c.Before.Type != "f" {
		was, a = os.DevNull, os.DevNull
	}
	if c.After == nil || c.After.Type != "f" {
		is, b = os.DevNull, os.DevNull
	}
	if was == is {
		return nil // no file, then and now
	}
	return d.diff(ctx, to, "-u", "--label", a, "--label", b, "--", was, is)
}

// label is a name as a patch has it: one with control characters would be more than a name.
func label(name string) string {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return strconv.Quote(name)
	}
	return name
}

// diff runs diff(1): a status of 1 says that there is a difference.
func (o *Open) diff(ctx context.Context, to io.Writer, args ...string) error {
	var said output.Tail
	status, err := o.Jail.RunTo(ctx, sandbox.Command{Argv: append([]string{"diff"}, args...),
		Env: buildroot.Env()}, to, &said)
	if err == nil && status.ExitCode() > 1 {
		err = said.Explain(fmt.Errorf("diff: %s", status))
	}
	return err
}
