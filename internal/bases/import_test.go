package bases

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/fault"
	"nsbuild/internal/image"
	"nsbuild/internal/machine"
)

// system is a directory with the root of a system.
func system(t *testing.T, packages ...fakedebian.Package) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "system")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	programs.WriteTree(t, dir, packages...)
	return dir
}

// archived is a tar archive of a directory.
func archived(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "x.tar"))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// put writes a file of a tree.
func put(t *testing.T, dir, name, body string) {
	t.Helper()
	file := filepath.Join(dir, name)
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(body), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// imports imports what lies somewhere.
func (w *world) imports(from string, change ...func(*ImportOptions)) (*base.Generation, error) {
	w.t.Helper()
	f, err := os.Open(from)
	w.check(err)
	defer f.Close()
	o := ImportOptions{Name: "mine", From: f, Suite: "crane"}
	for _, c := range change {
		c(&o)
	}
	g, err := w.Import(w.t.Context(), o)
	if err == nil {
		w.t.Cleanup(func() { w.check(g.Close()) })
	}
	return g, err
}

// TestImport makes bases of trees that were made elsewhere, in all forms, and exports one so that
// it can be imported again.
func TestImport(t *testing.T) {
	tool := fakedebian.Package{Name: "tool", Version: "3", Architecture: machine.Native(),
		Files: []fakedebian.File{{Path: "usr/bin/tool", Body: "tool"}}}
	dir := system(t, tool)
	within := filepath.Dir(dir) // which has the system as its only directory
	for _, c := range []struct{ name, from string }{
		{"a directory", dir}, {"an archive", archived(t, dir)},
		{"an archive of the directory above", archived(t, within)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			g, err := w.imports(c.from)
			if err != nil {
				t.Fatal(err)
			}
			if w.has(g, "tool") != "3" || text(g.Tree(), "usr/bin/tool") != "tool" {
				t.Errorf("tool %s", w.has(g, "tool"))
			}
			s, err := w.Suites.Lookup("crane")
			w.check(err)
			want := base.Manifest{Format: base.ManifestVersion, Suite: "crane",
				Distribution: s.Distribution, Arch: "amd64", Variant: "-", Bootstrapper: "import",
				IDs: w.IDs, Created: g.Manifest.Created, Packages: g.Manifest.Packages,
				Digest: g.Manifest.Digest}
			if diff := cmp.Diff(want, g.Manifest); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
			// what a base has and this tree lacked
			if text(g.Tree(), "usr/sbin/policy-rc.d") == "" ||
				!strings.Contains(text(g.Tree(), "etc/passwd"), "\nbuilder:") {
				t.Error("the tree was not completed")
			}
			var out bytes.Buffer
			w.check(w.Export(t.Context(), "mine", &out, image.Tar))
			file := filepath.Join(t.TempDir(), "again.tar")
			w.check(os.WriteFile(file, out.Bytes(), 0o600))
			again, err := w.imports(file, func(o *ImportOptions) { o.Name = "again" })
			if err != nil || again.Manifest.Digest != g.Manifest.Digest || len(
				again.Manifest.Packages) != len(g.Manifest.Packages) {
				t.Errorf("%+v, %v", again, err)
			}
		})
	}
}

// TestNotImported refuses what is no base, and leaves nothing of it.
func TestNotImported(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		options func(*ImportOptions)
		fail    string // a call
		says    string
		hint    string // the beginning of it
		kind    fault.Kind
	}{
		{name: "no status", change: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "var/lib/dpkg/status")); err != nil {
				t.Fatal(err)
			}
		}, says: "it has no installed packages of Debian's", kind: fault.Usage,
			hint: "give the root directory of a Debian system"},
		{name: "an empty status", change: func(t *testing.T, dir string) {
			put(t, dir, "var/lib/dpkg/status", "")
		}, says: "it has no installed packages of Debian's", kind: fault.Usage,
			hint: "give the root directory of a Debian system"},
		{name: "a suite that cannot be told", options: func(o *ImportOptions) { o.Suite = "" },
			says: "neither its sources nor its os-release", kind: fault.Usage,
			hint: "say it with --suite"},
		{name: "a suite that nobody knows", options: func(o *ImportOptions) { o.Suite = "heron" },
			says: "heron", kind: fault.Usage},
		{name: "a name that is none", options: func(o *ImportOptions) {
			o.Name, o.Replace = "../x", true
		}, says: "cannot be the name of a base", kind: fault.Usage, hint: "use letters"},
		{name: "no tree", fail: "MakeRoot", says: broken.Error()},
		{name: "no holder", fail: "Start", says: broken.Error()},
		{name: "no jail", fail: "NewJail", says: broken.Error()},
		{name: "it cannot be unpacked", fail: "Applet", says: broken.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			dir := system(t)
			if c.change != nil {
				c.change(t, dir)
			}
			if c.fail != "" {
				w.fake.Fail = failing(c.fail, broken)
			}
			_, err := w.imports(archived(t, dir), func(o *ImportOptions) {
				if c.options != nil {
					c.options(o)
				}
			})
			if err == nil || !strings.Contains(err.Error(), c.says) ||
				fault.KindOf(err) != c.kind || !strings.HasPrefix(fault.HintOf(err), c.hint) {
				t.Errorf("%v (%s, %d), want %q (%s…)", err, fault.HintOf(err), fault.KindOf(err),
					c.says, c.hint)
			}
			if left := w.left("mine"); left != nil {
				t.Errorf("left: %v", left)
			}
			w.fake.Fail = nil
		})
	}
}

