package deps

import (
	"context"
	"errors"
	"slices"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
)

// ErrNoPlan means that what a resolver would install cannot be known before it has installed
// something.
var ErrNoPlan = errors.New("only the resolver apt says what it wants and installs nothing")

// Wanted asks apt what a request would install, and has that in the cache. Nothing is installed.
func (m *Maker) Wanted(ctx context.Context, r Request, on On) (packages []*index.Package,
	err error) {
	if r.Resolver != ResolverApt {
		return nil, ErrNoPlan
	}
	in := &installation{Maker: m, Request: &r, on: on,
		done: &Installed{Lowers: on.Lowers, log: m.Log}, out: on.Log.Stream()}
	defer in.out.Flush()
	if in.releases, err = on.Confirm(); err != nil {
		return nil, err
	}
	err = in.openInstallation(ctx)
	if in.done.Open != nil {
		defer func() { err = errors.Join(err, in.dropJail()) }()
	}
	if err != nil {
		return nil, err
	}
	command := in.aptCommand
	if in.cross() {
		command = in.crossCommand
	}
	args, err := command()
	if err != nil {
		return nil, err
	}
	wanted, err := in.ask(ctx, args)
	if err != nil {
		return nil, err
	}
	files, err := install.Fetch(ctx, in.Client, in.sources, wanted)
	if err != nil {
		return nil, in.failed(err)
	}
	for _, w := range wanted {
		packages = append(packages, files.Package(w.URL))
	}
	return packages, nil
}

// asPlanned refuses to install anything but what was planned.
func (in *installation) asPlanned(wanted []apt.Wanted) error {
	if in.Planned == nil {
		return nil
	}
	var names []string
	for _, w := range wanted {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	planned := slices.Sorted(slices.Values(in.Planned))
	if slices.Equal(names, planned) {
		return nil
	}
	for _, all := range [][2][]string{{names, planned}, {planned, names}} {
		if more := without(all[0], all[1]); len(more) > 0 {
			return fault.New(fault.GivenBack, "plan the build again",
				"apt does not want what was planned: %s differs", more[0])
		}
	}
	return nil
}
