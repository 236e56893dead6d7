package pkgbuild

import "nsbuild/internal/machine"

// Arch is the machine's own architecture, by Debian's name.
func Arch() string { return machine.Native() }

// BaseName is what the base of a suite for an architecture is called unless the user says
// otherwise: bookworm, or bookworm-i386 where that is not the machine's own.
func BaseName(suite, arch string) string {
	if arch == "" || arch == Arch() {
		return suite
	}
	return suite + "-" + arch
}
