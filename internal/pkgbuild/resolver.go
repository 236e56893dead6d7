package pkgbuild

import (
	"fmt"

	"nsbuild/internal/base"
	"nsbuild/internal/deps"
	"nsbuild/internal/result"
)

// resolver is the one that was asked for, else what the build daemons use: aptitude for suites that
// add to others, whose packages apt does not take by itself.
func (b *builder) resolver() string {
	switch {
	case b.o.Resolver != "":
		return b.o.Resolver
	case b.suite.Base != "":
		return deps.ResolverAptitude
	}
	return deps.ResolverApt
}

// checkResolver is that of the checks, whose packages are installed in any case.
func (b *builder) checkResolver() string {
	if r := b.resolver(); r != deps.ResolverNull {
		return r
	}
	return deps.ResolverApt
}

// Which alternatives of a relation count.
const (
	AnyAlternative   = "yes"
	FirstAlternative = "no"
)

// firstOnly tells whether the first alternative of each relation is the only one.
func (b *builder) firstOnly() bool {
	if b.o.Alternatives != "" {
		return b.o.Alternatives == FirstAlternative
	}
	return b.resolver() == deps.ResolverApt
}

// coreDepends is what every build needs, and fakeroot where this one does.
func (b *builder) coreDepends() string {
	core := "build-essential"
	if b.cross() {
		// The last two are not what crossbuild-essential depends on in every suite (Debian bug
		// 815172).
		core = fmt.Sprintf("build-essential:native, crossbuild-essential-%s:native, libc-dev:%s, "+
			"libstdc++-dev:%s", b.host, b.host, b.host)
	}
	if needed, why := b.needsFakeroot(); !needed {
		b.log.Printf("fakeroot is not installed: %s.", why)
		return core
	}
	// Without :native, as it is Multi-Arch: foreign: with an architecture named, apt takes pseudo,
	// which provides fakeroot and does less (bookworm).
	return core + ", fakeroot"
}

// listed are packages as the result lists them.
func listed(packages []base.Package) (out []result.Package) {
	for _, p := range packages {
		out = append(out, result.Package{Name: p.Name, Version: p.Version, Arch: p.Arch})
	}
	return out
}
