package proctree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWrite tells of the processes of a made-up proc(5), hostile names among them.
func TestWrite(t *testing.T) {
	proc := t.TempDir()
	add := func(pid int, name, state string, parent, user, system int, wchan, cmdline string) {
		t.Helper()
		dir := filepath.Join(proc, fmt.Sprint(pid))
		stat := fmt.Sprintf("%d (%s) %s %d 1 1 0 -1 4194304 100 0 0 0 %d %d 0 0 20 0 1 0 5\n", pid,
			name, state, parent, user, system)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "fd"), 0o755),
			os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644),
			os.WriteFile(filepath.Join(dir, "wchan"), []byte(wchan), 0o644),
			os.WriteFile(filepath.Join(dir, "cmdline"), []byte(cmdline), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	add(1, "nsbuild-init", "S", 0, 1, 2, "futex_wait", "nsbuild-init\x00")
	add(20, "make", "S", 1, 100, 50, "do_wait", "make\x00-j2\x00check\x00")
	add(21, "a) R 1 (b", "R", 20, 6000, 0, "0", "evil\nI: a line\x00\x1b[31m")
	add(22, "gone", "Z", 20, 0, 0, "0", "")
	add(30, "nsbuild-applet", "R", 1, 0, 0, "0", "process-tree\x00")
	add(7, "lost", "D", 999, 0, 0, "io_schedule", "lost\x00")
	if err := os.Symlink("socket:[12]", filepath.Join(proc, "20", "fd", "5")); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := Write(&got, proc, 30); err != nil {
		t.Fatal(err)
	}
	want := `1 sleeping, 30ms of processor time, waits in futex_wait: nsbuild-init
  20 sleeping, 1.5s of processor time, waits in do_wait, 1 sockets: make -j2 check
    21 running, 1m0s of processor time: evil?I: a line ?[31m
    22 ended, not waited for, 0s of processor time: [gone]
7 in the kernel, 0s of processor time, waits in io_schedule: lost
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
