package bases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestListNeedsNoArchive lists and shows bases where the host's apt is broken, without a cache.
func TestListNeedsNoArchive(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	broken := filepath.Join(w.Dir, "apt.conf")
	e2e.Check(t, os.WriteFile(broken, []byte("this is { not apt's"), 0o644))
	w.Env = []string{"APT_CONFIG=" + broken}
	if o := w.Run(t, "list"); o.Status != 0 || strings.Contains(o.Stderr, "apt") {
		t.Error(o)
	}
	e2e.Refusal{Status: 1, Says: []string{"base bookworm: no such base"},
		Hint: "nsbuild create bookworm"}.Check(t, w.Run(t, "info", "bookworm"))
	if _, err := os.Stat(w.Cache); !os.IsNotExist(err) {
		t.Errorf("the cache was made: %v", err)
	}
}
