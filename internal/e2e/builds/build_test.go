package builds

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// contents lists a package as dpkg-deb does, without the dates of what the build has made.
func contents(t *testing.T, file string) string {
	t.Helper()
	testenv.RequireTool(t, "dpkg-deb")
	out, err := exec.Command("dpkg-deb", "-c", file).Output()
	if err != nil {
		t.Fatalf("dpkg-deb -c %s: %v", file, err)
	}
	return regexp.MustCompile(`(?m)^(\S+ +\S+) +\d+ \d{4}-\d\d-\d\d \d\d:\d\d `).ReplaceAllString(
		string(out), "$1 ")
}

// TestNamedSource builds a small package of the suite by its name, then again by its version.
func TestNamedSource(t *testing.T) {
	w := e2e.RealWorld(t)
	testenv.HostState(t)
	if err := os.WriteFile(filepath.Join(w.Dir, "bystander_1.0_amd64.deb"), []byte("not ours"),
		0o600); err != nil {
		t.Fatal(err)
	}
	o := w.Must(t, "build", "-d", "bookworm", "--result=result.json", "hostname")
	made := strings.Fields(o.Stdout)
	if len(made) == 0 || !strings.HasSuffix(made[len(made)-1], "_amd64.changes") {
		t.Fatalf("the last path on standard output is not the .changes: %s", o)
	}
	before := w.Files(t)
	for _, name := range made {
		if !slices.Contains(before, filepath.Base(name)) || filepath.Dir(name) != w.Dir {
			t.Errorf("%s is not there", name)
		}
	}
	changes := made[len(made)-1]
	if tool, err := testenv.FindTool("dscverify"); err != nil {
		testenv.RequireTool(t, "dscverify")
	} else if out, err := exec.Command(tool, "--nosigcheck", changes).CombinedOutput(); err != nil {
		t.Errorf("dscverify: %v\n%s", err, out)
	}
	deb := made[slices.IndexFunc(made, func(s string) bool {
		return regexp.MustCompile(`/hostname_[^/]*\.deb$`).MatchString(s)
	})]
	official := t.TempDir()
	fetch := exec.Command("apt-get", "download", "-q", "hostname")
	fetch.Dir = official
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Logf("the official package cannot be fetched here, so is not compared: %v\n%s", err, out)
	} else if found, err := filepath.Glob(official + "/hostname_*.deb"); err != nil ||
		len(found) != 1 {
		t.Errorf("apt-get download left %q, %v", found, err)
	} else if filepath.Base(found[0]) == filepath.Base(deb) {
		if ours, theirs := contents(t, deb), contents(t, found[0]); ours != theirs {
			t.Errorf("the files are not those of the official package:\n%s\nofficial:\n%s", ours,
				theirs)
		}
	}
	for _, want := range []string{`"successful"`, `"hostname"`} {
		if !strings.Contains(e2e.Read(t, filepath.Join(w.Dir, "result.json")), want) {
			t.Errorf("result.json lacks %s", want)
		}
	}
	log := e2e.Read(t, strings.TrimSuffix(changes, ".changes")+".build")
	for _, want := range []string{"Status: successful",
		"dpkg-buildpackage: info: binary-only upload", "Package contents",
		"\nNot building database; man-db/auto-update is not 'true'.\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}

	t.Run("again", func(t *testing.T) {
		_, version, _ := strings.Cut(strings.TrimSuffix(changes, "_amd64.changes"), "/hostname_")
		was, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		w.Must(t, "build", "-q", "-d", "bookworm", "hostname="+version)
		if now, err := os.ReadFile(deb); err != nil || !bytes.Equal(was, now) {
			t.Errorf("the second build's package is not the first's (%v)", err)
		}
		if got := e2e.Read(t, filepath.Join(w.Dir, "bystander_1.0_amd64.deb")); got != "not ours" {
			t.Errorf("a file that is none of its results was overwritten")
		}
		for _, name := range w.Files(t) {
			if !slices.Contains(before, name) && !strings.HasSuffix(name, ".build") {
				t.Errorf("a second build made a new file: %s", name)
			}
		}
	})
}

