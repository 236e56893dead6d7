package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// checked is the one check of a build.
func (b *built) checked(t *testing.T, name string) (outcome, detail string) {
	t.Helper()
	if len(b.result.Checks) != 1 || b.result.Checks[0].Name != name {
		t.Fatalf("checks: %+v (%v)", b.result.Checks, b.err)
	}
	return b.result.Checks[0].Outcome, b.result.Checks[0].Detail
}

// TestFailOn has a check end in each way, and a build fail for it where that was asked for.
func TestFailOn(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	clean, info := fakejail.Prints("N: a note\n", 0), fakejail.Prints("I: hello: a tag\n", 0)
	warning := fakejail.Prints("W: hello: a tag\nW: hello: another\n", 0)
	bad, asked := fakejail.Prints("E: hello: a tag\nW: hello: x\n", 0), fakejail.Prints("", 2)
	broken := fakejail.Prints("Perl\n", 25)
	killed := func(context.Context, *fakejail.Proc) sandbox.Status {
		return sandbox.Status{Signal: syscall.SIGSEGV}
	}
	const failed = "failed, post-build, internal"
	for _, c := range []struct {
		name    string
		lintian fakejail.Program
		failOn  string
		outcome string
		detail  string
		ends    string
	}{
		{"clean", clean, FailOnWarning, "pass", "", "successful"},
		{"info", info, FailOnWarning, "info", "0 errors, 0 warnings", "successful"},
		{"a warning", warning, "", "warn", "0 errors, 2 warnings", "successful"},
		{"a warning, where errors count", warning, FailOnError, "warn",
			"0 errors, 2 warnings", "successful"},
		{"a warning that counts", warning, FailOnWarning, "warn", "0 errors, 2 warnings",
			failed},
		{"an error", bad, "", "fail", "1 error, 1 warning", "successful"},
		{"an error that counts", bad, FailOnError, "fail", "1 error, 1 warning", failed},
		{"what lintian itself is told to fail on", asked, FailOnError, "fail", "",
			failed},
		{"lintian breaks down", broken, "", "error", "lintian: exit status 25", "successful"},
		{"lintian is killed", killed, FailOnError, "error", "lintian: killed by signal 11",
			failed},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("lintian", c.lintian)
			b := w.build(spec, func(r *Request) {
				r.Lintian, r.FailOn, r.LintianOpts = true, c.failOn, []string{"-i", "--pedantic"}
			})
			outcome, detail := b.checked(t, "lintian")
			if outcome != c.outcome || !strings.HasPrefix(detail, c.detail) || b.ends() != c.ends {
				t.Errorf("%s %q, ends: %s (%v)", outcome, detail, b.ends(), b.err)
			}
			if len(b.Artefacts) == 0 {
				t.Error("the results are not there")
			}
			w.tells("the log", b.log, "Lintian: "+c.outcome)
			tells := outcome == "warn" || outcome == "fail" || outcome == "error"
			if c.ends == failed {
				w.tells("the hint", fault.HintOf(b.err), "without --fail-on")
			} else if (len(b.said) > 0) != tells {
				t.Errorf("said: %q", b.said)
			}
			want := "lintian -i --pedantic hello_2.10-3_" + w.arch + ".changes hello_2.10-3.dsc"
			if ran := b.commands("lintian"); len(ran) != 1 || ran[0] != want {
				t.Errorf("%q, want %q", ran, want)
			}
		})
	}
	w.in("it cannot be installed", func(t *testing.T) {
		w.suite.MutateIndex = func(_, text string) string {
			return strings.ReplaceAll(text, "Package: lintian\n", "Package: lint\n")
		}
		w.publish()
		b := w.build(spec, func(r *Request) { r.Lintian = true })
		if outcome, detail := b.checked(t, "lintian"); outcome != "error" ||
			!strings.HasPrefix(detail, "installing lintian: ") {
			t.Errorf("%s %s", outcome, detail)
		}
	})
}

