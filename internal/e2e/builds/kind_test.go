package builds

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// built names the files whose paths a build printed.
func built(o e2e.Outcome) string {
	var names []string
	for _, f := range strings.Fields(o.Stdout) {
		names = append(names, filepath.Base(f))
	}
	return strings.Join(names, " ")
}

// TestBinNMU gives packages a version that the source does not have.
func TestBinNMU(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, e2e.Small("rebuilt"))
	for _, c := range []struct {
		name, version string
		args          []string
		entry         []string
	}{
		{"binNMU", "1.0+b3", []string{"--make-binNMU=Rebuild for a test", "--binNMU=3",
			"--binNMU-timestamp=1700000000"},
			[]string{`^rebuilt \(1\.0\+b3\) bookworm; urgency=low, binary-only=yes$`,
				`^  \* Binary-only non-maintainer upload for amd64; no source changes\.$`,
				`^  \* Rebuild for a test$`,
				`^ -- A B <a@mirror\.example>  Tue, 14 Nov 2023 22:13:20 \+0000$`}},
		{"suffix", "1.0~test1", []string{"--append-to-version=~test1"},
			[]string{`^  \* Append ~test1 to version number; no source changes$`}},
		{"entry", "1.0+b9", []string{"--binNMU-changelog=rebuilt (1.0+b9) sid; urgency=low, " +
			"binary-only=yes\n\n  * By hand.\n\n -- C D <c@mirror.example>  Tue, 14 Nov 2023 " +
			"22:13:20 +0000"}, []string{`^  \* By hand\.$`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := w.Must(t,
				append([]string{"build", "-q", "-d", "bookworm", "-m", "A B <a@mirror.example>",
					dsc}, c.args...)...)
			stem := "rebuilt_" + c.version + "_amd64"
			if got, want := built(o), stem+".deb "+stem+".buildinfo "+stem+".changes"; !sameWords(
				got, want) {
				t.Errorf("built %s, want %s", got, want)
			}
			changes := e2e.Read(t, filepath.Join(w.Dir, stem+".changes"))
			e2e.WantIn(t, ".changes", changes, `^Source: rebuilt \(1\.0\)$`, "^Binary-Only: yes$",
				`^Distribution: bookworm$`, `^Maintainer: A B <a@mirror\.example>$`)
			e2e.WantIn(t, ".buildinfo", e2e.Read(t, filepath.Join(w.Dir, stem+".buildinfo")),
				"^Binary-Only-Changes:$")
			var lines []string // the .buildinfo has the entry with a space before each line
			for l := range strings.Lines(e2e.Read(t, filepath.Join(w.Dir, stem+".buildinfo"))) {
				lines = append(lines, strings.TrimPrefix(l, " "))
			}
			e2e.WantIn(t, "entry", strings.Join(lines, ""), c.entry...)
			e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, stem+".build")),
				"^Version: "+regexp.QuoteMeta(c.version)+"$", `^Source Version: 1\.0$`,
				"^Created changelog entry for binNMU version")
		})
	}
}

