package pkgbuild

import "testing"

func TestBaseName(t *testing.T) {
	for _, c := range []struct{ suite, arch, want string }{
		{"bookworm", "", "bookworm"}, {"bookworm", Arch(), "bookworm"},
		{"bookworm", "s390x", "bookworm-s390x"},
	} {
		if got := BaseName(c.suite, c.arch); got != c.want {
			t.Errorf("%s, %s: %s", c.suite, c.arch, got)
		}
	}
}
