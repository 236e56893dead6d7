package checks

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/result"
	"nsbuild/internal/testenv"
)

// checkRules builds one package whose removal leaves a file behind, and files of the base changed
// and deleted.
const checkRules = "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN " +
	"debian/made/usr/bin\n" +
	"\tprintf '#!/bin/sh\\necho works\\n' >debian/made/usr/bin/examined\n\tchmod 755 " +
	"debian/made/usr/bin/examined\n" +
	"\tprintf '#!/bin/sh\\nmkdir -p /srv/left && touch /srv/left/behind && echo more " +
	">>/etc/issue && rm -f /etc/issue.net\\n' >debian/made/DEBIAN/postinst\n\tchmod 755 " +
	"debian/made/DEBIAN/postinst\n" +
	"\tdpkg-gencontrol -pexamined -Pdebian/made\n\tdpkg-deb --root-owner-group --build " +
	"debian/made ..\n"

// writeExamined writes a source whose package has a program to be tested, with more in debian/.
func writeExamined(t *testing.T, w *e2e.World, more []fakedebian.File) (dsc string) {
	t.Helper()
	return w.WriteSource(t, fakedebian.Source{
		Name: "examined", Version: "1.0", Rules: checkRules, Debian: more,
		Packages: []fakedebian.Package{{Name: "examined", Architecture: "all"}},
	})
}

