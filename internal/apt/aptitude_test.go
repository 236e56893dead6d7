package apt

import (
	"slices"
	"testing"
)

func TestParseInst(t *testing.T) {
	text := `Reading package lists...
The following NEW packages will be installed:
  debhelper
Would download/install/remove packages.
Inst debhelper (13.23~bpo12+1 Debian Backports:stable-backports [all])
Inst libc6 [2.36-9] (1:2.36-10 Debian:12.1/stable, Debian-Security:12/stable-security [amd64])
Inst libfoo:i386 (1.0_1 [i386]) []
Conf debhelper (13.23~bpo12+1 Debian Backports:stable-backports [all])
`
	var got []string
	for _, w := range parseInst(text) {
		got = append(got, w.Name)
	}
	want := []string{"debhelper_13.23~bpo12+1_all.deb", "libc6_1%3a2.36-10_amd64.deb",
		"libfoo_1.0%5f1_i386.deb"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
