package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	if got := Names("helo", []string{"world", "hello", "help", "helo2", "hello"},
		3); !slices.Equal(got, []string{"hello", "helo2", "help"}) {
		t.Errorf("%q", got)
	}
	// Few letters are still forgiven one slip, and the beginning of a name stands for it.
	names := []string{"bookworm", "trixie", "sid"}
	for name, want := range map[string]string{"bookwrm": "bookworm", "bokworm": "bookworm",
		"trixei": "trixie", "sdi": "sid", "si": "sid", "buster": "", "sib": "sid",
		"book": "bookworm", "xx": ""} {
		if got := Names(name, names, 1); strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xyz", 3}, {"abc", "abcde", 2},
		{"kitten", "sitting", 3}} {
		if got := Distance(test.a, test.b, 3); got != test.want {
			t.Errorf("%s %s: %d", test.a, test.b, got)
		}
	}
	if got := Distance("abcdef", "uvwxyz", 2); got != 3 {
		t.Errorf("limit: %d", got)
	}
}
