package pkgbuild

import (
	"slices"
	"strings"

	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
)

// cross tells whether the packages are for another architecture than that of the jail.
func (b *builder) cross() bool { return b.host != b.arch }

// chooseArch takes the architectures that were asked for, and what a cross build needs besides.
func (b *builder) chooseArch() error {
	for flag, arch := range map[string]string{"--arch": b.o.Arch, "--host": b.o.Host} {
		if arch != "" && !dsc.KnownArch(arch) {
			return fault.New(fault.Usage, "dpkg-architecture -L lists them",
				"%s %s: there is no such architecture", flag, arch)
		}
	}
	b.arch = machine.Native()
	if b.o.Arch != "" {
		b.arch = b.o.Arch
	}
	b.host = b.arch
	if b.o.Host != "" {
		b.host = b.o.Host
	}
	if !b.cross() {
		return nil
	}
	if b.o.Resolver == deps.ResolverAptitude {
		return fault.New(fault.Usage, "leave out --build-dep-resolver", "--host and "+
			"--build-dep-resolver=aptitude contradict each other: only apt knows which tools of "+
			"a cross build run here")
	}
	b.o.Resolver = deps.ResolverApt
	b.o.Profiles = slices.Clone(b.o.Profiles)
	for _, p := range []string{"cross", "nocheck"} {
		if !slices.Contains(b.o.Profiles, p) {
			b.o.Profiles = append(b.o.Profiles, p)
		}
	}
	if len(slices.DeleteFunc(slices.Clone(b.o.Options), func(w string) bool {
		return strings.HasPrefix(w, "parallel=")
	})) == 0 {
		b.o.Options = append(slices.Clone(b.o.Options), "nocheck")
	}
	return nil
}