// TestSources builds a small package from a .dsc, a URL and directories.
func TestSources(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	source := fakedebian.Source{Name: "small", Version: "1.0", Distribution: "bookworm",
		Packages: []fakedebian.Package{{Name: "small", Architecture: "any"},
			{Name: "small-data", Architecture: "all"}}}
	dsc := w.WriteSource(t, source)
	srcDir := filepath.Join(w.Dir, "out", "tree")
	if err := os.Mkdir(filepath.Dir(srcDir), 0o755); err != nil {
		t.Fatal(err)
	}
	testenv.RequireTool(t, "dpkg-source")
	if out, err := exec.Command("dpkg-source", "-x", filepath.Join(w.Dir, dsc),
		srcDir).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-source: %v\n%s", err, out)
	}
	a := fakedebian.New(t)
	a.Suite("bookworm").AddSource(source)
	tree := a.Tree()
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": tree})
	all := []string{"small-data_1.0_all.deb", "small_1.0_amd64.deb", "small_1.0_amd64.buildinfo",
		"small_1.0_amd64.changes"}
	for _, c := range []struct {
		name, dir string
		args      []string
		want      []string
		log       string
	}{
		{"dsc", "", []string{"-d", "bookworm", dsc}, all, "small_1.0_amd64.build"},
		{"URL", "",
			[]string{"-d", "bookworm", srv.URL("debian") + "/" + tree.Find("small_1.0.dsc")}, all,
			"small_1.0_amd64.build"},
		{"directory", "", []string{"-d", "bookworm", "out/tree"}, all, "small_1.0_amd64.build"},
		{"directory by its changelog", "", []string{"out/tree"}, all, "small_1.0_amd64.build"},
		{"here", "out/tree", []string{"."}, all, "out/small_1.0_amd64.build"},
		{"below", "out/tree/debian", []string{".."}, all, "out/small_1.0_amd64.build"},
		{"any only", "", []string{"-d", "bookworm", "--no-arch-all", dsc},
			[]string{"small_1.0_amd64.deb", "small_1.0_amd64.buildinfo", "small_1.0_amd64.changes"},
			"small_1.0_amd64.build"},
		{"all only", "", []string{"-d", "bookworm", "-A", "--no-arch-any", dsc},
			[]string{"small-data_1.0_all.deb", "small_1.0_all.buildinfo", "small_1.0_all.changes"},
			"small_1.0_all.build"},
		{"source too", "", []string{"-d", "bookworm", "-s", dsc},
			append([]string{"small_1.0.dsc", "small_1.0.tar.xz"}, all...), "small_1.0_amd64.build"},
		{"disk", "", []string{"-d", "bookworm", "--scratch=disk", dsc}, all,
			"small_1.0_amd64.build"},
		{"all of it, said so", "", []string{"-d", "bookworm", "--arch-any", "--arch-all", dsc}, all,
			"small_1.0_amd64.build"},
		{"no to all", "", []string{"-d", "bookworm", "--arch-all=false", dsc},
			[]string{"small_1.0_amd64.deb", "small_1.0_amd64.buildinfo", "small_1.0_amd64.changes"},
			"small_1.0_amd64.build"},
	} {
		t.Run(c.name, func(t *testing.T) {
			there := *w
			there.Dir = filepath.Join(w.Dir, c.dir)
			o := there.Must(t, append([]string{"build"}, c.args...)...)
			var got []string
			for _, f := range strings.Fields(o.Stdout) {
				got = append(got, filepath.Base(f))
			}
			if want := slices.Sorted(slices.Values(c.want)); !slices.Equal(
				slices.Sorted(slices.Values(got)), want) {
				t.Errorf("built %q, want %q", got, want)
			}
			if log := e2e.Read(t, filepath.Join(w.Dir, c.log)); !strings.Contains(log,
				"Status: successful") {
				t.Errorf("the log does not tell of success:\n%s", log)
			}
		})
	}
}