// TestChecksAreApart: each check has jails of its own over the base, and the files that it needs.
func TestChecksAreApart(t *testing.T) {
	w := newWorld(t)
	look := func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if _, err := p.ReadDir("/build/reproducible-path/hello-2.10"); err == nil {
			return p.Fail(fmt.Errorf("the build is there"))
		}
		entries, err := p.ReadDir("/build/check")
		if err != nil {
			return p.Fail(err)
		}
		for _, e := range entries {
			p.Printf("N: %s\n", e.Name())
		}
		return fakejail.Exit(0)
	}
	w.replace("lintian", look)
	for _, spec := range []string{w.source(crane()), w.tree(crane())} {
		b := w.must(spec, func(r *Request) { r.Lintian = true })
		if outcome, detail := b.checked(t, "lintian"); outcome != "pass" {
			t.Errorf("%s %s", outcome, detail)
		}
		w.tells("the log", b.log, "N: hello_2.10-3.dsc\n", "N: hello_2.10-3_"+w.arch+".deb\n",
			"N: hello_2.10-3_"+w.arch+".changes\n")
		for _, h := range b.jails.Holders() {
			for _, j := range h.Jails() {
				t.Log(j)
			}
		}
	}
}

// TestInstallCheck installs what was built, and looks at what is left after it was purged.
func TestInstallCheck(t *testing.T) {
	w := newWorld(t)
	w.suite.Add(fakedebian.Package{Name: "upgraded", Version: "1.0-1", Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick})
	w.publish()
	leave := func(file string) fakejail.Program {
		return func(_ context.Context, p *fakejail.Proc) sandbox.Status {
			if err := p.WriteFile(file, "left", 0o644); err != nil {
				return p.Fail(err)
			}
			return fakejail.Exit(0)
		}
	}
	w.replace("leaves", leave("/etc/left.conf"))
	w.replace("changes", leave("/etc/issue"))
	w.replace("logs", leave("/var/log/hello.log"))
	w.replace("runs", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		p.Jail().Leave(sandbox.Stray{PID: 5, Command: "daemon"})
		return fakejail.Exit(0)
	})
	own := func(name, depends string, scripts ...string) fakedebian.Package {
		p := fakedebian.Package{Name: name, Architecture: "any", Depends: depends}
		for i, kind := range []string{"Postinst", "Postrm"} {
			if len(scripts) > i && scripts[i] != "" {
				p.Fields = append(p.Fields, fakedebian.Field{Name: "X-" + kind, Value: scripts[i]})
			}
		}
		return p
	}
	for _, c := range []struct {
		name     string
		packages []fakedebian.Package
		outcome  string
		detail   string
		log      []string
	}{
		{"clean", []fakedebian.Package{own("hello", "libcrane1")}, "pass", "",
			[]string{"Wanted: hello (= 2.10-3)", "Command: dpkg --purge hello",
				"No upgrade is tried"}},
		{"left", []fakedebian.Package{own("hello", "", "leaves")}, "warn",
			"1 file is left after purging: /etc/left.conf", nil},
		{"changed", []fakedebian.Package{own("hello", "", "changes")}, "warn",
			"1 file of the base is not as before: /etc/issue (file 644 0:0 4 bytes, was file 644 " +
				"0:0 6 bytes)", nil},
		{"a log", []fakedebian.Package{own("hello", "", "logs")}, "pass", "", nil},
		{"runs", []fakedebian.Package{own("hello", "", "runs")}, "warn",
			"1 process is still running after purging: daemon", nil},
		{"a script fails", []fakedebian.Package{own("hello", "", "false")}, "fail",
			"apt-get install /run/nsbuild/files/sbuild-build-depends-main-dummy.deb: exit status " +
				"100", nil},
		{"its removal fails", []fakedebian.Package{own("hello", "", "", "false")}, "fail",
			"dpkg --remove hello: exit status 1", nil},
		{"cannot be installed", []fakedebian.Package{own("hello", "nosuch")}, "fail",
			"apt found no solution", []string{"hello : Depends: nosuch"}},
		{"they conflict", []fakedebian.Package{own("hello", ""),
			{Name: "hello-other", Architecture: "any",
				Fields: []fakedebian.Field{{Name: "Conflicts", Value: "hello"}}}}, "pass", "",
			[]string{"They cannot all be installed at once: one after the other."}},
		{"they conflict, and one leaves a file", []fakedebian.Package{own("hello", ""),
			{Name: "hello-other", Architecture: "any", Fields: []fakedebian.Field{
				{Name: "Conflicts", Value: "hello"}, {Name: "X-Postinst", Value: "leaves"}}}},
			"warn", "hello-other: 1 file is left after purging: /etc/left.conf", nil},
		{"upgrade", []fakedebian.Package{own("upgraded", "")}, "pass", "",
			[]string{"Upgrade from the suite's own version: upgraded"}},
		{"a package of the base", []fakedebian.Package{own("base-files", "")}, "pass", "", nil},
	} {
		w.in(c.name, func(t *testing.T) {
			s := fakedebian.Source{Name: "hello", Version: "2.10-3", Packages: c.packages}
			for i := range s.Packages { // which Source writes into debian/control
				s.Packages[i].Description = "made up"
			}
			if c.name == "a package of the base" {
				s.Version = "13-1"
			}
			b := w.must(w.source(s), func(r *Request) { r.CheckInstall = true })
			outcome, detail := b.checked(t, "install check")
			if outcome != c.outcome || !strings.HasPrefix(detail, c.detail) ||
				c.detail == "" && detail != "" {
				t.Errorf("%s %q, want %s %q\n%s", outcome, detail, c.outcome, c.detail,
					b.log[strings.Index(b.log, "install check"):])
			}
			w.tells("the log", b.log, append(slices.Clone(c.log), "Install-Check: "+c.outcome)...)
		})
	}
	w.in("what came along", func(t *testing.T) {
		usual := w.programs["apt-get"]
		w.replace("apt-get", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
			if slices.Contains(p.Argv, "autoremove") { // something suggests it
				return fakejail.Exit(0)
			}
			return usual(ctx, p)
		})
		s := crane()
		s.Packages = []fakedebian.Package{own("hello", "libcrane1, libcrane-dev")}
		check := func(r *Request) { r.CheckInstall = true }
		b := w.must(w.source(s), check)
		if outcome, detail := b.checked(t, "install check"); outcome != "pass" {
			t.Errorf("%s %s", outcome, detail)
		}
		w.tells("the log", b.log, "Command: dpkg --purge libcrane1 libcrane-dev")

		dpkg := w.programs["dpkg"]
		w.replace("dpkg", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
			if slices.Contains(p.Argv, "libcrane1") && p.Argv[1] == "--purge" { // it is essential
				return fakejail.Exit(1)
			}
			return dpkg(ctx, p)
		})
		b = w.must(w.source(s), check)
		if outcome, detail := b.checked(t, "install check"); outcome != "pass" {
			t.Errorf("%s %s", outcome, detail)
		}
		w.tells("the log", b.log, "dpkg: exit status 1; what was built is not to blame.")
	})
	w.in("nothing was built", func(t *testing.T) {
		b := w.must(w.source(crane()), func(r *Request) {
			r.CheckInstall, r.Source, r.ArchAny, r.ArchAll = true, true, false, false
		})
		if outcome, detail := b.checked(t, "install check"); outcome != "pass" ||
			detail != "no package was built" {
			t.Errorf("%s %s", outcome, detail)
		}
	})
}

