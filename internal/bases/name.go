package bases

import "nsbuild/internal/machine"

// Name is what the base of a suite for an architecture is called unless the user says otherwise:
// bookworm, or bookworm-i386 where that is not the machine's own.
func Name(suite, arch string) string {
	if arch == "" || arch == machine.Native() {
		return suite
	}
	return suite + "-" + arch
}
