package overlay

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// TestNumbered refuses what an overlay without xino shows.
func TestNumbered(t *testing.T) {
	if _, err := os.Stat("/proc/locks"); err != nil {
		testenv.Missing(t, "kernel", fmt.Sprint("this kernel does not list locks: ", err))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// No mount point at all: its files have a device that no mount of that name has.
	if err := numbered(dir, "old", "new"); err == nil ||
		!strings.Contains(err.Error(), "another device") {
		t.Errorf("%v", err)
	}
}