// TestPiuparts has piuparts say in its own words what it found; what it works with is made for it,
// and what it fetches is the suite's.
func TestPiuparts(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	const begins = "0m1.0s INFO: Running scripts pre_test\n0m1.1s INFO: Running scripts pre_install\n"
	fetch := func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		list, err := p.ReadFile("/piuparts/root/etc/apt/sources.list")
		if err != nil {
			return p.Fail(err)
		}
		words := strings.Fields(string(list))
		for i, word := range words {
			if strings.HasPrefix(word, "http://127.0.0.1:") {
				url := word + "/dists/" + words[i+1] + "/Release"
				got, err := http.Get(url)
				if err != nil {
					return p.Fail(err)
				}
				text, err := io.ReadAll(got.Body)
				if err := errors.Join(err, got.Body.Close()); err != nil || got.StatusCode != 200 {
					return p.Fail(fmt.Errorf("%s: %s: %w", url, got.Status, err))
				}
				p.Printf("0m2.0s INFO: it has %s", regexp.MustCompile("Codename: .*\n").Find(text))
			}
		}
		return fakejail.Exit(0)
	}
	full := fakejail.Prints("0\n", 0)
	for _, c := range []struct {
		name     string
		piuparts fakejail.Program
		stat     fakejail.Program
		outcome  string
		detail   string
		log      []string
	}{
		{"clean", fetch, nil, "pass", "", []string{"it has Codename: crane"}},
		{"left files", fakejail.Prints(begins+"0m6.4s ERROR: FAIL: Package purging left files on "+
			"system:\n  /x\t not owned\n", 1), nil, "fail",
			"Package purging left files on system: /x not owned", nil},
		{"a warning", fakejail.Prints(begins+"0m2.2s ERROR: WARN: Broken symlinks:\n  /a -> /b "+
			"(x)\n", 0), nil, "warn", "Broken symlinks: /a -> /b (x)", nil},
		{"it breaks down", fakejail.Prints("Usage: piuparts\n", 2), nil, "error",
			"piuparts: exit status 2: Usage: piuparts", nil},
		{"no room", fakejail.Prints(begins+"0m6.4s ERROR: FAIL: x\n", 1), full, "error",
			"the tmpfs of ", []string{"that piuparts works on is full"}},
	} {
		w.in(c.name, func(t *testing.T) {
			stat := c.stat
			if stat == nil {
				stat = fakejail.Prints("5000\n", 0)
			}
			w.replace("stat", stat)
			w.replace("piuparts", c.piuparts)
			b := w.build(spec, func(r *Request) {
				r.Piuparts, r.PiupartsOpts = true, []string{"--no-upgrade-test"}
			})
			outcome, detail := b.checked(t, "piuparts")
			if outcome != c.outcome || !strings.HasPrefix(detail, c.detail) {
				t.Errorf("%s %q, want %s %q", outcome, detail, c.outcome, c.detail)
			}
			w.tells("the log", b.log, append(slices.Clone(c.log), "Piuparts: "+c.outcome)...)
			want := "piuparts --distribution crane --existing-chroot /piuparts/root " +
				"--keep-sources-list --tmpdir /piuparts/tmp --scriptsdir /piuparts/scripts " +
				"--no-eatmydata -k --hard-link --no-upgrade-test hello_2.10-3_" + w.arch + ".deb"
			if ran := b.commands("piuparts"); len(ran) != 1 || ran[0] != want {
				t.Errorf("%q, want %q", ran, want)
			}
		})
	}
}

