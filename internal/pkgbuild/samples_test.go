package pkgbuild

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakejail"
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