// TestChecks installs, tests and examines what was built, each in a jail of its own.
func TestChecks(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := writeExamined(t, w, []fakedebian.File{
		{Path: "tests/control", Body: "Tests: good\n\nTests: loud\n\nTests: " +
			"quiet-enough\nRestrictions: allow-stderr\n\nTests: elsewhere\nRestrictions: " +
			"isolation-machine\n\nTests: maybe\nRestrictions: skippable\n\n" +
			"Test-Command: test $(id -u) = 0 && test -d \"$AUTOPKGTEST_TMP\" && touch " +
			"/srv/by-root\nRestrictions: needs-root breaks-testbed\nFeatures: " +
			"test-name=as-root\n\nTest-Command: test ! -e /srv/by-root\nFeatures: " +
			"test-name=fresh\n\nTests: shaky\nRestrictions: " +
			"flaky\n\nTests: foreign\nArchitecture: s390x\n"},
		{Path: "tests/good", Body: "#!/bin/sh\nset -e\ntest \"$(examined)\" = works\ntest -e " +
			"debian/rules\ntest $(id -u) != 0\ntest -e /var/log/apt/history.log\n" +
			"test ! -e /var/log/apt/eipp.log.xz\necho mark >$AUTOPKGTEST_TMP/mark\n"},
		{Path: "tests/loud", Body: "#!/bin/sh\necho complaint >&2\n" +
			"echo shown >$AUTOPKGTEST_ARTIFACTS/seen\n"},
		{Path: "tests/quiet-enough", Body: "#!/bin/sh\necho complaint >&2\n"},
		{Path: "tests/maybe", Body: "#!/bin/sh\nexit 77\n"},
		{Path: "tests/shaky", Body: "#!/bin/sh\nexit 1\n"},
	})
	args := []string{"build", "-d", "bookworm", "--result=r.json", "--junit=j.xml",
		"--report=r.html", "--annotations=github",
		"--check-install", "--run-autopkgtest", dsc}
	o := w.Must(t, args...)
	// What is bad is shown, not only counted.
	e2e.WantIn(t, "standard error", o.Stderr,
		`^nsbuild: warning: install check: warn: 2 files are left after purging, .*$`,
		`^  left after purging: /srv/left/behind$`,
		`^nsbuild: warning: autopkgtest: fail: failed: loud$`,
		`^  test loud: FAIL it wrote to standard error \(.*$`, `^    complaint$`,
		`^::error title=examined 1\.0%3A autopkgtest::failed: loud$`,
		`^::warning title=examined 1\.0%3A install check::2 files are left after purging`)
	e2e.WantIn(t, "the JUnit XML", e2e.Read(t, filepath.Join(w.Dir, "j.xml")),
		`^  <testsuite name="examined 1.0 bookworm amd64" .* tests="11" failures="1" errors="0" `+
			`skipped="4" `, `<testcase classname="examined" name="build" `,
		`<testcase classname="examined.autopkgtest" name="loud" `,
		`^ +<failure message="it wrote to standard error .*" type="fail">complaint</failure>$`)
	e2e.WantIn(t, "the page", e2e.Read(t, filepath.Join(w.Dir, "r.html")),
		`<title>examined 1\.0: successful</title>`, `failed: loud`,
		`<path class="area memory" d="M`) // there is one where a real jail was looked at
	log := e2e.Read(t, filepath.Join(w.Dir, "examined_1.0_amd64.build"))
	for _, want := range []string{
		"\nI: test good: PASS\n", "\nI: test loud: FAIL it wrote to standard error",
		"\nI: test quiet-enough: PASS\n", "\nI: test elsewhere: SKIP isolation-machine: ",
		"\nI: test maybe: SKIP exit status 77",
		"\nI: test as-root: PASS\n", "\nI: test fresh: PASS\n",
		"\nI: test foreign: SKIP it is not for amd64\n", "\nI: test shaky: FLAKY exit status 1\n",
		"\nW: left after purging: /srv/left/behind\n",
		"\nW: not as before after purging: /etc/issue (file 644 0:0 ",
		"\nW: not as before after purging: /etc/issue.net (gone)\n",
		"\nCommand: dpkg --remove examined\n",
		"\nCommand: dpkg --force-confold --install /build/check/examined_1.0_all.deb\n",
		"\nNo upgrade is tried: ",
		"\nAutopkgtest: fail\n", "\nInstall-Check: warn\n", "\nStatus: successful\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	// Once for the install check, and for none of the tests.
	if n := strings.Count(log, "\nSetting up examined (1.0) ..."); n != 2 {
		t.Errorf("examined was set up %d times, want 2: by apt, and by dpkg again", n)
	}
	r, err := result.Read(filepath.Join(w.Dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Checks) != 2 || r.Checks[0].Outcome != "warn" || r.Checks[1].Outcome != "fail" ||
		r.Checks[1].Detail != "failed: loud" {
		t.Errorf("checks: %+v", r.Checks)
	}
	testKeptCheck(t, w, o)
	faulty := w.WriteSource(t, fakedebian.Source{
		Name: "faulty", Version: "1.0", Rules: strings.ReplaceAll(checkRules, "examined", "faulty"),
		Packages: []fakedebian.Package{{Name: "faulty", Architecture: "all"}},
		Debian: []fakedebian.File{{Path: "tests/control", Body: "Tests: loud\n"},
			{Path: "tests/loud", Body: "#!/bin/sh\necho complaint >&2\n"}},
	})
	clean := w.WriteSource(t, e2e.Small("clean"))
	e2e.WantIn(t, "standard error", w.Must(t, "build", "-d", "bookworm", "--check-install",
		clean).Stderr, `^nsbuild: install check: pass$`)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--check-install", "--fail-on=warning"},
			"install check: warn: 2 files are left after purging"},
		{[]string{"--run-autopkgtest", "--fail-on=error"}, "autopkgtest: fail: failed: loud"},
	} {
		o := w.Run(t, append([]string{"build", "-q", "-d", "bookworm", faulty}, c.args...)...)
		if o.Status != 1 || !strings.Contains(o.Stderr, c.says) ||
			!strings.Contains(o.Stderr, "stage: post-build") {
			t.Errorf("%v: %s", c.args, o)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

// testKeptCheck works in the jail of the test that has failed.
func testKeptCheck(t *testing.T, w *e2e.World, o e2e.Outcome) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^autopkgtest: loud is kept as (\S+): .* nsbuild copy \S+ (\S+) DIR$`).
		FindStringSubmatch(o.Stderr)
	if m == nil || strings.Count(o.Stderr, " kept as ") != 1 {
		t.Fatalf("kept is not just the test that failed: %s", o)
	}
	one, artifacts := m[1], m[2]
	again := w.Must(t, "enter", one, "--", "sh", "-c",
		"./debian/tests/loud && examined && id -un && cat $AUTOPKGTEST_ARTIFACTS/seen")
	if again.Stdout != "works\nbuilder\nshown\n" || !strings.Contains(again.Stderr, "complaint") {
		t.Error(again)
	}
	w.Must(t, "copy", one, artifacts, "out")
	if got := e2e.Read(t, filepath.Join(w.Dir, "out", "seen")); got != "shown\n" {
		t.Errorf("the artifact has %q", got)
	}
	changes := w.Must(t, "diff", one).Stdout
	e2e.WantIn(t, "diff", changes, `^  A /tmp/autopkgtest/artifacts/seen$`)
	if strings.Contains(changes, " A /build/") {
		t.Errorf("diff has what was brought: %s", changes)
	}
	if o := w.Run(t, "retry", one); o.Status != 64 ||
		!strings.Contains(o.Stderr, "nsbuild enter "+one+" -- ./debian/tests/loud") {
		t.Error(o)
	}
	w.Must(t, "forget", one)
}

// TestCheckRestrictions has tests that are not for every architecture, or want what there is not.
func TestCheckRestrictions(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := writeExamined(t, w, []fakedebian.File{
		{Path: "tests/control", Body: "Tests: here\nArchitecture: !s390x " +
			"!mips64el\nRestrictions: skip-foreign-architecture\n\n" +
			"Tests: not-here\nArchitecture: !linux-any\n\n" +
			"Tests: wishing\nDepends: @, no-such-package\nRestrictions: " +
			"skip-not-installable\n\n" +
			"Tests: wanting\nDepends: @, no-such-package\n\n" +
			"Test-Command: test $(grep -c : /proc/net/dev) -gt 1\nRestrictions: " +
			"needs-internet\nFeatures: test-name=online\n"},
		{Path: "tests/here", Body: "#!/bin/sh\nexamined >$AUTOPKGTEST_ARTIFACTS/said\n"},
	})
	w.Must(t, "build", "-q", "-d", "bookworm", "--run-autopkgtest", "--check-network",
		"--artifacts=left", dsc)
	left, err := filepath.Glob(filepath.Join(w.Dir, "left", "examined_1.0_amd64-20*Z", "*", "*"))
	if err != nil || len(left) != 1 || filepath.Base(filepath.Dir(left[0])) != "here" ||
		e2e.Read(t, left[0]) != "works\n" {
		t.Errorf("artifacts: %q, %v", left, err)
	}
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "examined_1.0_amd64.build")),
		"^I: test here: PASS$", "^I: test not-here: SKIP it is not for amd64$",
		"^I: test wishing: SKIP skip-not-installable, and what it wants cannot be installed$",
		"^I: test wanting: FAIL ", "^I: test online: PASS$", "^Autopkgtest: fail$")
}

// TestCheckUpgrade installs the suite's own version first, and upgrades it.
func TestCheckUpgrade(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	rules := func(script string) string {
		return "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN\n" +
			"\tprintf '#!/bin/sh\\necho called with $$1 $$2\\n" + script +
			"\\n' >debian/made/DEBIAN/preinst\n\tchmod 755 debian/made/DEBIAN/preinst\n" +
			"\tdpkg-gencontrol -phello -Pdebian/made\n\tdpkg-deb --root-owner-group --build " +
			"debian/made ..\n"
	}
	for _, c := range []struct {
		script, outcome string
	}{{"", "pass"}, {"test $$1 = install", "fail"}} {
		dsc := w.WriteSource(t,
			fakedebian.Source{Name: "hello", Version: "99", Rules: rules(c.script),
				Packages: []fakedebian.Package{{Name: "hello", Architecture: "any"}}})
		w.Must(t, "build", "-q", "-d", "bookworm", "--check-install", dsc)
		e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "hello_99_amd64.build")),
			"^called with install$", `^called with upgrade 2\.10-`,
			"^Upgrade from the suite's own version: hello$", "^Install-Check: "+c.outcome+"$")
	}
}

// TestCheckVersions checks what was built although the suite, or the base, has it in the same or in
// a later version, or in one that is not the source's.
func TestCheckVersions(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	here := strings.TrimSpace(w.Must(t, "run", "bookworm", "--", "dpkg-query", "-W", "-f",
		"${Version}", "patch").Stdout)
	for _, c := range []struct{ about, name, version, option, want string }{
		{"earlier than the suite's", "hello", "1", "", "1"},
		{"not the source's version", "hello", "99", "-v1:3 -DDepends=libtext-charwidth-perl",
			"1:3"},
		{"the base's version", "patch", here, "", here},
		{"earlier than the base's", "patch", "2.7-1", "", "2.7-1"},
		{"later than the base's", "patch", "99-1", "", "99-1"},
	} {
		t.Run(c.about, func(t *testing.T) {
			dsc := w.WriteSource(t, fakedebian.Source{
				Name: c.name, Version: c.version, Packages: []fakedebian.Package{
					{Name: c.name, Architecture: "any"}},
				Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN " +
					"debian/made/usr/share/ours\n" +
					"\tdpkg-gencontrol -p" + c.name + " " + c.option +
					" -Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n",
				Debian: []fakedebian.File{
					{Path: "tests/control", Body: "Tests: all\n\nTests: named\nDepends: " + c.name +
						"\n"},
					{Path: "tests/all", Body: "#!/bin/sh\nset -e\ntest -d /usr/share/ours\n"},
					{Path: "tests/named", Body: "#!/bin/sh\nset -e\ntest -d " +
						"/usr/share/ours\ntest $(dpkg-query -W -f '${Version}' " + c.name + ") = " +
						c.want + "\n"},
				},
			})
			w.Must(t, "build", "-q", "-d", "bookworm", "--check-install", "--run-autopkgtest", dsc)
			_, file, _ := strings.Cut(":"+c.version, ":")
			e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, c.name+"_"+file+"_amd64.build")),
				"^Install-Check: pass$", "^I: test all: PASS$", "^I: test named: PASS$")
		})
	}
}

// TestCheckUninstallable builds what cannot be installed: that is for the checks to say.
func TestCheckUninstallable(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, fakedebian.Source{
		Name: "examined", Version: "1.0", Rules: strings.Replace(checkRules, "-pexamined",
			"-pexamined -DDepends=nosuchpackage", 1), Packages: []fakedebian.Package{
			{Name: "examined", Architecture: "all"}},
		Debian: []fakedebian.File{
			{Path: "tests/control", Body: "Tests: one\nDepends: nosuchother\n"},
			{Path: "tests/one", Body: "#!/bin/sh\n"}},
	})
	w.Must(t, "build", "-d", "bookworm", "--check-install", "--run-autopkgtest", dsc)
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "examined_1.0_amd64.build")),
		"Depends: nosuchpackage but it is not installable", "^I: test one: FAIL ",
		"^Install-Check: fail$", "^Autopkgtest: fail$", "^Status: successful$")
}

// TestPiuparts runs piuparts over packages that depend on one of the suite, of which one leaves a
// broken link to be warned of and the other a file and a daemon.
func TestPiuparts(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	source := func(name, postinst string) string {
		return w.WriteSource(t, fakedebian.Source{
			Name: name, Version: "1.0", Packages: []fakedebian.Package{
				{Name: name, Architecture: "all"}},
			Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN " +
				"debian/made/usr/share/doc/" + name + "\n" +
				"\tln -s /nowhere debian/made/usr/share/doc/" + name + "/link\n" +
				"\tprintf '#!/bin/sh\\nset -e\\n" + postinst +
				"\\n' >debian/made/DEBIAN/postinst\n\tchmod 755 debian/made/DEBIAN/postinst\n" +
				"\tdpkg-gencontrol -p" + name + " -DDepends=libtext-charwidth-perl " +
				"-Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n",
		})
	}
	// The suite's packages it reaches, and nothing else: neither the host's network nor its
	// processes.
	w.Must(t, "build", "-d", "bookworm", "--result=r.json", "--run-piuparts",
		"--piuparts-opts=--no-upgrade-test --list-installed-files", source("linked",
			"test -e /usr/share/doc/libtext-charwidth-perl\\ntest $$(grep -c : /proc/net/dev) = "+
				"1\\ntest -c /dev/null\\necho seen $$(echo /proc/[0-9]* | wc -w) processes"))
	log := e2e.Read(t, filepath.Join(w.Dir, "linked_1.0_amd64.build"))
	e2e.WantIn(t, "log", log, "^  Setting up libtext-charwidth-perl", "^  seen [1-9] processes$",
		"New installed files on system", "INFO: PASS: All tests.$", "^Piuparts: warn$",
		"^Status: successful$")
	r, err := result.Read(filepath.Join(w.Dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Checks) != 1 || r.Checks[0].Name != "piuparts" || r.Checks[0].Outcome != "warn" ||
		r.Checks[0].Detail != "Broken symlinks: /usr/share/doc/linked/link -> /nowhere (linked)" {
		t.Errorf("checks: %+v", r.Checks)
	}
	for postinst, says := range map[string]string{
		"mkdir -p /var/lib/leaves; echo x: No space left on device": "piuparts: fail: Package purging left files on system: /var/lib/leaves/ not owned",
		"sleep 1000 >/dev/null &":                                   "piuparts: fail: Processes are running inside chroot",
	} {
		o := w.Run(t, "build", "-d", "bookworm", "--run-piuparts", "--fail-on=error",
			source("leaves", postinst))
		// What a package says of space once it is built is no reason to build it again.
		if o.Status != 1 || !strings.Contains(o.Stderr, says) ||
			!strings.Contains(o.Stderr, "stage: post-build") ||
			strings.Contains(o.Stderr, "again, on disk") {
			t.Errorf("%s: %s", postinst, o)
		}
	}
	// Its trees may take half of what the build may.
	o := w.Run(t, "build", "-q", "-d", "bookworm", "--run-piuparts", "--fail-on=error",
		"--memory=300M", source("leaves", ":"))
	if o.Status != 1 ||
		!strings.Contains(o.Stderr,
			"piuparts: error: the tmpfs of 150 MiB that piuparts works on is full") {
		t.Error(o)
	}
}

// TestLintian runs lintian over a package that it has something to say about.
func TestLintian(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, fakedebian.Source{Name: "examined", Version: "1.0", Rules: checkRules,
		Packages: []fakedebian.Package{{Name: "examined", Architecture: "all"}}})
	o := w.Run(t, "build", "-q", "-d", "bookworm", "--run-lintian", "--fail-on=error",
		"--lintian-opts=--tags no-copyright-file", dsc)
	if o.Status != 1 || !strings.Contains(o.Stderr, "lintian: fail: ") {
		t.Error(o)
	}
	if log := e2e.Read(t, filepath.Join(w.Dir, "examined_1.0_amd64.build")); !strings.Contains(log,
		"\nE: examined: no-copyright-file\n") || !strings.Contains(log, "\nLintian: fail\n") {
		t.Errorf("lintian did not speak:\n%s", log)
	}
	w.Must(t, "build", "-q", "-d", "bookworm", "--run-lintian",
		"--lintian-opt=--tags=no-such-thing-here",
		"--lintian-opt=--suppress-tags=no-copyright-file", dsc)
	// From the second revision on the upstream tarball is not among the results of -s, which
	// lintian needs to unpack the source package that is.
	again := e2e.Small("again")
	again.Version = "1.0-2"
	entry := "again (1.0-%d) unstable; urgency=medium\n\n  * Made up.\n\n -- Nobody " +
		"<nobody@example.org>  Mon, 01 Jan 2024 00:00:0%[1]d +0000\n"
	again.Debian = []fakedebian.File{
		{Path: "changelog", Body: fmt.Sprintf(entry, 2) + "\n" + fmt.Sprintf(entry, 1)}}
	w.Must(t, "build", "-d", "bookworm", "-s", "--run-lintian", w.WriteSource(t, again))
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "again_1.0-2_amd64.build")),
		"^Lintian: (pass|info|warn|fail)")
}
