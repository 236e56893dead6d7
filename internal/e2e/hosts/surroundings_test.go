package hosts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestNoExecState makes a base on a file system that is mounted noexec: refused in words, before
// anything is downloaded.
func TestNoExecState(t *testing.T) {
	testenv.RequireRoot(t) // to mount it
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	point := filepath.Join(w.Dir, "noexec")
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
	w.State = filepath.Join(point, "state")
	e2e.Refusal{
		Status: 1,
		Says:   []string{"making base bookworm", point + " is mounted noexec"},
		Hint: "sudo mount -o remount,exec " + point +
			", or choose another place with --state-dir",
	}.Check(t, w.Run(t, "create", "bookworm"))

	root := filepath.Join(point, "root")
	for _, name := range []string{"proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.State = filepath.Join(w.Dir, "state")
	e2e.Refusal{Status: 125, Says: []string{point + " is mounted noexec"}, Hint: "remount,exec"}.
		Check(t, w.Run(t, "run", "--root", root, "--", "true"))
}

// TestMaskedProc starts a jail where parts of /proc are mounted over, as docker and podman do, and
// where the level that does without a new one is refused.
func TestMaskedProc(t *testing.T) {
	testenv.RequireRoot(t) // to mask it
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
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
			c.mount+"; exec nsbuild run --require-isolation full --root . --overlay -- true")
		cmd.Dir, cmd.Env = w.Dir, w.Environment()
		var said bytes.Buffer
		cmd.Stderr = &said
		_ = cmd.Run() // its status is looked at below
		e2e.Refusal{Status: 125, Says: []string{c.says}, Hint: c.hint}.
			Check(t, e2e.Outcome{Status: cmd.ProcessState.ExitCode(), Stderr: said.String()})
	}
}
