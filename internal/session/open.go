package session

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/base"
	"nsbuild/internal/budget"
	"nsbuild/internal/fault"
	"nsbuild/internal/fstab"
	"nsbuild/internal/jails"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// room is an open jail, with what it needs.
type room struct {
	holder  *sandbox.Holder
	jail    *sandbox.Jail
	notes   []string // for the user
	release func() error

	base   *base.Generation // in use until release; nil for a Root
	lowers []sandbox.Lower  // that the root was made of
	caller *sandbox.Caller  // whose ids are in the jail, if they are
}

func (r *room) close() error { return errors.Join(r.holder.Close(), r.release()) }

// opening is a jail that is being opened.
type opening struct {
	Jail
	Host
	Around

	exposed exposures        // what others can reach of what the jail may change
	asked   []fstab.Mount    // of the fstab and the command line, once they are read
	arch    string           // of the base, once it is known
	base    *base.Generation // once it is in use
}

// open opens the jail.
func (o *opening) open(ctx context.Context) (_ *room, err error) {
	spec := sandbox.Spec{Hostname: o.Hostname, Network: o.Network,
		Root: sandbox.Root{ReadOnly: o.ReadOnly}}
	ids, release, err := o.chooseRoot(&spec)
	if err != nil {
		return nil, err
	}
	r := &room{release: release, base: o.base}
	defer func() {
		if err != nil {
			if r.holder != nil {
				err = errors.Join(err, r.holder.Close())
			}
			err = errors.Join(err, release())
		}
	}()
	if r.notes, err = o.show(&spec); err != nil {
		return nil, err
	}
	if r.holder, err = o.hold(ctx, ids); err != nil {
		return nil, err
	}
	if rootIsCaller(o.base, &spec) {
		copied, err := o.callersTree(ctx, r.holder)
		if err != nil {
			return nil, err
		}
		chosen := release
		release = func() error { return errors.Join(copied.Close(), chosen()) }
		r.release, spec.Root.Lowers = release, []sandbox.Lower{{Path: copied.Tree()}}
	}
	if err := o.complete(ctx, jails.HolderOf(r.holder), &spec); err != nil {
		return nil, err
	}
	spec.KeepNames, r.lowers, r.caller = o.Keep != nil, spec.Root.Lowers, spec.Caller
	if r.jail, err = r.holder.NewJail(ctx, spec); err != nil {
		return nil, o.explain(err)
	}
	if r.holder.Level() != sandbox.LevelFull {
		r.notes = append(r.notes, "the sandbox is "+sandbox.Weaker)
	}
	r.notes = append(r.notes, r.jail.Notes()...)
	if o.HostUsers {
		if err := addHostUsers(ctx, r.jail); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// show says what the jail is shown of the host and of this program. The notes are for the user.
func (o *opening) show(spec *sandbox.Spec) (notes []string, err error) {
	if o.HostUsers {
		o.placeCaller(spec)
	}
	mounts, err := o.mounts(spec)
	if err != nil {
		return nil, err
	}
	exposed, err := o.exposed.note()
	if err != nil {
		return nil, err
	}
	resolver, err := o.showResolver(spec)
	if err != nil {
		return nil, err
	}
	for _, note := range slices.Concat([]string{exposed}, mounts, []string{resolver}) {
		if note != "" {
			notes = append(notes, note)
		}
	}
	return notes, o.showFiles(spec)
}

// hold starts the holder.
func (o *opening) hold(ctx context.Context, ids sandbox.IDMap) (*sandbox.Holder, error) {
	machineHas, err := budget.Read()
	if err != nil {
		return nil, err
	}
	spec := sandbox.HolderSpec{
		IDs: ids, Limits: o.Limits, Require: o.Require, FallbackDir: o.Fallback,
		Memory:      filepath.Join(o.StateDir, "kernel.json"),
		ScratchSize: machineHas.Limit / 2, // as of a machine without a limit the kernel gives half
		Inodes32:    o.Root != "" && narrow(o.Root),
	}
	if o.arch != "" {
		if err := machine.Prepare(&spec, o.arch); err != nil {
			return nil, err
		}
	}
	if o.Begun == nil {
		if o.Begun, err = sandbox.Begin(); err != nil {
			return nil, err
		}
	}
	return o.Begun.Start(ctx, spec)
}

// complete adds what needs the holder: further layers, and what hooks keep.
func (o *opening) complete(ctx context.Context, h jails.Holder, spec *sandbox.Spec) error {
	if o.Under != nil && o.base != nil {
		layers, err := o.Under(ctx, h, Ground{Base: o.base, Lowers: spec.Root.Lowers,
			Caller: spec.Caller})
		if err != nil {
			return err
		}
		spec.Root.Lowers = append(layers, spec.Root.Lowers...)
	}
	if o.Hooks.any() {
		caches, err := o.Hooks.Mounts(ctx, h)
		if err != nil {
			return err
		}
		spec.Mounts = append(spec.Mounts, caches...)
	}
	return nil
}

// explain adds what to do to an error of the kernel's.
func (o *opening) explain(err error) error {
	var failed *sandbox.Error
	if errors.As(err, &failed) {
		for _, m := range o.asked {
			if path.Clean(m.Target) == failed.Path {
				err = place(o.Fstab, m, err)
				break
			}
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.Internal,
			"make the directory, or mount with x-mount.mkdir, or use --overlay", err)
	}
	return err
}

// chooseRoot fills in the root, and returns the ids of its files and what ends its use.
func (o *opening) chooseRoot(spec *sandbox.Spec) (sandbox.IDMap, func() error, error) {
	if o.Root != "" {
		ids, err := o.IDs()
		if err != nil {
			return ids, nil, err
		}
		note, err := o.hostTree(spec, ids)
		if err != nil {
			return ids, nil, err
		}
		o.Log.Debug(note)
		if spec.Hostname == "" {
			spec.Hostname = hostnameOf(filepath.Base(spec.Root.Dir))
		}
		return ids, func() error { return nil }, nil
	}
	g, err := o.Store.Use(o.Base)
	if err != nil {
		return sandbox.IDMap{}, nil, err
	}
	o.arch, o.base = g.Manifest.Arch, g
	spec.Root.Lowers = []sandbox.Lower{{Path: g.Tree()}}
	if spec.Hostname == "" {
		spec.Hostname = hostnameOf(g.Name)
	}
	return g.Manifest.IDs, g.Close, nil
}

// hostnameOf makes a host name of another name: the kernel takes 64 bytes, programs want letters,
// digits and '-' (hostname(7)).
func hostnameOf(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	clean = strings.Trim(clean[:min(len(clean), 63)], "-")
	if clean == "" {
		return "nsbuild"
	}
	return clean
}
