package dsc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fault"
)

const controlText = `# packaging of hello
Source: hello
Rules-Requires-Root: no
Build-Depends: debhelper-compat (= 13),
# for the tests
 python3 <!nocheck>,

Package: hello
Architecture: any
Depends: ${shlibs:Depends}

Package: hello-doc
Architecture: all
Build-Profiles: <!nodoc> <stage1 cross>

Package: hello-udeb
Package-Type: udeb
Architecture: linux-any hurd-any
`

// tree writes a source directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenTree(t *testing.T) {
	dir := tree(t, map[string]string{"debian/control": controlText, "debian/changelog": entry,
		"debian/source/format": "3.0 (native)\n"})
	tr, err := OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tr.Name != "hello" || tr.Version.String() != "1:2.10-3" || tr.Format != "3.0 (native)" ||
		tr.Changelog.Distribution() != "bookworm-backports" {
		t.Errorf("%+v", tr)
	}
	c := tr.Control
	if got := c.Depends.String(); got != "debhelper-compat (= 13), python3 <!nocheck>" {
		t.Errorf("Build-Depends: %s", got)
	}
	if got := fmt.Sprint(c.Packages); got != "[{hello deb [any] [] } {hello-doc deb [all] "+
		"[[!nodoc] [stage1 cross]] } {hello-udeb udeb [linux-any hurd-any] [] }]" {
		t.Errorf("packages: %s", got)
	}
	if got := strings.Join(c.Architecture(), " "); got != "any all linux-any hurd-any" {
		t.Errorf("Architecture %s", got)
	}
}

func TestOpenTreeErrors(t *testing.T) {
	whole := func(change map[string]string) map[string]string {
		files := map[string]string{"debian/control": controlText, "debian/changelog": entry}
		for name, text := range change {
			files[name] = text
			if text == "" {
				delete(files, name)
			}
		}
		return files
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", map[string]string{"README": "x"},
			"is not a source package: it has no debian/changelog"},
		{"no control", whole(map[string]string{"debian/control": ""}),
			"is not a source package: it has no debian/control"},
		{"two names",
			whole(map[string]string{"debian/control": strings.Replace(controlText, "Source: hello",
				"Source: hallo", 1)}), "debian/changelog is of hello, but debian/control of hallo"},
		{"no package", whole(map[string]string{"debian/control": "Source: hello\n"}),
			"debian/control: describes no binary package"},
		{"no Architecture",
			whole(map[string]string{"debian/control": "Source: hello\n\nPackage: hello\n"}),
			"debian/control:3: field Architecture: is missing, but mandatory"},
		{"relation",
			whole(map[string]string{
				"debian/control": strings.Replace(controlText, "python3 <!nocheck>",
					"python3 <!nocheck", 1)}), "debian/control:6: field Build-Depends"},
		{"profiles",
			whole(map[string]string{
				"debian/control": strings.Replace(controlText, "<!nodoc>", "!nodoc", 1)}),
			"debian/control:14: field Build-Profiles"},
		{"changelog", whole(map[string]string{"debian/changelog": "hello\n"}),
			"debian/changelog:1: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenTree(tree(t, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v\nwant …%s", err, tt.want)
			}
			if fault.KindOf(err) != fault.GivenBack || fault.HintOf(err) == "" {
				t.Errorf("kind %v, hint %q", fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
	if _, err := OpenTree(filepath.Join(t.TempDir(), "none")); err == nil ||
		fault.HintOf(err) == "" {
		t.Error(err)
	}
}

// A source directory's own symbolic links must not make us read, and quote in an error, files of
// the host.
func TestOpenTreeLinkOut(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := tree(t, map[string]string{"debian/changelog": entry})
	if err := os.Symlink(secret, filepath.Join(dir, "debian/control")); err != nil {
		t.Fatal(err)
	}
	_, err := OpenTree(dir)
	if err == nil || strings.Contains(err.Error(), "password") ||
		!strings.Contains(err.Error(), "escapes") {
		t.Error(err)
	}
}

func FuzzParseSourceControl(f *testing.F) {
	f.Add(controlText)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseSourceControl("x", strings.NewReader(text))
		if err == nil && (c.Source == "" || len(c.Packages) == 0) {
			t.Fatalf("%+v", c)
		}
	})
}
