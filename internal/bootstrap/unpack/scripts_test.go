package unpack

import (
	"os"
	"path/filepath"
	"testing"
)

// A preinst that removes files or diverts another package's makes the order matter, so that dpkg
// has to unpack.
func TestDisturbed(t *testing.T) {
	root := t.TempDir()
	put := func(p, body string) {
		t.Helper()
		p = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		got, err := disturbed(root, []Preinst{{Package: "a", Info: "a:amd64"}})
		if err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	put(infoDir+"/a:amd64.list", "/.\n/bin/a\n")
	put(infoDir+"/b.list", "/.\n/bin/b\n")
	put("/bin/a", "")
	check("")
	put(adminDir+"/diversions", "/bin/a\n/bin/a.distrib\na\n")
	check("") // one's own file is not diverted by one's own diversion
	put(adminDir+"/diversions", "/bin/a\n/bin/a.distrib\na\n/bin/b\n/bin/b.distrib\na\n")
	check("/bin/b of b is diverted by a")
	if err := os.Remove(filepath.Join(root, "bin/a")); err != nil {
		t.Fatal(err)
	}
	check("the preinst of a removed /bin/a")
}
