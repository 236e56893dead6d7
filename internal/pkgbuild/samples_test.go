package pkgbuild

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/result"
)

// TestSteps has the result say what dpkg-buildpackage went through, also of a build that failed,
// and when each stage began.
func TestSteps(t *testing.T) {
	w := newWorld(t)
	w.replace("dpkg-buildpackage",
		fakejail.Prints(" debian/rules binary\n   dh_auto_build\nno make\n", 2))
	b := w.build(w.source(crane()))
	at, names := 0.0, []string{}
	for _, s := range b.result.Steps {
		names = append(names, s.Name)
		if s.Start < at || s.Seconds < 0 || s.Line == 0 {
			t.Errorf("%+v, after one at %v", s, at)
		}
		at = s.Start
	}
	if diff := cmp.Diff([]string{"debian/rules binary", "dh_auto_build"}, names); diff != "" {
		t.Error(diff)
	}
	at = 0
	for _, s := range b.result.Stages {
		if s.Start < at {
			t.Errorf("%+v, after one at %v", s, at)
		}
		at = s.Start
	}
}

// TestDependencies: what was installed is in the result, also where an earlier build had done it.
func TestDependencies(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	cold, warm := w.build(spec), w.build(spec)
	if cold.result.Inputs.Layer.Cached || !warm.result.Inputs.Layer.Cached {
		t.Fatalf("the layers are %+v and %+v", cold.result.Inputs.Layer, warm.result.Inputs.Layer)
	}
	if len(cold.result.Inputs.Dependencies) == 0 {
		t.Error("nothing was installed")
	}
	byName := cmpopts.SortSlices(func(a, b result.Package) int {
		return strings.Compare(a.Name, b.Name)
	})
	if diff := cmp.Diff(cold.result.Inputs.Dependencies, warm.result.Inputs.Dependencies,
		byName); diff != "" {
		t.Error(diff)
	}
}
