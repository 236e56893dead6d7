package caller

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
)

// TestEnvironment completes an empty environment, and leaves a full one alone.
func TestEnvironment(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		testenv.Missing(t, "passwd", fmt.Sprint("needs a user that passwd(5) knows: ", err))
	}
	for _, c := range []struct{ path, home, wantPath, wantHome string }{
		{"", "", defaultPath, me.HomeDir},
		{"/opt/bin", "/srv/home", "/opt/bin", "/srv/home"},
	} {
		t.Setenv("PATH", c.path)
		t.Setenv("HOME", c.home)
		if err := completeEnvironment(); err != nil {
			t.Fatal(err)
		}
		if path, home := os.Getenv("PATH"), os.Getenv("HOME"); path != c.wantPath ||
			home != c.wantHome {
			t.Errorf("PATH=%q HOME=%q became %q, %q", c.path, c.home, path, home)
		}
	}
}

// TestUmask keeps what the umask says of others, and the owner's rights.
func TestUmask(t *testing.T) {
	before := unix.Umask(0)
	defer unix.Umask(before)
	for inherited, want := range map[int]int{0: 0, 0o022: 0o022, 0o077: 0o077, 0o177: 0o077,
		0o777: 0o077, 0o700: 0} {
		unix.Umask(inherited)
		keepOwnersRights()
		if got := unix.Umask(inherited); got != want {
			t.Errorf("umask %#o became %#o, want %#o", inherited, got, want)
		}
	}
}

// TestTasksOf counts threads by owner; what has ended or is hidden does not matter.
func TestTasksOf(t *testing.T) {
	proc := t.TempDir()
	for name, status := range map[string]string{
		"1":    "Name:\tinit\nUid:\t0\t0\t0\t0\nThreads:\t1\n",
		"20":   "Name:\tUid: 7\nUid:\t1000\t1000\t1000\t1000\nThreads:\t9\n",
		"21":   "Name:\tb\nUid:\t1000\t0\t0\t0\nThreads:\t2\n",
		"22":   "Name:\tzombie\nUid:\t1000\t1000\t1000\t1000\n",
		"self": "Uid:\t1000\nThreads:\t100\n",
	} {
		if err := os.MkdirAll(filepath.Join(proc, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, name, "status"), []byte(status),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(proc, "23")); err != nil {
		t.Fatal(err)
	}
	if n, err := tasksOf(proc, 1000); n != 12 || err != nil {
		t.Errorf("%d, %v; want 12", n, err)
	}
	if n, err := tasksOf(filepath.Join(proc, "none"), 1000); n != 0 || err != nil {
		t.Errorf("without /proc: %d, %v", n, err)
	}
	if _, _, err := ownerAndThreads("Uid:\tnobody\n"); err == nil {
		t.Error("a uid that is no number is an error")
	}
}
