package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/syserr"
)

// unmask is how each kind of container is started with a whole /proc.
const unmask = "start the container with a whole /proc: --security-opt systempaths=unconfined (docker), " +
	"--security-opt unmask=ALL (podman), procMount: Unmasked (Kubernetes); " +
	"in a systemd unit ProtectKernelTunables=no and ProcSubset=all"

// checkProc tells what of the caller's /proc makes a start impossible: the maps of ids are written
// there, and what the kernel can do is read there.
func checkProc(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil && !errors.Is(err, unix.ENOENT) {
		return syserr.Wrap("statfs", dir, err)
	}
	switch {
	case st.Type != unix.PROC_SUPER_MAGIC:
		return fault.New(fault.Internal, "sudo mount -t proc proc "+dir, "%s is not mounted here",
			dir)
	case st.Flags&unix.ST_RDONLY != 0:
		return fault.New(fault.Internal, "sudo mount -o remount,bind,rw "+dir,
			"%s is mounted read-only here: the ids of a jail are written there", dir)
	}
	return nil
}

// explainProc says why the kernel grants no new /proc: a user namespace gets one only where all of
// an old one can be seen (mount_too_revealing in the kernel's fs/namespace.c).
func explainProc(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Op != "mount proc on" || !errors.Is(e.Errno, unix.EPERM) {
		return err
	}
	what := "the one that is there is not whole"
	table, readErr := os.ReadFile("/proc/self/mountinfo")
	if masks := procMasks(string(table)); readErr == nil && len(masks) > 0 {
		what = "parts of it are masked, " + masks[0]
		if n := len(masks) - 1; n > 0 {
			what += fmt.Sprintf(" and %d more", n)
		}
	}
	return fault.Wrap(fault.Internal, unmask,
		fmt.Errorf("the kernel grants no new /proc here, for %s: %w", what, err))
}

// procMasks lists what is mounted below /proc, besides what systemd mounts there on every host:
// that lies on a directory which is always empty, and hides nothing.
func procMasks(mountinfo string) (masks []string) {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := fields[4]
		if strings.HasPrefix(point, "/proc/") && point != "/proc/sys/fs/binfmt_misc" {
			masks = append(masks, point)
		}
	}
	return masks
}
