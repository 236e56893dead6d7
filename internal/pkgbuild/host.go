package pkgbuild

import (
	"cmp"
	"slices"

	"nsbuild/internal/deps"
	"nsbuild/internal/machine"
)

// cross tells whether the packages are for another architecture than that of the jail.
func (b *builder) cross() bool { return b.host != b.arch }

// archs are the architectures to build on, and for.
func (t *Target) archs() (build, host string) {
	build = cmp.Or(t.Arch, machine.Native())
	return build, cmp.Or(t.Host, build)
}

// chooseArch takes the architectures that were asked for, and what a cross build needs besides.
func (b *builder) chooseArch() {
	b.arch, b.host = b.o.archs()
	if !b.cross() {
		return
	}
	b.o.Resolver = deps.ResolverApt
	for _, p := range []string{"cross", "nocheck"} {
		if !slices.Contains(b.o.Profiles, p) {
			b.o.Profiles = append(b.o.Profiles, p)
		}
	}
	if !slices.ContainsFunc(b.o.Options, func(w string) bool { return !saysJobs(w) }) {
		b.o.Options = append(b.o.Options, "nocheck")
	}
}