// TestSkipped builds for an architecture that the source does not support.
func TestSkipped(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "foreign", Version: "1.0", Packages: []fakedebian.Package{
			{Name: "foreign", Architecture: "s390x"}}})
	o := w.Must(t, "build", "-d", "bookworm", dsc)
	if o.Stdout != "" || !strings.Contains(o.Stderr, "nsbuild: skipped: foreign") {
		t.Error(o)
	}
	if log := e2e.Read(t, filepath.Join(w.Dir, "foreign_1.0_amd64.build")); !strings.Contains(log,
		"Status: skipped") {
		t.Errorf("the log does not say that it was skipped:\n%s", log)
	}
}

// TestFailingBuild shows what a user needs to see of a build that fails.
func TestFailingBuild(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "failing", Version: "1.0",
			Rules: e2e.BadRules("\tseq 1 40\n\techo the compiler is unhappy\n\texit 7\n")})
	o := w.Run(t, "build", "-d", "bookworm", dsc)
	if o.Status != 2 {
		t.Errorf("exit status %d, want 2", o.Status)
	}
	for _, want := range []string{"the last lines of the log:", "the compiler is unhappy",
		"stage: build\n", "log: " + filepath.Join(w.Dir, "failing_1.0_amd64"),
		"nsbuild: Build failure (dpkg-buildpackage died"} {
		if !strings.Contains(o.Stderr, want) {
			t.Errorf("standard error lacks %q", want)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^ +\d+  `).FindAllString(o.Stderr, -1)); n != 20 {
		t.Errorf("%d lines of the log were shown, want 20", n)
	}
	if o.Stdout != "" {
		t.Error("a build that failed has results")
	}
	if log := e2e.Read(t, filepath.Join(w.Dir, "failing_1.0_amd64.build")); !strings.Contains(log,
		"Status: attempted") || !strings.Contains(log, "Fail-Stage: build") {
		t.Errorf("the log's summary does not tell of it")
	}
	if t.Failed() {
		t.Log(o)
	}
}

// TestStrays builds a package that leaves processes in every way it can: they are named in the log,
// and gone.
func TestStrays(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	rules := "#!/usr/bin/make -f\nclean build:\nbinary:\n" +
		"\t(sleep 1111 >/dev/null 2>&1 </dev/null &)\n" +
		"\tsetsid --fork sleep 2222 >/dev/null 2>&1 </dev/null\n" +
		"\tunshare -Urpf sleep 3333 >/dev/null 2>&1 </dev/null & sleep 0.2\n" +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -pstraying -Pdebian/made\n\tdpkg-deb " +
		"--root-owner-group --build debian/made ..\n"
	dsc := w.WriteSource(t, fakedebian.Source{Name: "straying", Version: "1.0", Rules: rules})
	o := w.Run(t, "build", "-d", "bookworm", "--result=r.json", "--strays=fail", dsc)
	e2e.Refusal{Status: 2, Says: []string{"the build left", "processes running"},
		Hint: "--strays=warn"}.Check(t, o)
	if !strings.Contains(o.Stderr, "still running at the end of the build: pid ") ||
		!strings.Contains(o.Stderr, ": sleep 2222") {
		t.Error(o)
	}
	w.Must(t, "build", "-d", "bookworm", "--result=r.json", dsc)
	log := e2e.Read(t, filepath.Join(w.Dir, "straying_1.0_amd64.build"))
	for _, want := range []string{"Processes left behind", "sleep 1111", "sleep 2222",
		"sleep 3333"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if !strings.Contains(e2e.Read(t, filepath.Join(w.Dir, "r.json")), "sleep 2222") {
		t.Error("the result does not name the strays")
	}
}
