package pkgbuild

import (
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
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
	o := Options{PlainSources: append(names, "gtk+3.0")}
	if err := o.CheckPlain(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "a b", "Tar", "../x"} {
		o := Options{PlainSources: []string{bad}}
		if err := o.CheckPlain(); fault.KindOf(err) != fault.Usage || err == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
