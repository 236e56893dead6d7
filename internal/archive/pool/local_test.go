package pool_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/fault"
)

// TestLocalRefuses takes nothing for a package of the caller's own that can be none: neither a pipe
// nor a hole of any length is copied into the cache.
func TestLocalRefuses(t *testing.T) {
	dir := t.TempDir()
	huge, pipe := filepath.Join(dir, "huge.deb"), filepath.Join(dir, "pipe.deb")
	if err := os.WriteFile(huge, []byte("!<arch>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	c := archivetest.New(t, nil).Client()
	for file, want := range map[string]string{
		huge: "it has 1099511627776 bytes, no package can have more", pipe: "it is a pipe"} {
		_, err := c.Local(t.Context(), "copy:/own", []string{file})
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", file, err)
		}
	}
}
