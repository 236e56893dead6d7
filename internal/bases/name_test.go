package bases

import (
	"testing"

	"nsbuild/internal/machine"
)

func TestBaseName(t *testing.T) {
	for _, c := range []struct{ suite, arch, want string }{
		{"bookworm", "", "bookworm"}, {"bookworm", machine.Native(), "bookworm"},
		{"bookworm", "s390x", "bookworm-s390x"},
	} {
		if got := Name(c.suite, c.arch); got != c.want {
			t.Errorf("%s, %s: %s", c.suite, c.arch, got)
		}
	}
}
