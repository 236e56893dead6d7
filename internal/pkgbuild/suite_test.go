package pkgbuild

import (
	"testing"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
)

// TestSuite looks at what a suite has for builds: sources and packages.
func TestSuite(t *testing.T) {
	w := newWorld(t)
	w.suite.AddSource(fakedebian.Source{Name: "heron", BuildDepends: "libcrane-dev"},
		fakedebian.Source{Name: "egret"})
	w.publish()
	e := w.open(t.Context())
	defer e.end()
	s, err := e.Suite(t.Context(), w.request(""))
	w.check(err)
	var names []string
	for _, o := range s.Sources {
		names = append(names, o.Package)
	}
	if len(names) != 2 || names[0] != "egret" || names[1] != "heron" {
		t.Errorf("sources: %q", names)
	}
	if s.Sources[1].BuildDepends != "libcrane-dev" || !s.FirstOnly || s.Name != suiteName {
		t.Errorf("%+v, %+v", s, s.Sources[1])
	}
	found := false
	w.check(s.Binaries(t.Context(), func(p *index.Package) error {
		found = found || p.Package == "libcrane-dev"
		return nil
	}))
	if !found {
		t.Error("a package is not there")
	}
}
