package hosts

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/e2e"
)

// TestSweepFails has something left by a killed process that cannot be deleted: commands that come
// by say so, and go on.
func TestSweepFails(t *testing.T) {
	w := e2e.NewWorld(t)
	left := filepath.Join(w.State, "run", "run-left")
	e2e.Check(t, os.MkdirAll(filepath.Join(left, "busy", "file"), 0o700))
	if os.Geteuid() == 0 {
		busy := filepath.Join(left, "busy")
		e2e.Check(t, syscall.Mount("tmpfs", busy, "tmpfs", 0, "size=4k"))
		defer func() { e2e.Check(t, syscall.Unmount(busy, 0)) }()
	} else {
		e2e.Check(t, os.Chmod(left, 0))
		defer func() { e2e.Check(t, os.Chmod(left, 0o700)) }()
	}
	for _, args := range [][]string{{"list"}, {"session", "list"}, {"cache", "info"}, {"doctor"}} {
		o := w.Run(t, args...)
		if o.Status != 0 && args[0] != "doctor" {
			t.Errorf("%q: %s", args, o)
		}
		says := "warning: what a killed nsbuild has left cannot be deleted: "
		if strings.Contains(o.Stderr, "run-left") && !strings.Contains(o.Stderr, says) {
			t.Errorf("%q: %s", args, o)
		}
		if args[0] == "list" && !strings.Contains(o.Stderr, says) {
			t.Errorf("%q: %s", args, o)
		}
	}
}
