package deps

import (
	"context"
	"io"
	"slices"

	"nsbuild/internal/apt"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
)

// installResolver installs the packages of a resolver in the open jail, as sbuild does. The last
// one has its name.
func (in *installation) installResolver(ctx context.Context, packages ...string) ([]apt.Wanted,
	error) {
	command := append([]string{"install"}, packages...)
	wanted, err := in.apt.Wanted(ctx, io.Discard, command...)
	if err != nil {
		return nil, fault.New(fault.GivenBack, "use --build-dep-resolver=apt",
			"the resolver %s cannot be installed in %s: %w", packages[len(packages)-1], in.Suite,
			err)
	}
	if _, err := install.Wanted(ctx, in.Client, in.apt, in.out, in.sources, in.form, wanted,
		command...); err != nil {
		return nil, in.failed(err)
	}
	return wanted, nil
}

// installByAspcud installs aspcud, and has apt ask it what to install. As with sbuild it may choose
// among all versions of a package, whatever their suites' priorities.
func (in *installation) installByAspcud(ctx context.Context, criteria string) (done bool,
	err error) {
	first, err := in.installResolver(ctx, "apt-cudf", "aspcud")
	if err != nil {
		return false, err
	}
	args, err := in.aptCommand()
	if err != nil {
		return false, err
	}
	args = append([]string{"-o", "APT::Solver=aspcud",
		"-o", "APT::Solver::Strict-Pinning=false",
		"-o", "APT::Solver::aspcud::Preferences=" + criteria}, args...)
	wanted, err := in.ask(ctx, args)
	if err != nil {
		return false, err
	}
	if done, err = in.findLayer(ctx, slices.Concat(first, wanted)); err != nil || done {
		return done, err
	}
	if _, err := install.Wanted(ctx, in.Client, in.apt, in.out, in.sources, in.form, wanted,
		args...); err != nil {
		in.out.Flush()
		return false, in.failed(err)
	}
	return false, install.DropDummy(ctx, in.jail)
}
