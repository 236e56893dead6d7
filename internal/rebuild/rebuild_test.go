package rebuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/compared"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// A build whose package comes out again is identical, at the path and in the environment of the
// .buildinfo; and again when all of it is in the cache and there is no network.
func TestIdentical(t *testing.T) {
	w := newWorld(t)
	sum, size, _ := w.made()
	build := w.programs["dpkg-buildpackage"]
	w.programs["dpkg-buildpackage"] = func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		w.ran = p.Dir + " " + strings.Join(p.Env, " ") + " " + strings.Join(p.Argv, " ")
		return build(ctx, p)
	}
	w.offline = true
	report, err := w.run(Request{File: w.info(sum, size)})
	if err != nil || report.Verdict != compared.Identical || len(report.Packages) != 3 {
		t.Fatalf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
	}
	w.says(strings.Join(report.Lines(), "\n"), "not signed", "usr-local-has-programs",
		"root: 3 packages, 3 of them from the cache; source: the cache", ".deb: same")
	w.says(w.ran, "/srv/made/here", "DEB_BUILD_OPTIONS=parallel=3", "dpkg-buildpackage", " -B")
	if strings.Contains(w.ran, "LC_ALL") {
		t.Errorf("more in the environment than the .buildinfo says: %s", w.ran)
	}
	for _, c := range w.jails.Calls("Run") {
		if strings.HasPrefix(strings.Join(c.Args, " "), "apt") {
			t.Errorf("something was installed: %s", c.Args)
		}
	}
}

// What differs is told with what differs in it, where the first build's package is there.
func TestDiffers(t *testing.T) {
	w := newWorld(t)
	sum, size, dir := w.made()
	build := w.programs["dpkg-buildpackage"]
	w.programs["dpkg-buildpackage"] = func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		text, err := p.ReadFile("debian/control")
		if err == nil {
			err = p.WriteFile("debian/control", strings.Replace(string(text), "Description: ",
				"Description: other ", 1), 0o644)
		}
		if err != nil {
			return p.Fail(err)
		}
		return build(ctx, p)
	}
	for against, want := range map[string]string{dir: "field", "": "not in "} {
		report, err := w.run(Request{File: w.info(sum, size), Against: against})
		if fault.KindOf(err) != fault.Differs || report.Verdict != compared.Differs {
			t.Fatalf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
		}
		w.says(strings.Join(report.Lines(), "\n"), machine.Native()+".deb: differs", want)
	}
	r := Request{File: w.info(sum, size), Against: dir}
	r.Build.Output = dir
	if _, err := w.run(r); fault.KindOf(err) != fault.Usage {
		t.Errorf("into the place of what is compared: %v", err)
	}
}

// All that is missing is named, and nothing is built.
func TestUndecided(t *testing.T) {
	w := newWorld(t)
	report, err := w.run(Request{File: w.info(nothing, 0, "dpkg (= 1.22.13)", "base-files (= 12)",
		"gcc (= 11)", "nowhere (= 1:2~local)", "libc6:sparc (= 1)")})
	if fault.KindOf(err) != fault.GivenBack || report.Verdict != compared.Undecided ||
		report.Build != nil {
		t.Fatalf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
	}
	w.says(err.Error(), "gcc 11", "nowhere 1:2~local", "libc6:sparc 1")
	w.says(strings.Join(report.Lines(), "\n"), "missing: package gcc 11",
		"missing: package nowhere 1:2~local", "foreign architecture")
}

// A source that is nowhere is missing, as a package is; one that the user names is taken.
func TestSource(t *testing.T) {
	w := newWorld(t)
	file := w.info(nothing, 0)
	text, err := os.ReadFile(file)
	w.check(err)
	w.write(file, strings.ReplaceAll(string(text), "2.10-3", "2.10-4"))
	report, err := w.run(Request{File: file})
	if report.Verdict != compared.Undecided || fault.KindOf(err) != fault.GivenBack {
		t.Fatal(err)
	}
	w.says(err.Error(), "source hello 2.10-4")
	s := crane()
	s.Version = "2.10-4"
	for _, m := range s.Build(t) {
		w.write(filepath.Join(filepath.Dir(file), m.Name), string(m.Data))
	}
	if report, err = w.run(Request{File: file}); report.Verdict != compared.Differs {
		t.Errorf("beside the .buildinfo: %v", err)
	}
	dsc := filepath.Join(w.dir, "else", "hello_2.10-3.dsc")
	s = crane()
	for _, m := range s.Build(t) {
		w.write(filepath.Join(w.dir, "else", m.Name), string(m.Data))
	}
	if _, err = w.run(Request{File: file, Source: dsc}); fault.KindOf(err) != fault.Usage {
		t.Errorf("of another version: %v", err)
	}
	w.write(filepath.Join(w.dir, "else", "hello_2.10.orig.tar.gz"), "changed")
	if report, err = w.run(Request{File: w.info(nothing, 0), Source: dsc}); err == nil ||
		report.Verdict == compared.Identical || report.Verdict == compared.Differs {
		t.Errorf("whose hash differs: %v", err)
	}
}