// TestAutopkgtest runs the tests of sources, as debian/tests/control has them.
func TestAutopkgtest(t *testing.T) {
	w := newWorld(t)
	w.replace("debian/rules", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if err := p.WriteFile("built", "yes", 0o644); err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(0)
	})
	says := func(text string, status int) fakejail.Program {
		return func(_ context.Context, p *fakejail.Proc) sandbox.Status {
			_, err := io.WriteString(p.Stderr, text)
			if err != nil {
				return p.Fail(err)
			}
			return fakejail.Exit(status)
		}
	}
	for name, program := range map[string]fakejail.Program{
		"good": fakejail.Prints("fine\n", 0), "bad": fakejail.Prints("", 3),
		"loud": says("a warning\n", 0), "skips": fakejail.Prints("", 77),
		"installed": func(_ context.Context, p *fakejail.Proc) sandbox.Status {
			if _, err := p.ReadFile("/usr/share/doc/hello/copyright"); err != nil {
				return p.Fail(err)
			}
			_, built := p.ReadFile("built")
			p.Printf("uid %d, temporary %s, built %t\n", p.UID, p.Getenv("AUTOPKGTEST_TMP"),
				built == nil)
			return fakejail.Exit(0)
		},
		"sudoer": func(_ context.Context, p *fakejail.Proc) sandbox.Status {
			text, err := p.ReadFile("/etc/sudoers.d/autopkgtest")
			if err != nil {
				return p.Fail(err)
			}
			p.Printf("%s", text)
			return fakejail.Exit(0)
		},
	} {
		w.replace("./debian/tests/"+name, program)
	}
	w.replace("usermod", fakejail.Prints("", 0))
	for _, c := range []struct {
		name, control string
		outcome       string
		detail        string
		log           []string
	}{
		{"none", "", "no tests", "", []string{"There is no debian/tests/control"}},
		{"a field that nobody knows", "Tests: good\nClass: x\n", "no tests",
			"good (SKIP the field Class is not known)", nil},
		{"the internet is wanted", "Tests: good\nRestrictions: needs-internet\n", "no tests",
			"good (SKIP needs-internet: a jail has no network; --check-network gives it)", nil},
		{"no init", "Tests: good\nRestrictions: isolation-container\n", "no tests",
			"good (SKIP isolation-container: no init runs in a jail, so installed services are " +
				"not started)", nil},
		{"a name that leads out", "Test-Command: good\nFeatures: test-name=..\n", "error",
			"debian/tests/control: the name of test \"..\" has a slash, or is none", nil},
		{"it passes", "Tests: good\nDepends: @\n", "pass", "",
			[]string{"good                 PASS"}},
		{"as the builder", "Tests: installed\n", "pass", "",
			[]string{"uid 1000, temporary /tmp/autopkgtest/tmp, built false"}},
		{"as root, of a built tree", "Tests: installed\nRestrictions: needs-root, build-needed\n",
			"pass", "", []string{"uid 0, temporary", "built true"}},
		{"it fails", "Tests: good bad\n", "fail", "failed: bad",
			[]string{"bad                  FAIL exit status 3"}},
		{"it is known to fail", "Tests: bad, good\nRestrictions: flaky\n", "pass",
			"not run: bad (FLAKY exit status 3)", nil},
		{"it writes to standard error", "Tests: loud\n", "fail", "failed: loud",
			[]string{"allow-stderr is not among its restrictions"}},
		{"it may", "Tests: loud\nRestrictions: allow-stderr superficial\n", "pass", "",
			[]string{"PASS (superficial)"}},
		{"it skips itself", "Tests: skips\nRestrictions: skippable\n", "no tests",
			"skips (SKIP exit status 77 and marked as skippable)", nil},
		{"it may not", "Tests: skips\n", "fail", "failed: skips", nil},
		{"a machine is wanted", "Tests: good\nRestrictions: isolation-machine\n", "no tests",
			"good (SKIP isolation-machine: a jail has the kernel of its host)", nil},
		{"what nobody knows", "Tests: good\nRestrictions: magic\n", "no tests",
			"good (SKIP magic: it is not known here)", nil},
		{"another architecture", "Tests: good\nArchitecture: s390x\n", "no tests",
			"good (SKIP it is not for " + w.arch + ")", nil},
		{"a command", "Test-Command: good --now\nFeatures: test-name=quick\nDepends: @, " +
			"@builddeps@, libold-dev\n", "pass", "", []string{"quick                PASS"}},
		{"recommends", "Tests: good\nDepends: @recommends@\n", "pass", "",
			[]string{"\nWanted: libold-dev\n"}},
		{"recommends, in the old way", "Tests: good\nRestrictions: needs-recommends\n", "pass", "",
			[]string{"\nWanted: hello (= 2.10-3), libold-dev\n"}},
		{"sudo", "Tests: sudoer\nRestrictions: needs-sudo\n", "pass", "",
			[]string{"\nWanted: hello (= 2.10-3), sudo\n", "%sudo ALL=(ALL:ALL) NOPASSWD: ALL",
				"Command: usermod --append --groups sudo builder\n"}},
		{"what cannot be installed", "Tests: good\nDepends: nosuch\n", "fail", "failed: good",
			[]string{"FAIL apt found no solution"}},
		{"it is skipped then", "Tests: good\nDepends: nosuch\nRestrictions: skip-not-installable\n",
			"no tests", "good (SKIP skip-not-installable, and what it wants cannot be installed)",
			nil},
		{"a name with a slash", "Tests: ../good\n", "error",
			"debian/tests/control: the name of test \"../good\" has a slash", nil},
		{"no control file", "nothing\n", "error", "debian/tests/control", nil},
	} {
		w.in(c.name, func(t *testing.T) {
			s := crane()
			if c.control != "" {
				s.Debian = []fakedebian.File{{Path: "tests/control", Body: c.control}}
			}
			if strings.Contains(c.name, "recommends") {
				s.Packages = []fakedebian.Package{{Name: "hello", Architecture: "any",
					Description: "made up", Fields: []fakedebian.Field{
						{Name: "Recommends", Value: "libold-dev"}}}}
			}
			w.replace("good", fakejail.Prints("", 0))
			b := w.must(w.source(s), func(r *Request) { r.Autopkgtest = true })
			outcome, detail := b.checked(t, "autopkgtest")
			if outcome != c.outcome || !strings.HasPrefix(detail, c.detail) ||
				c.detail == "" && detail != "" {
				t.Errorf("%s %q, want %s %q", outcome, detail, c.outcome, c.detail)
			}
			w.tells("the log", b.log, append(slices.Clone(c.log), "Autopkgtest: "+c.outcome)...)
		})
	}
	w.in("a cross build", func(t *testing.T) {
		w.suite.Architectures = append(w.suite.Architectures, "s390x")
		for name, arch := range map[string]string{"crossbuild-essential-s390x": w.arch,
			"libc-dev": "s390x", "libstdc++-dev": "s390x", "libcrane-dev": "s390x"} {
			w.suite.Add(fakedebian.Package{Name: name, Version: "1.0-1", Architecture: arch,
				DataCompression: quick, ControlCompression: quick})
		}
		w.publish()
		b := w.must(w.source(crane()), func(r *Request) { r.Host, r.Autopkgtest = "s390x", true })
		if outcome, detail := b.checked(t, "autopkgtest"); outcome != "skipped" ||
			detail != "packages for s390x cannot be used on "+w.arch {
			t.Errorf("%s %s", outcome, detail)
		}
	})
}

