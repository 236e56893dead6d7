package rebuild

import (
	"context"
	"fmt"
	"os"
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

// text is that of a file.
func (w *world) text(file string) string {
	w.t.Helper()
	text, err := os.ReadFile(file)
	w.check(err)
	return string(text)
}

// A .buildinfo says who signed it, where that is known. One whose text was changed since is
// refused before anything is fetched.
func TestSignatures(t *testing.T) {
	w := newWorld(t)
	file := w.info(nothing, 0)
	signed := string(fakedebian.Clearsigned(t, w.text(file), time.Now(),
		fakedebian.KeyOf(t, fakedebian.KeyDeveloper)))
	known := fakedebian.Keyring(t, fakedebian.KeyDeveloper)
	for _, c := range []struct {
		name, text string
		keyring    string
		want       compared.Verdict
		says       string
	}{
		{"known", signed, known, compared.Differs, "good signature by "},
		{"unknown", signed, fakedebian.Keyring(t, fakedebian.KeyOther), compared.Differs,
			"which is in no keyring; not verified"},
		{"wrong", strings.Replace(signed, "gcc (= 12.2)", "gcc (= 12.1)", 1), known,
			compared.Undecided,
			"BAD signature"},
		{"more behind it", signed + "\nSource: other\n", known, compared.Undecided, "is not signed"},
	} {
		w.write(file, c.text)
		report, err := w.run(Request{File: file, Keyrings: []string{c.keyring}})
		said := fmt.Sprint(err, "\n", strings.Join(report.Lines(), "\n"))
		if report.Verdict != c.want || !strings.Contains(said, c.says) {
			t.Errorf("%s: %s: %s", c.name, report.Verdict, said)
		}
		if c.want == compared.Undecided && fault.KindOf(err) != fault.GivenBack {
			t.Errorf("%s: %v", c.name, fault.KindOf(err))
		}
	}
}

// What cannot be built here, or is more than a .buildinfo can be, is no verdict on the package.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	native := machine.Native()
	plain := w.text(w.info(nothing, 0))
	for _, c := range []struct {
		name   string
		change []string
		kind   fault.Kind
		says   []string
		alone  bool // nothing else is said to be missing, and nobody is asked
	}{
		{"another machine", []string{"Build-Architecture: " + native,
			"Build-Architecture: hurd-i386", "Architecture: " + native, "Architecture: hurd-i386"},
			fault.GivenBack, []string{"architecture hurd-i386"}, true},
		{"a cross build", []string{"\nArchitecture: " + native, "\nArchitecture: sparc64"},
			fault.GivenBack, []string{"architecture sparc64", "cross builds"}, true},
		{"a cross build with foreign packages", []string{"\nArchitecture: " + native,
			"\nArchitecture: sparc64", "gcc (= 12.2)", "gcc (= 12.2),\n libc6:sparc64 (= 2)"},
			fault.GivenBack, []string{"architecture sparc64", "cross builds"}, true},
		{"two paragraphs", []string{"Build-Path", "\nBuild-Path"}, fault.GivenBack,
			[]string{"paragraph"}, false},
		{"huge", []string{"Build-Path", "X-Comment: " + strings.Repeat("x", 17<<20) +
			"\nBuild-Path"}, fault.Usage, []string{"hello.buildinfo"}, false},
		{"versions that are nowhere", []string{"gcc (= 12.2)",
			"gcc (= 12.2+b1),\n dpkg-dev (= 1:1.22~local+1),\n virtual (= 1)"}, fault.GivenBack,
			[]string{"gcc 12.2+b1", "dpkg-dev 1:1.22~local+1", "virtual 1"}, false},
		{"escapes", []string{"\nBuild-Path", "\nBuild-Origin: \x1b[2J\nBuild-Path",
			"gcc (= 12.2)", "gcc (= 1\x1b[2J)"}, fault.GivenBack, nil, false},
	} {
		file := w.info(nothing, 0)
		w.write(file, strings.NewReplacer(c.change...).Replace(plain))
		report, err := w.run(Request{File: file})
		said := fmt.Sprint(err, "\n", strings.Join(report.Lines(), "\n"))
		if report.Verdict != compared.Undecided || fault.KindOf(err) != c.kind ||
			report.Build != nil {
			t.Errorf("%s: %s, %v: %.2000s", c.name, report.Verdict, fault.KindOf(err), said)
		}
		if c.alone && (len(report.Missing) != 1 || len(w.mirror.Requests()) > 0) {
			t.Errorf("%s: packages were looked for: %s", c.name, said)
		}
		for _, one := range c.says {
			if !strings.Contains(said, one) {
				t.Errorf("%s: %q is not in: %.2000s", c.name, one, said)
			}
		}
		if strings.ContainsRune(strings.Join(report.Lines(), "\n"), '\x1b') {
			t.Errorf("%s: an escape is shown: %q", c.name, said)
		}
	}
}

