package checks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestShippedChecks runs those of the hooks that come with nsbuild that look at what was built:
// lintian, whose errors fail the build, and those that need the network.
func TestShippedChecks(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w, excerpt := e2e.RealWorld(t), e2e.ExcerptWorld(t)
	testenv.HostState(t)
	// Besides a package of its own, the source makes one that the base has itself, in a later
	// version at that, with debugging symbols, which nobody asks apt for.
	dsc := w.WriteSource(t, fakedebian.Source{
		Name: "examined", Version: "99", Packages: []fakedebian.Package{
			{Name: "examined", Architecture: "all"}, {Name: "hostname", Architecture: "any"}},
		Rules: checkRules + "\tmkdir -p debian/base/DEBIAN debian/symbols/DEBIAN\n" +
			"\tdpkg-gencontrol -phostname -Pdebian/base\n" +
			"\tdpkg-gencontrol -phostname -Pdebian/symbols -DPackage=hostname-dbgsym " +
			"-DDepends=no-such-package -DAuto-Built-Package=debug-symbols\n" +
			"\tfor tree in base symbols; do " +
			"dpkg-deb --root-owner-group --build debian/$$tree ..; done\n",
		Debian: []fakedebian.File{{Path: "tests/control", Body: "Tests: good\nDepends: examined\n"},
			{Path: "tests/good",
				Body: "#!/bin/sh\ntest \"$(examined)\" = works && echo it works\n"}},
	})
	o := w.Run(t, "build", "-q", "-d", "bookworm", "--hook=install-test", "--hook=autopkgtest", dsc)
	e2e.Refusal{Status: 64, Says: []string{"hook install-test: it needs the network"},
		Hint: "--hook-network"}.Check(t, o)
	w.Must(t, "build", "-q", "-d", "bookworm", "--hook=install-test", "--hook=autopkgtest",
		"--hook-network", dsc)
	name := filepath.Join(w.Dir, "examined_99_amd64.build")
	e2e.WantIn(t, "log", e2e.Read(t, name), "^left after purging: /srv/left/behind$",
		"^not purged, since the base has it: hostname$", "^it works$", `^good +PASS$`,
		"^I: Finished running 'autopkgtest/after-build.d/95-autopkgtest'", "^Status: successful$")
	if _, err := os.Stat(filepath.Join(w.Dir, "hostname-dbgsym_99_amd64.deb")); err != nil {
		t.Error(err)
	}
	// What the hook wants is installed as build dependencies are, as for --run-lintian.
	excerpt.Dir = w.Dir
	o = excerpt.Run(t, "build", "-q", "-d", "bookworm", "--hook=lintian", dsc)
	if o.Status != 1 ||
		!strings.Contains(o.Stderr, "hook lintian/after-build.d/90-lintian failed: exit status 2") {
		t.Error(o)
	}
	e2e.WantIn(t, "log", e2e.Read(t, name), "^E: examined: no-copyright-file$")
}