// TestAutodep8 runs the tests that autodep8 writes for a source which says of what kind it is.
func TestAutodep8(t *testing.T) {
	w := newWorld(t)
	w.replace("good", fakejail.Prints("fine\n", 0))
	w.replace("bad", fakejail.Prints("", 1))
	s := crane()
	s.Fields = append(s.Fields, fakedebian.Field{Name: "Testsuite", Value: "autopkgtest-pkg-crane"})
	tested := s
	tested.Debian = []fakedebian.File{{Path: "tests/control", Body: "Test-Command: bad\n"}}
	const generated = "Test-Command: good\nDepends: @\nFeatures: test-name=autodep8-crane\n"
	for _, c := range []struct {
		name     string
		source   fakedebian.Source
		autodep8 fakejail.Program // nil: the suite has none
		outcome  string
		log      string
	}{
		{"generated", s, fakejail.Prints(generated, 0), "pass", "\nautodep8-crane       PASS\n"},
		{"it knows none", s, fakejail.Prints("", 1), "no tests", "\nautodep8: exit status 1\n"},
		{"it knows none, and the source does", tested, fakejail.Prints("", 1), "fail",
			"\ncommand1             FAIL exit status 1\n"},
		{"the suite has none", tested, nil, "fail", "autodep8 cannot be installed in crane"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.suite.MutateIndex = nil
			if c.autodep8 == nil {
				w.suite.MutateIndex = func(_, text string) string {
					return strings.ReplaceAll(text, "Package: autodep8\n", "Package: auto\n")
				}
			} else {
				w.replace("autodep8", c.autodep8)
			}
			w.publish()
			b := w.must(w.source(c.source), func(r *Request) {
				r.Autopkgtest, r.NoLayers = true, true
			})
			if outcome, detail := b.checked(t, "autopkgtest"); outcome != c.outcome {
				t.Errorf("%s %s", outcome, detail)
			}
			w.tells("the log", b.log, c.log)
		})
	}
}

