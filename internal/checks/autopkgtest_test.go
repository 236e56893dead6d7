package checks

import (
	"strings"
	"testing"
)

// TestLeftOut: Architecture in debian/tests/control, as autopkgtest 6.0 takes it.
func TestLeftOut(t *testing.T) {
	for list, want := range map[string]string{
		"": "", "any": "", "amd64": "", "arm64 amd64": "", "linux-any": "", "any-amd64": "",
		"!s390x": "", "!s390x !i386": "", "!any-i386": "",
		"s390x": "not for amd64", "arm64 i386": "not for amd64", "kfreebsd-any": "not for amd64",
		"!amd64": "not for amd64", "!s390x !amd64": "not for amd64", "!linux-any": "not for amd64",
		"all": "not allowed", "!all": "not allowed", "amd64 !s390x": "exclamation mark",
		"!s390x amd64": "exclamation mark",
	} {
		if got := leftOut("amd64", strings.Fields(list)); !strings.Contains(got, want) ||
			want == "" && got != "" {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}
