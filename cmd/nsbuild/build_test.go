package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// realWorld is the world of all tests with real packages: one base of bookworm from the mirror,
// made once in a run.
func realWorld(t *testing.T) *world {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	w := &world{state: filepath.Join(shared, "state"), cache: filepath.Join(shared, "cache"),
		dir: t.TempDir()}
	realBase.Do(func() { w.must(t, "create", "bookworm") })
	return w
}

var realBase sync.Once

// writeSource makes a .dsc with its files in the directory where nsbuild is called, and returns its
// name.
func (w *world) writeSource(t *testing.T, s fakedebian.Source) string {
	t.Helper()
	members := s.Build(t)
	for _, m := range members {
		if err := os.WriteFile(filepath.Join(w.dir, m.Name), m.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return members[0].Name
}

// files lists the directory where nsbuild is called.
func (w *world) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

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

// TestHello builds hello by its name, then again from what that has shown to be its files.
func TestHello(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	if err := os.WriteFile(filepath.Join(w.dir, "bystander_1.0_amd64.deb"), []byte("not ours"),
		0o600); err != nil {
		t.Fatal(err)
	}
	o := w.must(t, "build", "-d", "bookworm", "--result=result.json", "hello")
	made := strings.Fields(o.stdout)
	if len(made) == 0 || !strings.HasSuffix(made[len(made)-1], "_amd64.changes") {
		t.Fatalf("the last path on standard output is not the .changes: %s", o)
	}
	before := w.files(t)
	for _, name := range made {
		if !slices.Contains(before, filepath.Base(name)) || filepath.Dir(name) != w.dir {
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
		return regexp.MustCompile(`/hello_[^/]*\.deb$`).MatchString(s)
	})]
	official := t.TempDir()
	fetch := exec.Command("apt-get", "download", "-q", "hello")
	fetch.Dir = official
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Logf("the official package cannot be fetched here, so is not compared: %v\n%s", err, out)
	} else if found, err := filepath.Glob(official + "/hello_*.deb"); err != nil ||
		len(found) != 1 {
		t.Errorf("apt-get download left %q, %v", found, err)
	} else if filepath.Base(found[0]) == filepath.Base(deb) {
		if ours, theirs := contents(t, deb), contents(t, found[0]); ours != theirs {
			t.Errorf("the files are not those of the official package:\n%s\nofficial:\n%s", ours,
				theirs)
		}
	}
	for _, want := range []string{`"successful"`, `"hello"`} {
		if !strings.Contains(read(t, filepath.Join(w.dir, "result.json")), want) {
			t.Errorf("result.json lacks %s", want)
		}
	}
	log := read(t, strings.TrimSuffix(changes, ".changes")+".build")
	for _, want := range []string{"Status: successful",
		"dpkg-buildpackage: info: binary-only upload", "Package contents"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}

	t.Run("again", func(t *testing.T) {
		version := regexp.MustCompile(`hello_(.*)_amd64\.changes$`).FindStringSubmatch(changes)[1]
		was, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		w.must(t, "build", "-q", "-d", "bookworm", "hello="+version)
		if now, err := os.ReadFile(deb); err != nil || !bytes.Equal(was, now) {
			t.Errorf("the second build's package is not the first's (%v)", err)
		}
		if got := read(t, filepath.Join(w.dir, "bystander_1.0_amd64.deb")); got != "not ours" {
			t.Errorf("a file that is none of its results was overwritten")
		}
		for _, name := range w.files(t) {
			if !slices.Contains(before, name) && !strings.HasSuffix(name, ".build") {
				t.Errorf("a second build made a new file: %s", name)
			}
		}
	})
}