// TestArtifacts keeps what tests leave for people, and has the network for those that need it.
func TestArtifacts(t *testing.T) {
	w := newWorld(t)
	w.replace("leaves", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if err := p.WriteFile(p.Getenv("AUTOPKGTEST_ARTIFACTS")+"/seen", "x", 0o600); err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(1)
	})
	w.replace("links", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		dir := p.Getenv("AUTOPKGTEST_ARTIFACTS")
		if err := errors.Join(p.Remove(dir), p.Symlink("/etc", dir)); err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(0)
	})
	w.replace("good", fakejail.Prints("", 0))
	s := crane()
	s.Debian = []fakedebian.File{{Path: "tests/control", Body: "Test-Command: leaves\nFeatures: " +
		"test-name=one\n\nTest-Command: leaves\nFeatures: test-name=one\n\nTest-Command: good\n" +
		"Restrictions: needs-internet\nFeatures: test-name=two\n\nTest-Command: links\n" +
		"Features: test-name=three\n"}}
	dir := filepath.Join(t.TempDir(), "kept")
	b := w.must(w.source(s), func(r *Request) {
		r.Autopkgtest, r.Artifacts, r.CheckNetwork = true, dir, true
	})
	if outcome, detail := b.checked(t, "autopkgtest"); detail != "failed: one, one" {
		t.Errorf("%s %s", outcome, detail)
	}
	w.tells("the log", b.log, "\nI: test two: PASS\n", "\nI: test three: PASS\n",
		"\nArtifacts of three are not kept: ")
	log := strings.TrimSuffix(filepath.Base(b.LogPath), ".build")
	got, err := filepath.Glob(dir + "/*/*/*")
	w.check(err)
	want := []string{dir + "/" + log + "/one/seen", dir + "/" + log + "/one.2/seen"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
}
