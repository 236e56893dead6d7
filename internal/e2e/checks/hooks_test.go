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
	dsc := w.WriteSource(t, fakedebian.Source{
		Name: "examined", Version: "1.0", Rules: checkRules, Packages: []fakedebian.Package{
			{Name: "examined", Architecture: "all"}},
		Debian: []fakedebian.File{{Path: "tests/control", Body: "Tests: good\n"},
			{Path: "tests/good",
				Body: "#!/bin/sh\ntest \"$(examined)\" = works && echo it works\n"}},
	})
	o := w.Run(t, "build", "-q", "-d", "bookworm", "--hook=install-test", "--hook=autopkgtest", dsc)
	e2e.Refusal{Status: 64, Says: []string{"hook install-test: it needs the network"},
		Hint: "--hook-network"}.Check(t, o)
	w.Must(t, "build", "-q", "-d", "bookworm", "--hook=install-test", "--hook=autopkgtest",
		"--hook-network", dsc)
	log := e2e.Read(t, filepath.Join(w.Dir, "examined_1.0_amd64.build"))
	e2e.WantIn(t, "log", log, "^left after purging: /srv/left/behind$", "^it works$", `^good +PASS$`,
		"^I: Finished running 'autopkgtest/after-build.d/95-autopkgtest'")
	// A package that the base has itself, in a later version at that, with debugging symbols, which
	// nobody asks apt for.
	w.Must(t, "build", "-q", "-d", "bookworm", "--hook=install-test", "--hook-network",
		w.WriteSource(t, fakedebian.Source{
			Name: "hostname", Version: "99", Packages: []fakedebian.Package{
				{Name: "hostname", Architecture: "any"}},
			Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n" +
				"\tmkdir -p debian/made/DEBIAN debian/symbols/DEBIAN\n" +
				"\tdpkg-gencontrol -phostname -Pdebian/made\n" +
				"\tdpkg-gencontrol -phostname -Pdebian/symbols -DPackage=hostname-dbgsym " +
				"-DDepends=no-such-package -DAuto-Built-Package=debug-symbols\n" +
				"\tfor tree in made symbols; do " +
				"dpkg-deb --root-owner-group --build debian/$$tree ..; done\n"}))
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "hostname_99_amd64.build")),
		"^not purged, since the base has it: hostname$", "^Status: successful$")
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
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "examined_1.0_amd64.build")),
		"^E: examined: no-copyright-file$")
}
