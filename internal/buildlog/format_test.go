package buildlog

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sbuilds reads a log that sbuild wrote (shortened, with neutral names).
func sbuilds(t *testing.T, name string) *Parsed {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var greet = Header{Program: "nsbuild 0.1 (log format of sbuild 0.89)", Host: "builder",
	Package: "greet", Version: "1.0", SourceVersion: "1.0", Distribution: "bookworm",
	MachineArch: "amd64",
	HostArch:    "amd64", BuildArch: "amd64", BuildType: "binary", Start: clock(),
	Extra: []Field{{"Isolation", "user namespaces, ids from 100000"}, {"Scratch", "tmpfs"}}}

// compilation is what dpkg-buildpackage prints in the real logs.
const compilation = "Command: dpkg-buildpackage --sanitize-env -us -uc -b\ndpkg-buildpackage: " +
	"info: source package greet\ndpkg-buildpackage: info: source version 1.0\n" +
	"dpkg-buildpackage: info: source distribution unstable\ndpkg-buildpackage: info: source " +
	"changed by A B <a@example.org>\n dpkg-source --before-build .\n" +
	"dpkg-buildpackage: info: host architecture amd64\n debian/rules clean\n debian/rules binary\n" +
	"gcc -Wdate-time -D_FORTIFY_SOURCE=2 -g -O2 " +
	"-ffile-prefix-map=/build/reproducible-path/greet-1.0=. -fstack-protector-strong -Wformat " +
	"-Werror=format-security -c -o greet.o greet.c\n" +
	"gcc -Wl,-z,relro -o greet greet.o\n"

// writeGreet writes the log of a build as internal/pkgbuild does.
func writeGreet(l *Log, filter bool) {
	l.Header(greet)
	l.Section("Update chroot")
	l.Printf("Base bookworm, generation 3: up to date")
	l.Section("Fetch source files")
	l.Subsection("Local sources")
	l.Printf("/home/user/greet_1.0.dsc exists in /home/user; copying to chroot")
	if filter {
		l.Filter("/build/reproducible-path/greet-1.0", NamePackage)
		l.Filter("/build/reproducible-path", NameBuild)
	}
	l.Section("Install package build dependencies")
	l.Subsection("Setup apt archive")
	l.Printf("Merged Build-Depends: debhelper-compat (= 13), build-essential")
	l.Printf("Filtered Build-Depends: debhelper-compat (= 13), build-essential")
	l.Section("Check architectures")
	l.Printf("Arch check ok (amd64 included in any)")
	l.Section("Build environment")
	l.Printf("Kernel: Linux 6.1 amd64 (x86_64)\nToolchain package versions: " +
		"dpkg-dev_1.21.22\nPackage versions: adduser_3.134")
	l.Section("Build")
	l.Subsection("Unpack source")
	l.Printf("dpkg-source: info: extracting greet in /build/reproducible-path/greet-1.0")
	l.Subsection("Check disk space")
	l.Printf("Sufficient free space for build")
	l.Subsection("User Environment")
	l.Printf("HOME=/sbuild-nonexistent\nLC_ALL=C.UTF-8")
	l.Subsection("dpkg-buildpackage")
	write(l, compilation)
}

func greetSummary(status Status) Summary {
	return Summary{Header: greet, Job: "/home/user/greet_1.0.dsc", Status: status, Space: 96,
		BuildTime: 2 * time.Second, InstallTime: 5*time.Second + 900*time.Millisecond,
		PackageTime: time.Hour + 2*time.Minute + 3*time.Second, Finished: clock().Add(time.Minute)}
}

func successful(l *Log) {
	writeGreet(l, true)
	l.BuildFinished(clock(), true)
	l.Section("Changes")
	l.Subsection("greet_1.0_amd64.changes:")
	l.Printf("Format: 1.8")
	l.Section("Buildinfo")
	l.Printf("Format: 1.0")
	l.Section("Package contents")
	l.Subsection("greet_1.0_amd64.deb")
	l.Printf(" new Debian package, version 2.0.\n")
	l.Section("Post Build")
	l.Section("Cleanup")
	l.Printf("Purging /build/reproducible-path\nNot cleaning session: cloned chroot in use")
	s := greetSummary(Successful)
	s.Own = []Field{{"Strays", "0"}, {"Dependency-Layer", "cached"}}
	l.Summary(s)
}

func failing(l *Log) {
	writeGreet(l, false)
	l.BuildFinished(clock(), false)
	l.Section("Cleanup")
	s := greetSummary(Attempted)
	s.FailStage, s.Error, s.Space = StageBuild, BuildFailure(2, 0), -1
	l.Summary(s)
}

func TestGolden(t *testing.T) {
	for name, use := range map[string]func(*Log){"greet.build": successful,
		"greet-failed.build": failing} {
		got := output(Options{}, use)
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; got:\n%s", name, got)
		}
	}
}

func titles(p *Parsed) string {
	var out []string
	for _, s := range p.Sections {
		out = append(out, s.Title)
	}
	return strings.Join(out, ", ")
}

func names(fields []Field) string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return strings.Join(out, ", ")
}

// without leaves out fields of ours.
func without(fields []Field, own ...string) []Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f Field) bool {
		return slices.Contains(own, f.Name)
	})
}

