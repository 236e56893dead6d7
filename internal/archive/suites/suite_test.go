package suites

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
)

func TestTable(t *testing.T) {
	suites, err := readSuites(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range suites {
		if s.Mirror == "" || len(s.Components) == 0 || len(s.Keyrings) == 0 || s.Security != "" &&
			s.SecurityMirror == "" {
			t.Errorf("incomplete: %+v", s)
		}
		if s.Base != "" {
			base, err := New().Lookup(s.Base)
			if err != nil || base.MergedUsr != s.MergedUsr ||
				base.IncludeRequired != s.IncludeRequired || base.UsrIsMerged != s.UsrIsMerged {
				t.Errorf("%s is not made as %s, to which it only adds: %v", s.Name, s.Base, err)
			}
		}
	}
}

func TestLookupSuite(t *testing.T) {
	for name, want := range map[string]string{
		"bookworm": "bookworm", "Bookworm": "bookworm", "12": "bookworm", "debian:12": "bookworm",
		"oldstable": "bookworm", "stable": "trixie", "testing": "forky", "unstable": "sid",
		"ubuntu:24.04": "noble", "24.04": "noble", "debian:stable": "trixie",
		"rc-buggy": "experimental", "stable-backports": "trixie-backports",
		"bookworm-security": "bookworm", "buster/updates": "buster", "stable-updates": "trixie",
		"trixie-proposed-updates": "trixie-proposed-updates", "noble-proposed": "noble-proposed",
		"bookworm-backports":        "bookworm-backports",
		"bookworm-backports-sloppy": "bookworm-backports-sloppy",
	} {
		if s, err := New().Lookup(name); err != nil || s.Name != want {
			t.Errorf("%s: %s %v", name, s.Name, err)
		}
	}
	for name, hint := range map[string]string{
		"bokworm": "bookworm", "tirxie": "trixie", "trix": "trixie", "unstabel": "unstable",
		"plan9": "--mirror", "": "--mirror", "debian:noble": "--mirror",
		"arch:rolling": "debian and ubuntu",
	} {
		_, err := New().Lookup(name)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
	}
	s, err := New().Lookup("squeeze")
	if err != nil || !s.Quirks.Archived || !s.Quirks.NoInRelease || s.MergedUsr || !s.SplitUsr ||
		!s.IncludeRequired || s.Mirror != "http://archive.debian.org/debian" {
		t.Errorf("%+v %v", s, err)
	}
	if s, err = New().Lookup("trixie"); err != nil || s.Quirks != (Quirks{}) || !s.MergedUsr ||
		s.IncludeRequired || s.EOL.Year() != 2030 {
		t.Errorf("%+v %v", s, err)
	}
}

// TestOwnSuites reads files of a machine's and a user's.
func TestOwnSuites(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	machine := write("machine", "# ours\nSuite: bookworm\nMirror: "+
		"http://mirror.example/debian\n\nSuite: crane\nLike: bullseye\nMirror: "+
		"http://mirror.example/birds\nKeyrings: /etc/birds.gpg\n")
	user := write("user", "Suite: crane\nAliases: birds\nEOL: 2030-01-01\n")
	suites, err := readSuites([]string{filepath.Join(dir, "none"), machine, user})
	if err != nil {
		t.Fatal(err)
	}
	find := func(name string) Suite {
		i := slices.IndexFunc(suites, func(s Suite) bool { return s.Name == name })
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		return suites[i]
	}
	if s := find("crane"); s.Mirror != "http://mirror.example/birds" || !s.IncludeRequired ||
		s.MergedUsr || s.Distribution != "crane" || !slices.Equal(s.Aliases, []string{"birds"}) ||
		!slices.Equal(s.Keyrings, []string{"/etc/birds.gpg"}) ||
		!slices.Equal(s.Components, []string{"main"}) || s.EOL.Year() != 2030 {
		t.Errorf("%+v", s)
	}
	if s := find("bookworm"); s.Mirror != "http://mirror.example/debian" || !s.OwnMirror ||
		!s.UsrIsMerged || s.Security != "bookworm-security" || s.SecurityMirror == "" {
		t.Errorf("%+v", s)
	}
	if s := find("trixie"); s.OwnMirror {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{
		"Mirror: x\n", "Suite: a\nMirror: x\nQuirks: nonsense\n",
		"Suite: a\nMirror: x\nBuildd: nonsense\n", "Suite: a\nMirror: x\nEOL: soon\n", "Suite\n",
		"Suite: a\n",
		"Suite: a\nDistribution: d\nMirror: x\n\nSuite: b\nDistribution: d\nMirror: x\nAliases: a\n", "Suite: a\nMirror: x\nLike: nothing\n", "Suite: a\nMirror: x\nMiror: y\n",
	} {
		file := write("bad", bad)
		before, err := readSuites([]string{file})
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), file) ||
			len(before) < 20 {
			t.Errorf("%q: %d suites, %v", bad, len(before), err)
		}
	}
}
