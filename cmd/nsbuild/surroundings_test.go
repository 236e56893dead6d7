package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
)

// TestNoExecState makes a base on a file system that is mounted noexec: refused in words, before
// anything is downloaded.
func TestNoExecState(t *testing.T) {
	testenv.RequireRoot(t) // to mount it
	testenv.RequireUserns(t)
	w := newWorld(t)
	point := filepath.Join(w.dir, "noexec")
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", point, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Error(err)
		}
	})
	w.state = filepath.Join(point, "state")
	refusal{
		status: 1,
		says:   []string{"making base bookworm", point + " is mounted noexec"},
		hint: "sudo mount -o remount,exec " + point +
			", or choose another place with --state-dir",
	}.check(t, w.run(t, "create", "bookworm"))

	root := filepath.Join(point, "root")
	for _, name := range []string{"proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.state = filepath.Join(w.dir, "state")
	refusal{status: 1, says: []string{point + " is mounted noexec"}, hint: "remount,exec"}.
		check(t, w.run(t, "run", "--root", root, "--", "true"))
}

// TestMaskedProc starts a jail where parts of /proc are mounted over, as docker and podman do.
func TestMaskedProc(t *testing.T) {
	testenv.RequireRoot(t) // to mask it
	testenv.RequireUserns(t)
	w := newWorld(t)
	for _, c := range []struct{ mount, says, hint string }{
		{"mount -t tmpfs -o ro none /proc/fs",
			"no new /proc here, for parts of it are masked, /proc/fs",
			"systempaths=unconfined"},
		{"mount -t tmpfs none /proc", "/proc is not mounted here", "sudo mount -t proc proc /proc"},
		{"umount -l /proc", "/proc is not mounted here", "sudo mount -t proc proc /proc"},
		{"mount --bind /proc /proc; mount -o remount,bind,ro /proc",
			"/proc is mounted read-only here",
			"sudo mount -o remount,bind,rw /proc"},
	} {
		cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-ec",
			c.mount+"; exec nsbuild run --root . --overlay -- true")
		cmd.Dir, cmd.Env = w.dir, w.environment()
		var said bytes.Buffer
		cmd.Stderr = &said
		_ = cmd.Run() // its status is looked at below
		refusal{status: 1, says: []string{c.says}, hint: c.hint}.
			check(t, outcome{status: cmd.ProcessState.ExitCode(), stderr: said.String()})
	}
}