// What a reader finds in our log is what it finds in sbuild's of the same build.
func TestStructureIsSbuilds(t *testing.T) {
	for _, tt := range []struct {
		real  string
		ours  func(*Log)
		equal bool // our log is filtered as the real one is
	}{{"sbuild-0.89-filtered.build", successful, true}, {"sbuild-0.89.build", successful, false},
		{"sbuild-0.85.build", successful, false}, {"sbuild-0.89-failed.build", failing, false}} {
		t.Run(tt.real, func(t *testing.T) {
			want := sbuilds(t, tt.real)
			got, err := Read(strings.NewReader(output(Options{}, tt.ours)))
			if err != nil {
				t.Fatal(err)
			}
			if titles(got) != titles(want) {
				t.Errorf("sections: %s\nsbuild's: %s", titles(got), titles(want))
			}
			if g, w := names(without(got.Header, "Isolation", "Scratch")),
				names(want.Header); g != w {
				t.Errorf("header: %s\nsbuild's: %s", g, w)
			}
			if g, w := names(without(got.Summary, "Strays", "Dependency-Layer")),
				names(want.Summary); g != w {
				t.Errorf("summary: %s\nsbuild's: %s", g, w)
			}
			if Get(got.Summary, "Status") != Get(want.Summary, "Status") ||
				Get(got.Summary, "Fail-Stage") != Get(want.Summary, "Fail-Stage") {
				t.Errorf("status %v, sbuild's %v", got.Summary, want.Summary)
			}
			if strings.Contains(tt.real, "failed") {
				if len(want.Errors) != 1 || len(got.Errors) != 1 ||
					got.Errors[0].Text != want.Errors[0].Text {
					t.Errorf("errors %v, sbuild's %v", got.Errors, want.Errors)
				}
			} else if got.Title != want.Title {
				t.Errorf("title %q, sbuild's %q", got.Title, want.Title)
			}
			if tt.equal &&
				(len(want.Filters) != 4 || fmt.Sprint(got.Filters) != fmt.Sprint(
					want.Filters[2:])) {
				t.Errorf("filters %v, sbuild's %v", got.Filters, want.Filters)
			}
			for _, p := range []*Parsed{got, want} {
				if p.Start.IsZero() || p.Finished.IsZero() || p.Needed == 0 {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

func TestReadBack(t *testing.T) {
	p, err := Read(strings.NewReader(output(Options{}, successful)))
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "greet 1.0 (amd64)" || !p.Start.Equal(clock()) || p.SpaceKiB != 96 ||
		p.Needed != time.Hour+2*time.Minute+3*time.Second ||
		!p.Finished.Equal(clock().Add(time.Minute)) {
		t.Errorf("%+v", p)
	}
	if Get(p.Header, "Isolation") != "user namespaces, ids from 100000" ||
		Get(p.Summary, "Install-Time") != "5" || Get(p.Summary, "Strays") != "0" {
		t.Errorf("%+v", p)
	}
	build := p.Sections[5]
	if got := strings.Join(build.Subsections,
		", "); got != "Unpack source, Check disk space, User Environment, dpkg-buildpackage, Finished" {
		t.Errorf("subsections %s", got)
	}
	if p, err = Read(strings.NewReader(output(Options{}, failing))); err != nil ||
		p.SpaceKiB != -1 || Get(p.Summary, "Build-Space") != "n/a" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Read(strings.NewReader("nothing\n")); err == nil {
		t.Error("a text without title is taken as a log")
	}
}

// Titles longer than a box widen it.
func TestWideTitle(t *testing.T) {
	h := greet
	h.Package = strings.Repeat("long", 20)
	got := output(Options{}, func(l *Log) { l.Header(h) })
	lines := strings.Split(got, "\n")
	if len(lines[2]) != len(lines[3]) || lines[2] != lines[4] || len(lines[2]) <= 80 {
		t.Errorf("%s", got)
	}
}

// A value cannot end its line and so pretend to be another field.
func TestNoInjection(t *testing.T) {
	s := greetSummary(Failed)
	s.Job, s.Error = "x\nStatus: successful", "a\nStatus: successful"
	p, err := Read(
		strings.NewReader(output(Options{}, func(l *Log) { l.Header(greet); l.Summary(s) })))
	if err != nil || Get(p.Summary, "Status") != "failed" ||
		!strings.HasPrefix(Get(p.Summary, "Job"), "x ") {
		t.Errorf("%+v, %v", p, err)
	}
}

// blhc, which reads logs of Debian's build daemons, must see the same in ours as in sbuild's: the
// compiler's command lines, the architecture, the dependencies.
func TestBlhc(t *testing.T) {
	testenv.RequireTool(t, "blhc")
	ours := filepath.Join(t.TempDir(), "greet.build")
	if err := os.WriteFile(ours, []byte(output(Options{}, successful)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(path string) (string, int) {
		cmd := exec.Command("blhc", "--all", "--debian", path)
		var b bytes.Buffer
		cmd.Stdout, cmd.Stderr = &b, &b
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return b.String(), cmd.ProcessState.ExitCode()
	}
	got, exit := run(ours)
	// Flags are missing in both: the package is compiled with less than --all asks for. What
	// matters is that the command lines were found.
	if !strings.Contains(got, "missing (") || exit&8 == 0 {
		t.Errorf("blhc of our log, exit status %d:\n%s", exit, got)
	}
	for _, name := range []string{"sbuild-0.89.build", "sbuild-0.85.build"} {
		want, wantExit := run(filepath.Join("testdata", name))
		if kinds(got) != kinds(want) || exit != wantExit {
			t.Errorf("blhc of our log, exit status %d:\n%s\nof %s, exit status %d:\n%s", exit, got,
				name, wantExit, want)
		}
	}
}

// kinds are the complaints of blhc without the command lines.
func kinds(out string) string {
	var kinds []string
	for line := range strings.Lines(out) {
		if kind, _, ok := strings.Cut(line, ": "); ok && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, "\n")
}

func FuzzRead(f *testing.F) {
	f.Add(output(Options{}, successful))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Read(strings.NewReader(text))
		if err == nil && p.Title == "" {
			t.Fatal("a log without title")
		}
	})
}
