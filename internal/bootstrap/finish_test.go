package bootstrap

import (
	"path"
	"strings"
	"testing"

	"nsbuild/internal/bootstrap/unpack"
)

// TestAnswers: the tree's debconf knows what man-db asks, where there is a debconf at all.
// TestShippedChecks of internal/e2e/checks has man-db read it.
func TestAnswers(t *testing.T) {
	files := func(c choice) (all []unpack.File) {
		for _, f := range (&job{plan: c}).prepared().Files {
			if strings.HasPrefix(f.Path, "/var/cache/debconf/") {
				all = append(all, f)
			}
		}
		return all
	}
	if got := files(choice{required: []string{"dpkg"}, base: []string{"apt"}}); len(got) > 0 {
		t.Errorf("without debconf: %v", got)
	}
	for _, c := range []choice{{required: []string{"debconf"}}, {base: []string{"debconf"}}} {
		got := files(c)
		if len(got) != 2 {
			t.Fatalf("%v: %v", c, got)
		}
		for _, f := range got {
			// A name, the rest of its paragraph, and an empty line: the File driver of debconf.
			if !strings.HasPrefix(f.Body, "Name: man-db/auto-update\n") ||
				!strings.HasSuffix(f.Body, "\n\n") {
				t.Errorf("%s: %q", f.Path, f.Body)
			}
			if path.Base(f.Path) == "config.dat" && !strings.Contains(f.Body, "\nValue: false\n") {
				t.Errorf("%s: %q", f.Path, f.Body)
			}
		}
	}
}
