package lock

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
)

var sum = strings.Repeat("0123456789abcdef", 4)

// sample is a lock with every field.
func sample() *File {
	epoch := time.Date(2026, 11, 21, 9, 15, 44, 0, time.UTC)
	return &File{
		Format: Format, Suite: "bookworm", Arch: "amd64", Variant: "buildd",
		Layout: []string{"required", "usr-is-merged"}, Include: []string{"git"},
		Exclude:    []string{"nano"},
		Components: []string{"main", "contrib"},
		Mirror: []string{`deb [arch=amd64] http://mirror.example/debian bookworm main # "x"\`,
			"/srv/\u00fc\x7f"}, Keyring: "/srv/k.gpg", Unverified: true, Epoch: epoch,
		Repositories: []Repository{
			{URI: "http://mirror.example/debian", Suite: "bookworm", Components: []string{"main"},
				Date: epoch, SHA256: sum, Keys: []string{"0123ABCD"}, Packages: []Package{
					{Name: "apt", Version: "2.6.1", Arch: "amd64", Size: 10, SHA256: sum,
						File: "pool/main/a/apt/apt_2.6.1_amd64.deb"},
					{Name: "base-files", Version: "12.4+deb12u9", Arch: "all", Required: true,
						Size: 20, SHA256: sum, File: "pool/b.deb"},
				}},
			{URI: "file:/srv/more", Suite: "./"},
		},
	}
}

func text(t testing.TB, f *File) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	name := filepath.Join(t.TempDir(), "bookworm.lock")
	d, err := Begin(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(want); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the file is there before it is complete")
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != name || len(got.Digest) != 64 {
		t.Errorf("%q, %q", got.Name, got.Digest)
	}
	want.Name, want.Digest = got.Name, got.Digest
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("it is read as another (-written +read):\n%s", diff)
	}
	if text(t, got) != text(t, want) {
		t.Error("written again, it is another")
	}
	if n := strings.Count(text(t, want), "\n  { name = "); n != 2 {
		t.Errorf("%d lines of packages, want 2", n)
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestWrong: each mistake is named with file, line and field.
func TestWrong(t *testing.T) {
	good := text(t, sample())
	line := func(part string) string {
		before, _, ok := strings.Cut(good, part)
		if !ok {
			t.Fatalf("the sample has no %q", part)
		}
		return fmt.Sprintf("f:%d: ", 1+strings.Count(before, "\n"))
	}
	for _, c := range []struct{ old, new, says string }{
		{"format = 1", "format = 2", "f:3: format: it is 2; this nsbuild reads format 1"},
		{"format = 1\n", "", "f:1: format: it is missing"},
		{"format = 1", "format = \"1\"", "f:3: "},
		{`suite = "bookworm"` + "\narch", `suite = "book worm"` + "\narch", "f:4: suite: "},
		{`suite = "bookworm"` + "\narch", `sweet = "bookworm"` + "\narch",
			"f:4: sweet: unknown field"},
		{`architecture = "amd64"` + "\nvariant", `variant`, "f:1: architecture: "},
		{"epoch = 2026-11-21T09:15:44Z", "epoch = 7", line("epoch = ") + "epoch: it is no date"},
		{"epoch = 2026-11-21T09:15:44Z", "", "f:1: epoch: it is missing"},
		{"http://mirror.example/debian\"\nsuite", "ftp://mirror.example/debian\"\nsuite",
			line("uri = \"http") + "repository.0.uri: "},
		{"http://mirror.example/debian\"\nsuite", "http://me:pw@mirror.example/debian\"\nsuite",
			line("uri = \"http") + "repository.0.uri: "},
		{`suite = "./"`, `suite = "../x"`, line(`suite = "./"`) + "repository.1.suite: "},
		{"size = 20", "size = -1",
			line("size = 20") + "repository.0.packages.1.size: package base-files: "},
		{"size = 20", "size = \"a\"", line("size = 20")},
		{"size = 20, ", "", line("size = 20") + "repository.0.packages.1.size: "},
		{"size = 20, sha256 = \"0", "size = 20, sha256 = \"g",
			line("size = 20") + "repository.0.packages.1.sha256: package base-files: "},
		{"size = 20, ", "size = 20, color = 1, ", line("size = 20")},
		{`"base-files"`, `"apt"`,
			line("size = 20") + "repository.0.packages.1.name: package apt is there twice"},
		{`"base-files"`, `"base/files"`, line("size = 20") + "repository.0.packages.1.name: "},
		{`"12.4+deb12u9"`, `"12 4"`, line("size = 20") + "repository.0.packages.1.version: "},
		{`architecture = "all"`, `architecture = "i386"`,
			line("size = 20") + "repository.0.packages.1.architecture: "},
		{`"pool/b.deb"`, `"pool/../../b.deb"`,
			line("size = 20") + "repository.0.packages.1.file: "},
		{`"pool/b.deb"`, `"/pool/b.deb"`, line("size = 20") + "repository.0.packages.1.file: "},
		{"packages = [", "packages = [[", "f:28: "},
		{"\n[[repository]]", "\n[[repository]", line("[[repository]]")},
		{`components = ["main"]`, `components = "main"`, line(`components = ["main"]`)},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("the sample has no %q", c.old)
		}
		_, err := parse("f", []byte(strings.Replace(good, c.old, c.new, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%q for %q:\n%v\nwant %s", c.new, c.old, err, c.says)
		}
		if err != nil && (fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "") {
			t.Errorf("%v: kind %v, hint %q", err, fault.KindOf(err), fault.HintOf(err))
		}
	}
	empty, _, _ := strings.Cut(good, "\n[[")
	for in, says := range map[string]string{"": "f:1: format", "\x7fELF": "f:1: ",
		empty: "f:1: repository: there is none",
		empty + "\n[[repository]]\nuri = \"file:/x\"\nsuite = \"x\"\n": ": repository: there is no package"} {
		if _, err := parse("f", []byte(in)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", in, err, says)
		}
	}
}

func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "nosuch", "x.lock")} {
		if _, err := Begin(name); fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "nosuch")); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
	if _, err := Begin(filepath.Join(dir, "x.lock")); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestKilledWriter finds what a process left that was killed while it wrote, and a file that
// another is about to name: the next one deletes the first only, and has nothing there itself
// before it writes.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.lock")
	other := &Draft{name: name}
	killed, err := other.create()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Close(); err != nil { // as its process ends
		t.Fatal(err)
	}
	alive, err := other.create()
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, ".x.lock-notes")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	here := func(when string, want ...string) {
		t.Helper()
		var names []string
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, filepath.Join(dir, e.Name()))
		}
		slices.Sort(want)
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%s there are %q, %v", when, names, err)
		}
	}
	d, err := Begin(name)
	if err != nil {
		t.Fatal(err)
	}
	here("at the beginning", mine, alive.Name())
	if err := d.Write(sample()); err != nil {
		t.Fatal(err)
	}
	here("before it is complete", mine, alive.Name())
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	here("at the end", mine, alive.Name(), name)
	if _, err := Read(name); err != nil {
		t.Error(err)
	}
	if err := alive.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzParse: what is read, written and read again is the same, and what is wrong has a line of the
// file.
func FuzzParse(f *testing.F) {
	good := text(f, sample())
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, "size = 20", "size = -1", 1)))
	f.Add([]byte("format = 1\nsuite.x = {a.b = [1, {c = 2}]}\n[repository]\n[[a.b]]\n[a.b.c]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for field, at := range lines(data) {
			if at.line < 1 || at.line > 1+bytes.Count(data, []byte("\n")) {
				t.Errorf("%s stands on line %d", field, at.line)
			}
		}
		got, err := parse("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") ||
				strings.Contains(strings.SplitN(err.Error(), " ", 2)[0], "-") {
				t.Error(err)
			}
			return
		}
		again, err := parse("f", []byte(text(t, got)))
		if err != nil {
			t.Fatal(err)
		}
		if text(t, again) != text(t, got) {
			t.Errorf("%+v\n%+v", got, again)
		}
		for _, r := range got.Repositories {
			for _, p := range r.Packages {
				if strings.Contains("/"+p.File+"/", "/../") || p.Size <= 0 ||
					strings.ContainsAny(p.Name+p.Version+p.Arch, "/ \n") {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}