// sameWords compares lists of words without their order.
func sameWords(a, b string) bool {
	count := map[string]int{}
	for w := range strings.FieldsSeq(a) {
		count[w]++
	}
	for w := range strings.FieldsSeq(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// TestKindOptions passes options to dpkg's tools and signs what comes of it.
func TestKindOptions(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	home := keyring(t)
	// Each signature is a second younger than the last, as they are when signing takes its time.
	later := t.TempDir()
	gpg, err := exec.LookPath("gpg")
	e2e.Check(t, err)
	e2e.Check(t, os.WriteFile(filepath.Join(later, "gpg"),
		[]byte("#!/bin/sh\necho >>"+later+"/calls\nexec "+gpg+
			" --faked-system-time $(($(date +%s) + 10 + $(wc -l <"+later+"/calls)))! \"$@\"\n"),
		0o755))
	w.Env = []string{"GNUPGHOME=" + home, "DEB_BUILD_OPTIONS=terse noautodbgsym parallel=7",
		"PATH=" + later + ":" + os.Getenv("PATH")}
	makeKey(t, w, "A B <a@mirror.example>")
	source := e2e.Small("optional")
	source.Rules = "#!/usr/bin/make -f\nclean build:\nbinary-arch:\n\techo " +
		"options=$(DEB_BUILD_OPTIONS) profiles=$(DEB_BUILD_PROFILES)\n" +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -poptional -Pdebian/made\n\tdpkg-deb " +
		"--root-owner-group --build debian/made ..\n"
	dsc := w.WriteSource(t, source)
	o := w.Must(t, "build", "-q", "-d", "bookworm", "-s", "--no-arch-all", "--source-only-changes",
		"--debbuildopt=-sa", "--debbuildopts=-v0.1 --check-option=-x", "--dpkg-source-opt=-Zgzip",
		"--dpkg-source-opts=-z1", "-P", "nodoc,pkg.optional.x,nochek", "-j2",
		"-m", "A B <a@mirror.example>", "-e", "C D <c@mirror.example>", "-k", "a@mirror.example",
		"--result=r.json", dsc)
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "optional_1.0_amd64.build")),
		"^options=terse noautodbgsym parallel=2 profiles=nodoc pkg.optional.x nochek$",
		`^Command: dpkg-buildpackage --sanitize-env -us -uc -mA B <a@mirror\.example> -eC D <c@mirror\.example> --source-option=-Zgzip --source-option=-z1 -G -sa -v0\.1 --check-option=-x$`, "^W: build profile nochek: it is not a registered one")
	if !strings.Contains(built(o), "optional_1.0_source.changes") ||
		!strings.Contains(built(o), "optional_1.0.tar.gz") {
		t.Errorf("built %s", built(o))
	}
	e2e.WantIn(t, "source changes", e2e.Read(t, filepath.Join(w.Dir, "optional_1.0_source.changes")),
		"^Architecture: source$", "^Distribution: bookworm$",
		`^Changed-By: C D <c@mirror\.example>$`)
	for _, name := range []string{"optional_1.0.dsc", "optional_1.0_amd64.buildinfo",
		"optional_1.0_amd64.changes", "optional_1.0_source.changes"} {
		c := exec.Command("gpg", "--verify", filepath.Join(w.Dir, name))
		c.Env = w.Environment()
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	e2e.WantIn(t, "result", e2e.Read(t, filepath.Join(w.Dir, "r.json")), `"terse"`, `"parallel=2"`)
	sameFiles(t, filepath.Join(w.Dir, "r.json")) // as they are since they were signed
	for _, changes := range []string{"optional_1.0_amd64.changes", "optional_1.0_source.changes"} {
		if out, err := exec.Command("dscverify", "--nosigcheck",
			filepath.Join(w.Dir, changes)).CombinedOutput(); err != nil {
			t.Errorf("dscverify %s: %v\n%s", changes, err, out)
		}
	}
}

