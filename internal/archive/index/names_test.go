package index

import (
	"testing"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/release"
)

// TestSeparateAll: an archive with an index of its own for Architecture: all.
func TestSeparateAll(t *testing.T) {
	const text = "Architectures: all amd64\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n"
	st, err := release.Parse([]byte(text), false)
	if err != nil {
		t.Fatal(err)
	}
	if got := packagesNames(aptconf.Repo{Suite: "x"}, st, []string{"main"}, []string{"amd64"}); len(
		got) != 2 || got[1] != "main/binary-all/Packages" {
		t.Errorf("%q", got)
	}
	if st, err = release.Parse([]byte(text+"No-Support-for-Architecture-all: Packages\n"),
		false); err != nil {
		t.Fatal(err)
	}
	if got := packagesNames(aptconf.Repo{Suite: "x"}, st, []string{"main"}, []string{"amd64"}); len(
		got) != 1 {
		t.Errorf("%q", got)
	}
}