// TestOtherDsc: a .buildinfo of a build with its source lists the .dsc. That another one is built
// is told, and no more, since it may just have been signed since then.
func TestOtherDsc(t *testing.T) {
	w := newWorld(t)
	native := machine.Native()
	file := w.info(nothing, 0)
	change := strings.NewReplacer("\nArchitecture: "+native, "\nArchitecture: "+native+" source",
		"Checksums-Sha256:\n", "Checksums-Sha256:\n "+nothing+" 0 hello_2.10-3.dsc\n")
	w.write(file, change.Replace(w.text(file)))
	report, err := w.run(Request{File: file})
	if report.Verdict != compared.Differs || fault.KindOf(err) != fault.Differs {
		t.Errorf("%s: %v", report.Verdict, err)
	}
	w.says(strings.Join(report.Lines(), "\n"), "is not the .dsc that was built, by its hash")
}

// A version of a rebuilt package, as the archive makes them, is another than that of its source.
func TestBinaryVersions(t *testing.T) {
	w := newWorld(t)
	w.suite.Add(pack("gcc", "12.2+b1"))
	w.mirror.Mount("debian", w.archive.Tree())
	report, err := w.run(Request{File: w.info(nothing, 0, "dpkg (= 1.22.13)", "base-files (= 12)",
		"gcc (= 12.2+b1)")})
	if report.Verdict != compared.Differs {
		t.Fatal(err)
	}
	for _, p := range report.Packages {
		if p.Name == "gcc" && p.Version != "12.2+b1" {
			t.Errorf("it was built with gcc %s", p.Version)
		}
	}
}

// Packages that one of the builds has made alone are named, and differ.
func TestOneSided(t *testing.T) {
	w := newWorld(t)
	sum, size, _ := w.made()
	file := w.info(sum, size)
	other := "hello-more_2.10-3_" + machine.Native() + ".deb"
	w.write(file, strings.Replace(w.text(file), "Checksums-Sha256:\n", "Checksums-Sha256:\n "+
		nothing+" 0 "+other+"\n", 1))
	report, err := w.run(Request{File: file})
	if report.Verdict != compared.Differs || fault.KindOf(err) != fault.Differs {
		t.Errorf("%s: %v", report.Verdict, err)
	}
	w.says(strings.Join(report.Lines(), "\n"), other+": missing", ".deb: same")
	build := w.programs["dpkg-buildpackage"]
	w.programs["dpkg-buildpackage"] = func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		text, err := p.ReadFile("debian/control")
		if err == nil {
			err = p.WriteFile("debian/control", string(text)+"\nPackage: added\nArchitecture: any\n"+
				"Description: more\n", 0o644)
		}
		if err != nil {
			return p.Fail(err)
		}
		return build(ctx, p)
	}
	report, err = w.run(Request{File: w.info(sum, size)})
	if report.Verdict != compared.Differs || fault.KindOf(err) != fault.Differs {
		t.Errorf("%s: %v", report.Verdict, err)
	}
	w.says(strings.Join(report.Lines(), "\n"), "added_2.10-3_"+machine.Native()+".deb: added")
}