// TestRootRequirements builds sources that say how much root they need, and asks who they are, and
// whether fakeroot was there.
func TestRootRequirements(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	for _, c := range []struct {
		name, value, uid string
		fakeroot         string // what the log says of it
	}{
		{"no", "no", "[1-9][0-9]*", "^uid=.*, fakeroot: none$"},
		{"absent", "", "0", "^uid=.*, fakeroot: /usr/bin/fakeroot$"}, // as bookworm's dpkg takes it
		{"binary-targets", "binary-targets", "0", "^uid=.*, fakeroot: /usr/bin/fakeroot$"},
		{"keyword", "dpkg/target-subcommand", "[1-9][0-9]*",
			"^uid=.*, fakeroot: /usr/bin/fakeroot$"},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := *w
			here.Dir = t.TempDir()
			rules := "#!/usr/bin/make -f\nclean build:\nbinary:\n\techo \"uid=$$(id -u), gain: " +
				"[$(DEB_GAIN_ROOT_CMD)], fakeroot: $$(command -v fakeroot || echo none)\"\n" +
				"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -prooted " +
				"-Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n"
			// An id that no jail maps, as in a tarball of someone's build farm: chown is faked,
			// too.
			rules += "\tif command -v fakeroot; then gain=\"$(DEB_GAIN_ROOT_CMD)\"; touch x; " +
				"$$gain sh -ec 'chown 100005:100006 x; stat -c =%u:%g= x; " +
				"tar -cf x.tar x; rm x; tar -xpf x.tar'; fi\n"
			control := "Source: rooted\nSection: misc\nPriority: optional\nMaintainer: A B " +
				"<a@example.org>\nStandards-Version: 4.6.2\n"
			if c.value != "" {
				control += "Rules-Requires-Root: " + c.value + "\n"
			}
			control += "\nPackage: rooted\nArchitecture: any\nDescription: says who builds it\n " +
				"Really.\n"
			dsc := here.WriteSource(t,
				fakedebian.Source{Name: "rooted", Version: "1.0",
					Debian: []fakedebian.File{{Path: "control", Body: control}}, Rules: rules})
			here.Must(t, "build", "-q", "-d", "bookworm", dsc)
			log := e2e.Read(t, filepath.Join(here.Dir, "rooted_1.0_amd64.build"))
			e2e.WantIn(t, "log", log, "^uid="+c.uid+", ", c.fakeroot)
			if !strings.HasSuffix(c.fakeroot, " none$") {
				e2e.WantIn(t, "log", log, "^FAKEROOTDONTTRYCHOWN=1$", "^=100005:100006=$")
			} else if strings.Contains(log, "FAKEROOT") {
				t.Error("a variable of fakeroot's without fakeroot")
			}
		})
	}
}

// TestFakerootInSession: what is run in a root that has fakeroot has fakeroot's variable, unless it
// is given another value.
func TestFakerootInSession(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	if o := w.Must(t, "run", "bookworm", "--", "env"); strings.Contains(o.Stdout, "FAKEROOT") {
		t.Errorf("without fakeroot: %s", o)
	}
	w.Must(t, "session", "begin", "--name=faker", "bookworm")
	defer w.Must(t, "session", "end", "faker")
	w.Must(t, "session", "run", "faker", "--", "touch", "/var/lib/dpkg/info/fakeroot.list")
	e2e.WantIn(t, "environment", w.Must(t, "session", "run", "faker", "--", "env").Stdout,
		"^FAKEROOTDONTTRYCHOWN=1$")
	e2e.WantIn(t, "environment", w.Must(t, "session", "run", "--setenv=FAKEROOTDONTTRYCHOWN=0", "faker",
		"--", "env").Stdout, "^FAKEROOTDONTTRYCHOWN=0$")
}

// TestBuildConflicts takes a package away that is installed in the base, for one build.
func TestBuildConflicts(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	rules := "#!/usr/bin/make -f\nclean build:\nbinary:\n\ttest %s -e " +
		"/usr/share/zoneinfo/Europe/Berlin\n" +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -p%s -Pdebian/made\n\tdpkg-deb " +
		"--root-owner-group --build debian/made ..\n"
	alone := w.WriteSource(t,
		fakedebian.Source{Name: "alone", Version: "1.0",
			BuildConflicts: "tzdata, no-such-package", Rules: fmt.Sprintf(rules, "!", "alone")})
	other := w.WriteSource(t,
		fakedebian.Source{Name: "other", Version: "1.0", Rules: fmt.Sprintf(rules, "", "other")})
	for _, dsc := range []string{alone, other, alone} {
		w.Must(t, "build", "-q", "-d", "bookworm", dsc)
	}
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "alone_1.0_amd64.build")),
		"^Filtered Build-Conflicts: tzdata, no-such-package$",
		"^Dependency layer .* has what is needed")
}
