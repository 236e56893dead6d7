package archive

import (
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
)

func TestTable(t *testing.T) {
	suites, err := parseSuites(suiteTable)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range suites {
		if s.Mirror == "" || len(s.Components) == 0 || len(s.Keyrings) == 0 || s.Security != "" && s.SecurityMirror == "" {
			t.Errorf("incomplete: %+v", s)
		}
		if s.Base != "" {
			if _, err := LookupSuite(s.Base); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestLookupSuite(t *testing.T) {
	for name, want := range map[string]string{
		"bookworm": "bookworm", "Bookworm": "bookworm", "12": "bookworm", "debian:12": "bookworm", "oldstable": "bookworm", "stable": "trixie", "testing": "forky", "unstable": "sid",
		"ubuntu:24.04": "noble", "24.04": "noble", "debian:stable": "trixie", "rc-buggy": "experimental", "stable-backports": "trixie-backports",
		"bookworm-security": "bookworm", "buster/updates": "buster", "stable-updates": "trixie", "trixie-proposed-updates": "trixie-proposed-updates", "noble-proposed": "noble-proposed",
		"bookworm-backports": "bookworm-backports", "bookworm-backports-sloppy": "bookworm-backports-sloppy",
	} {
		if s, err := LookupSuite(name); err != nil || s.Name != want {
			t.Errorf("%s: %s %v", name, s.Name, err)
		}
	}
	for name, hint := range map[string]string{
		"bokworm": "bookworm", "tirxie": "trixie", "trix": "trixie", "unstabel": "unstable", "plan9": "--mirror", "": "--mirror", "debian:noble": "--mirror", "arch:rolling": "debian and ubuntu",
	} {
		_, err := LookupSuite(name)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
	}
	s, err := LookupSuite("squeeze")
	if err != nil || !s.Quirks.Archived || !s.Quirks.NoInRelease || s.MergedUsr || !s.IncludeRequired || s.Mirror != "http://archive.debian.org/debian" {
		t.Errorf("%+v %v", s, err)
	}
	if s, err = LookupSuite("trixie"); err != nil || s.Quirks != (Quirks{}) || !s.MergedUsr || s.IncludeRequired || s.EOL.Year() != 2030 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestParseSuitesRefuses(t *testing.T) {
	for _, bad := range []string{
		"Mirror: x\n", "Suite: a\nQuirks: nonsense\n", "Suite: a\nBuildd: nonsense\n", "Suite: a\nEOL: soon\n", "Suite: a\n\nSuite: b\nAliases: a\n", "Suite\n",
	} {
		if s, err := parseSuites([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestNearest(t *testing.T) {
	if got := nearest("helo", []string{"world", "hello", "help", "helo2", "hello"}, 3); !slices.Equal(got, []string{"hello", "helo2", "help"}) {
		t.Errorf("%q", got)
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xyz", 3}, {"abc", "abcde", 2}, {"kitten", "sitting", 3}} {
		if got := editDistance(test.a, test.b, 3); got != test.want {
			t.Errorf("%s %s: %d", test.a, test.b, got)
		}
	}
	if got := editDistance("abcdef", "uvwxyz", 2); got != 3 {
		t.Errorf("limit: %d", got)
	}
}