// TestImportExisting refuses a name that is taken, unless the base is to be replaced.
func TestImportExisting(t *testing.T) {
	w := newWorld(t)
	dir := system(t)
	_, err := w.imports(dir)
	w.check(err)
	if _, err := w.imports(dir); fault.KindOf(err) != fault.Usage || !strings.HasPrefix(
		fault.HintOf(err), "nsbuild import --replace mine") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
	g, err := w.imports(dir, func(o *ImportOptions) { o.Replace = true })
	if err != nil || g.Number != 2 {
		t.Errorf("%+v, %v", g, err)
	}
	// one that another process makes meanwhile
	other, err := w.Store.Begin(t.Context(), "theirs", nil)
	w.check(err)
	done := make(chan error)
	go func() {
		_, err := w.imports(dir, func(o *ImportOptions) { o.Name = "theirs" })
		done <- err
	}()
	w.waitFor("another nsbuild is making base theirs")
	w.check(os.Mkdir(other.Tree(), 0o755))
	_, err = other.Commit(base.Manifest{Suite: "crane"})
	w.check(err)
	if err := <-done; fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(),
		"base theirs exists already (generation 1)") {
		t.Errorf("%v", err)
	}
}

// TestSuiteOfTree tells the suite of a tree by its sources, then by its os-release, then by the
// version of base-files.
func TestSuiteOfTree(t *testing.T) {
	const debian = "deb http://mirror.example/debian "
	for _, c := range []struct {
		name  string
		files map[string]string
		suite string // asked for
		want  string
	}{
		{name: "asked for", suite: "trixie", want: "trixie", files: map[string]string{
			"etc/apt/sources.list": debian + "bookworm main\n"}},
		{name: "sources", files: map[string]string{
			"etc/apt/sources.list": debian + "bookworm main\n"}, want: "bookworm"},
		{name: "sources of the new form", files: map[string]string{
			"etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: " +
				"http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main\n"},
			want: "trixie"},
		{name: "a file that apt does not read", files: map[string]string{
			"etc/apt/sources.list.d/old.save": debian + "bookworm main\n",
			"etc/debian_version":              "13.1\n"}, want: "trixie"},
		{name: "a name that moves on", files: map[string]string{
			"etc/apt/sources.list": debian + "stable main\n",
			"etc/os-release":       "VERSION_CODENAME=bookworm\n"}, want: "bookworm"},
		{name: "unstable", files: map[string]string{
			"etc/apt/sources.list": debian + "unstable main\n",
			"etc/os-release":       "VERSION_CODENAME=forky\n"}, want: "sid"},
		{name: "what adds to a suite", files: map[string]string{
			"etc/apt/sources.list": debian + "bookworm-backports main\n" + debian +
				"bookworm main\n"}, want: "bookworm"},
		{name: "os-release", files: map[string]string{
			"usr/lib/os-release": "NAME=\"Debian\"\nVERSION_CODENAME='trixie'\n"}, want: "trixie"},
		{name: "the version", files: map[string]string{"etc/debian_version": "12.5\n"},
			want: "bookworm"},
		{name: "nothing"},
		{name: "of another distribution", files: map[string]string{
			"etc/debian_version": "rolling/release\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			dir := system(t)
			for name, body := range c.files {
				put(t, dir, name, body)
			}
			g, err := w.imports(dir, func(o *ImportOptions) { o.Suite = c.suite })
			if c.want == "" {
				if fault.KindOf(err) != fault.Usage {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || g.Manifest.Suite != c.want {
				t.Errorf("%+v, %v; want %s", g, err, c.want)
			}
		})
	}
	// one that no table has, with its mirror
	w := newWorld(t)
	g, err := w.imports(system(t), func(o *ImportOptions) {
		o.Suite, o.Mirror = "heron", "http://mirror.example/debian"
	})
	if err != nil || g.Manifest.Suite != "heron" || g.Manifest.Mirror == "" {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestExportFails tells why a base cannot be exported.
func TestExportFails(t *testing.T) {
	w := newWorld(t)
	if err := w.Export(t.Context(), "mine", &bytes.Buffer{}, image.Tar); !errors.Is(err,
		base.ErrNone) {
		t.Errorf("%v", err)
	}
	_, err := w.imports(system(t))
	w.check(err)
	w.fake.Fail = failing("Start", errFull)
	if err := w.Export(t.Context(), "mine", &bytes.Buffer{}, image.Tar); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
	w.fake.Fail = failing("Applet", errFull)
	if err := w.Export(t.Context(), "mine", &bytes.Buffer{}, image.Tar); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}
