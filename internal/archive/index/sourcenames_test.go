package index

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/aptconf"
)

// TestSourceNames: a list is read once, and then each source where it stands, in each version,
// whatever the order of the fields is.
func TestSourceNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Sources")
	const text = "Package: a\nVersion: 1\nBuild-Depends: x,\n y\n\n" +
		"Version: 2\nPackage: b\n\n\nPackage: a\nVersion: 2\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &sourceList{path: file, label: "here", at: map[string][]int64{}}
	if err := l.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, l.names); diff != "" {
		t.Errorf("the names (-want +got):\n%s", diff)
	}
	repo := &aptconf.Repo{URI: "http://mirror.example"}
	found, err := l.find("a", repo, "main")
	if err != nil {
		t.Fatal(err)
	}
	want := []*SourcePackage{
		{Package: "a", Version: "1", Component: "main"},
		{Package: "a", Version: "2", Component: "main"},
	}
	for _, s := range found {
		if s.Repo != repo {
			t.Errorf("%s is of %v", s.Package, s.Repo)
		}
		s.Repo = nil
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("what is found (-want +got):\n%s", diff)
	}
	if found, err := l.find("c", repo, "main"); len(found) > 0 || err != nil {
		t.Errorf("what is not there: %v, %v", found, err)
	}
	if err := os.WriteFile(file, []byte("Version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&sourceList{path: file, at: map[string][]int64{}}).read(t.Context()); err == nil {
		t.Error("a paragraph without a name is read")
	}
}
