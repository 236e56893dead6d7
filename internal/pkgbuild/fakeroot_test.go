package pkgbuild

import (
	"testing"

	"nsbuild/internal/base"
)

// TestSanitizeEnv leaves the option out where dpkg-buildpackage would refuse it: focal's and older
// ones.
func TestSanitizeEnv(t *testing.T) {
	for version, want := range map[string]bool{"1.18.4ubuntu1.7": false, "1.19.7ubuntu3.2": false,
		"1.20.0": true, "1.20.13": true, "1.22.21": true, "": true} {
		var packages []base.Package
		if version != "" {
			packages = []base.Package{{Name: "dpkg", Version: version},
				{Name: "dpkg-dev", Version: version}}
		}
		if got := knowsSanitizeEnv(packages); got != want {
			t.Errorf("dpkg %q: %t", version, got)
		}
	}
}
