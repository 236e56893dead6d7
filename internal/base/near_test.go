package base

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"bookworm", "trixie", "sid"}
	for name, want := range map[string]string{"bookwrm": "bookworm", "bokworm": "bookworm",
		"trixei": "trixie", "sdi": "", "si": "", "buster": "", "sib": "sid"} {
		if got := nearest(name, names); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
