package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/dirorder"
)

func TestProcMasks(t *testing.T) {
	const host = `22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw
34 22 0:29 / /proc/sys/fs/binfmt_misc rw,relatime shared:14 - autofs systemd-1 rw,fd=29
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
`
	const podman = host + `700 22 0:5 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw
701 22 0:21 /sys /proc/sys ro,nosuid - proc proc rw
40 28 0:3 / /procedures rw - tmpfs tmpfs rw
`
	for _, c := range []struct {
		table string
		want  []string
	}{{host, nil}, {podman, []string{"/proc/kcore", "/proc/sys"}}, {"", nil}} {
		if got := procMasks(c.table); !slices.Equal(got, c.want) {
			t.Errorf("%q; want %q", got, c.want)
		}
	}
}

// TestCheckDev: what a /dev lacks is named at once, also a file in the place of a device.
func TestCheckDev(t *testing.T) {
	if err := checkDev("/dev"); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"full", "random", "urandom", "tty"} {
		if err := os.Symlink("/dev/null", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "null"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := checkDev(dir)
	want := "no devices: " + dir + "/null, " + dir + "/zero"
	if err == nil || err.Error() != want || fault.HintOf(err) == "" {
		t.Errorf("%v; hint %q", err, fault.HintOf(err))
	}
}

func TestExplainProc(t *testing.T) {
	refused := &Error{Op: "mount proc on", Path: "/tmp/proc", Errno: syscall.EPERM}
	err := explainProc(refused)
	if !strings.Contains(err.Error(), "no new /proc") || !errors.Is(err, syscall.EPERM) ||
		fault.HintOf(err) != FindPlace().WholeProc() {
		t.Errorf("%v; hint %q", err, fault.HintOf(err))
	}
	other := &Error{Op: "mount tmpfs on", Path: "/tmp", Errno: syscall.EPERM}
	if err := explainProc(other); !errors.Is(err, other) || fault.HintOf(err) != "" {
		t.Errorf("%v; hint %q", err, fault.HintOf(err))
	}
}

// TestExplainOrder says of directories what a container forbids, and of nothing else.
func TestExplainOrder(t *testing.T) {
	varied := &Spec{Vary: &Vary{Dirs: 1}}
	for _, refused := range []*Error{
		{Op: "seccomp", Path: dirorder.Listener, Errno: syscall.EBUSY},
		{Op: "pidfd_getfd", Errno: syscall.EPERM}, {Op: "pidfd_open", Errno: syscall.ENOSYS}} {
		err := explainOrder(varied, refused)
		if !strings.Contains(err.Error(), "another order") || !errors.Is(err, refused.Errno) ||
			fault.KindOf(err) != fault.GivenBack {
			t.Errorf("%v; hint %q", err, fault.HintOf(err))
		}
		if err := explainOrder(&Spec{}, refused); fault.HintOf(err) != "" {
			t.Errorf("without an order: %v; hint %q", err, fault.HintOf(err))
		}
	}
	other := &Error{Op: "seccomp", Errno: syscall.EPERM}
	if err := explainOrder(varied, other); fault.HintOf(err) != "" {
		t.Errorf("%v; hint %q", err, fault.HintOf(err))
	}
}
