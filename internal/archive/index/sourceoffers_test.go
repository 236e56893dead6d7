package index_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/fakedebian"
)

// TestNewestSources reads a list of sources: of two versions the newer one, fields that go on in
// further lines as one, and none that is there for others' sake.
func TestNewestSources(t *testing.T) {
	m := archivetest.New(t, func(s *fakedebian.Suite) {
		s.AddSource(fakedebian.Source{Name: "beta", Version: "2:1.0-1", Section: "libs",
			BuildDepends: "debhelper (>= 12),\nlibalpha-dev | alpha", BuildDependsIndep: "doc",
			Packages: []fakedebian.Package{{Name: "libbeta1"}, {Name: "libbeta-dev"}},
			Fields:   []fakedebian.Field{{Name: "Testsuite", Value: "autopkgtest"}}},
			fakedebian.Source{Name: "only", Fields: []fakedebian.Field{
				{Name: "Extra-Source-Only", Value: "yes"}}})
	})
	c := m.Client()
	r, err := c.Release(t.Context(), m.Repo)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.NewestSources(t.Context(), []*release.File{r})
	if err != nil {
		t.Fatal(err)
	}
	want := []*index.SourceOffer{
		{Package: "alpha", Version: "1.0-2~rc1", Section: "misc",
			Binary: "alpha", Component: "main"},
		{Package: "alpine", Version: "1.0-1", Section: "misc",
			Binary: "alpine", Component: "main"},
		{Package: "beta", Version: "2:1.0-1", Section: "libs",
			Binary: "libbeta1, libbeta-dev", Component: "main", Testsuite: "autopkgtest",
			BuildDepends: "debhelper (>= 12), libalpha-dev | alpha", BuildDependsIndep: "doc"},
	}
	ignored := cmpopts.IgnoreFields(index.SourceOffer{}, "Repo", "Architecture", "PackageList")
	if diff := cmp.Diff(want, got, ignored); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if b := got[2].Binaries(); !cmp.Equal(b, []string{"libbeta1", "libbeta-dev"}) {
		t.Errorf("binaries: %q", b)
	}
}