// A source that needs root, and comes from the suite: the suite is asked for fakeroot, too, which
// no .buildinfo names, though all that this one names is in the cache.
func TestFakeroot(t *testing.T) {
	w := newWorld(t)
	s := crane()
	s.Version = "2.10-4"
	s.Fields = []fakedebian.Field{{Name: "Rules-Requires-Root", Value: "binary-targets"}}
	w.suite.AddSource(s)
	w.suite.Add(pack("dpkg-dev", "1.21.22"), pack("fakeroot", "1.31"), pack("libfakeroot", "1.31"))
	w.mirror.Mount("debian", w.archive.Tree())
	file := w.info(nothing, 0, "dpkg (= 1.22.13)", "base-files (= 12)", "gcc (= 12.2)",
		"dpkg-dev (= 1.21.22)")
	report, err := w.run(Request{File: file}) // which has its packages in the cache
	if report.Verdict != compared.Differs || len(report.Packages) != 4 {
		t.Fatalf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
	}
	text, err := os.ReadFile(file)
	w.check(err)
	w.write(file, strings.ReplaceAll(string(text), "2.10-3", "2.10-4"))
	report, err = w.run(Request{File: file})
	if report.Verdict != compared.Differs || len(report.Packages) != 6 {
		t.Errorf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
	}
}

// A build that fails is neither.
func TestFailed(t *testing.T) {
	w := newWorld(t)
	w.programs["dpkg-buildpackage"] = func(context.Context, *fakejail.Proc) sandbox.Status {
		return fakejail.Exit(2)
	}
	report, err := w.run(Request{File: w.info(nothing, 0)})
	if fault.KindOf(err) != fault.Attempted || report.Verdict != compared.Failed {
		t.Errorf("%s: %v", report.Verdict, err)
	}
}

// Two files of one name and version: the lists of a suite say which, where they have one of them;
// else nothing does.
func TestSeveral(t *testing.T) {
	w := newWorld(t)
	w.made() // which has all of it in the cache
	local := pack("gcc", "12.2")
	local.Files[0].Body = "a local one\n"
	own := w.archive.Suite("own")
	own.Architectures, own.Compressions = w.suite.Architectures, w.suite.Compressions
	own.Add(local)
	w.mirror.Mount("own", w.archive.Tree())
	extra := Request{File: w.info(nothing, 0, "dpkg (= 1.22.13)", "base-files (= 12)",
		"gcc (= 12.2)", "more (= 1)")}
	own.Add(pack("more", "1"))
	w.mirror.Mount("own", w.archive.Tree())
	extra.Build.Repositories = []string{"deb " + w.mirror.URL("own") + " own main"}
	report, err := w.run(extra)
	if report.Verdict != compared.Differs {
		t.Fatalf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
	}
	for _, p := range report.Packages {
		want := "cache"
		if p.Name == "more" {
			want = "own"
		}
		if !strings.Contains(p.From, want) {
			t.Errorf("%s is from %s", p.Name, p.From)
		}
	}
}

// A snapshot has what the suite has no more. It is asked for the moment of the build; its Release
// may have expired.
func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	const built = "20260901T100000Z" // by the .buildinfo
	r := Request{File: w.info(nothing, 0, "dpkg (= 1.22.13)", "base-files (= 12)", "gcc (= 11)"),
		Snapshot: w.mirror.URL("archive/debian/")}
	rebuilt := func(want compared.Verdict, texts ...string) {
		t.Helper()
		w.dir = t.TempDir()
		report, err := w.run(r)
		said := fmt.Sprint(err, "\n", strings.Join(report.Lines(), "\n"))
		if report.Verdict != want {
			t.Fatal(report.Verdict, said)
		}
		w.says(said, texts...)
	}
	rebuilt(compared.Undecided, "package gcc 11", "has no suite of that moment")
	w.snapshot(map[string]*fakedebian.Archive{built: w.past(pack("gcc", "11"))})
	rebuilt(compared.Differs, "Valid-Until")
	w.snapshot(map[string]*fakedebian.Archive{built: w.past(pack("gcc", "11"),
		fakedebian.KeyOf(t, fakedebian.KeyOther))})
	rebuilt(compared.Undecided, "package gcc 11", "not known")
	// a key of its time, that has expired since; and one that had when it signed
	expired := fakedebian.KeyOf(t, fakedebian.KeyPast)
	w.snapshot(map[string]*fakedebian.Archive{built: w.pastOf(time.Date(2022, 5, 4, 0, 0, 0, 0,
		time.UTC), pack("gcc", "11"), expired)})
	rebuilt(compared.Differs, "Valid-Until")
	w.snapshot(map[string]*fakedebian.Archive{built: w.past(pack("gcc", "11"), expired)})
	rebuilt(compared.Undecided, "package gcc 11", "no longer valid")

	// where the day lacks it, the moment when it was seen first has it
	w.snapshot(map[string]*fakedebian.Archive{built: w.past(pack("gcc", "10")),
		"20260101T000000Z": w.past(pack("gcc", "11"))})
	rebuilt(compared.Undecided, "package gcc 11")
	mr := fakedebian.New(t).Tree()
	mr.Write("binary/gcc/11/binfiles", []byte(`{"fileinfo": {"0": [{"archive_name": "debian", `+
		`"first_seen": "20260101T000000Z", "name": "gcc_11.deb"}]}}`))
	w.mirror.Mount("mr", mr)
	rebuilt(compared.Differs)
	mr = mr.Clone()
	mr.Write("binary/gcc/11/binfiles", []byte("<html>"))
	w.mirror.Mount("mr", mr)
	rebuilt(compared.Undecided, "package gcc 11", "something else than JSON")

	w.mirror.Fault("^archive/", fakedebian.Fault{Status: 429})
	rebuilt(compared.Undecided, "package gcc 11", "429")
	r.Snapshot = "snapshot.mirror.example"
	if _, err := w.run(r); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
}