// TestSources builds a small package from a .dsc, a URL and directories.
func TestSources(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	source := fakedebian.Source{Name: "small", Version: "1.0", Distribution: "bookworm",
		Packages: []fakedebian.Package{{Name: "small", Architecture: "any"},
			{Name: "small-data", Architecture: "all"}}}
	dsc := w.writeSource(t, source)
	srcDir := filepath.Join(w.dir, "out", "tree")
	if err := os.Mkdir(filepath.Dir(srcDir), 0o755); err != nil {
		t.Fatal(err)
	}
	testenv.RequireTool(t, "dpkg-source")
	if out, err := exec.Command("dpkg-source", "-x", filepath.Join(w.dir, dsc),
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
			there.dir = filepath.Join(w.dir, c.dir)
			o := there.must(t, append([]string{"build"}, c.args...)...)
			var got []string
			for _, f := range strings.Fields(o.stdout) {
				got = append(got, filepath.Base(f))
			}
			if want := slices.Sorted(slices.Values(c.want)); !slices.Equal(
				slices.Sorted(slices.Values(got)), want) {
				t.Errorf("built %q, want %q", got, want)
			}
			if log := read(t, filepath.Join(w.dir, c.log)); !strings.Contains(log,
				"Status: successful") {
				t.Errorf("the log does not tell of success:\n%s", log)
			}
		})
	}
}

// TestSkipped builds for an architecture that the source does not support.
func TestSkipped(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.writeSource(t,
		fakedebian.Source{Name: "foreign", Version: "1.0", Packages: []fakedebian.Package{
			{Name: "foreign", Architecture: "s390x"}}})
	o := w.must(t, "build", "-d", "bookworm", dsc)
	if o.stdout != "" || !strings.Contains(o.stderr, "nsbuild: skipped: foreign") {
		t.Error(o)
	}
	if log := read(t, filepath.Join(w.dir, "foreign_1.0_amd64.build")); !strings.Contains(log,
		"Status: skipped") {
		t.Errorf("the log does not say that it was skipped:\n%s", log)
	}
}

// badRules is a debian/rules that does something to its own machine, or fails.
func badRules(commands string) string {
	return "#!/usr/bin/make -f\n%:\n" + commands
}

// TestFailingBuild shows what a user needs to see of a build that fails.
func TestFailingBuild(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.writeSource(t,
		fakedebian.Source{Name: "failing", Version: "1.0",
			Rules: badRules("\tseq 1 40\n\techo the compiler is unhappy\n\texit 7\n")})
	o := w.run(t, "build", "-d", "bookworm", dsc)
	if o.status != 2 {
		t.Errorf("exit status %d, want 2", o.status)
	}
	for _, want := range []string{"the last lines of the log:", "the compiler is unhappy",
		"stage: build\n", "log: " + filepath.Join(w.dir, "failing_1.0_amd64"),
		"nsbuild: Build failure (dpkg-buildpackage died"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("standard error lacks %q", want)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^ +\d+  `).FindAllString(o.stderr, -1)); n != 20 {
		t.Errorf("%d lines of the log were shown, want 20", n)
	}
	if o.stdout != "" {
		t.Error("a build that failed has results")
	}
	if log := read(t, filepath.Join(w.dir, "failing_1.0_amd64.build")); !strings.Contains(log,
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
	w := realWorld(t)
	testenv.HostState(t)
	rules := "#!/usr/bin/make -f\nclean build:\nbinary:\n" +
		"\t(sleep 1111 >/dev/null 2>&1 </dev/null &)\n" +
		"\tsetsid --fork sleep 2222 >/dev/null 2>&1 </dev/null\n" +
		"\tunshare -Urpf sleep 3333 >/dev/null 2>&1 </dev/null & sleep 0.2\n" +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -pstraying -Pdebian/made\n\tdpkg-deb " +
		"--root-owner-group --build debian/made ..\n"
	dsc := w.writeSource(t, fakedebian.Source{Name: "straying", Version: "1.0", Rules: rules})
	o := w.run(t, "build", "-d", "bookworm", "--result=r.json", "--strays=fail", dsc)
	refusal{status: 2, says: []string{"the build left", "processes running"},
		hint: "--strays=warn"}.check(t, o)
	if !strings.Contains(o.stderr, "still running at the end of the build: pid ") ||
		!strings.Contains(o.stderr, ": sleep 2222") {
		t.Error(o)
	}
	w.must(t, "build", "-d", "bookworm", "--result=r.json", dsc)
	log := read(t, filepath.Join(w.dir, "straying_1.0_amd64.build"))
	for _, want := range []string{"Processes left behind", "sleep 1111", "sleep 2222",
		"sleep 3333"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if !strings.Contains(read(t, filepath.Join(w.dir, "r.json")), "sleep 2222") {
		t.Error("the result does not name the strays")
	}
}
