package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSweepFails has something left by a killed process that cannot be deleted: commands that come
// by say so, and go on.
func TestSweepFails(t *testing.T) {
	w := newWorld(t)
	left := filepath.Join(w.state, "run", "run-left")
	check(t, os.MkdirAll(filepath.Join(left, "busy", "file"), 0o700))
	if os.Geteuid() == 0 {
		busy := filepath.Join(left, "busy")
		check(t, syscall.Mount("tmpfs", busy, "tmpfs", 0, "size=4k"))
		defer func() { check(t, syscall.Unmount(busy, 0)) }()
	} else {
		check(t, os.Chmod(left, 0))
		defer func() { check(t, os.Chmod(left, 0o700)) }()
	}
	for _, args := range [][]string{{"list"}, {"session", "list"}, {"cache", "info"}, {"doctor"}} {
		o := w.run(t, args...)
		if o.status != 0 && args[0] != "doctor" {
			t.Errorf("%q: %s", args, o)
		}
		says := "warning: what a killed nsbuild has left cannot be deleted: "
		if strings.Contains(o.stderr, "run-left") && !strings.Contains(o.stderr, says) {
			t.Errorf("%q: %s", args, o)
		}
		if args[0] == "list" && !strings.Contains(o.stderr, says) {
			t.Errorf("%q: %s", args, o)
		}
	}
}
