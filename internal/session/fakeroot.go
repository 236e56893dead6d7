package session

import "nsbuild/internal/sandbox"

// hasFakeroot tells whether a root has fakeroot. That tries chown before it fakes it, and for an id
// that the jail does not map the kernel's answer is EINVAL, which fakeroot does not expect and
// hands on.
func hasFakeroot(jail *sandbox.Jail) bool {
	f, err := jail.Open("/var/lib/dpkg/info/fakeroot.list")
	if err != nil {
		return false // dpkg has no list of its files
	}
	_ = f.Close() // nothing was written
	return true
}
