package pkgbuild

import (
	"slices"
	"strings"
	"testing"
)

func TestPlainSources(t *testing.T) {
	names := plainSources()
	for _, want := range []string{"lsof", "psmisc", "tar"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %q", want, names)
		}
	}
	for _, name := range names {
		if strings.ContainsAny(name, " #\t") {
			t.Errorf("%q is no name", name)
		}
	}
	r := valid()
	r.PlainSources = append(names, "gtk+3.0")
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}
