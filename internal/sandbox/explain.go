package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/dirorder"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

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

// checkDev tells which devices are missing that a jail shares with its caller.
func checkDev(dir string) error {
	var missing []string
	for _, name := range mounts.DeviceNodes() {
		var st unix.Stat_t
		file := filepath.Join(dir, name)
		if err := unix.Stat(file, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
			missing = append(missing, file)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.Internal, "sudo mount -t devtmpfs devtmpfs "+dir+"; a container or "+
		"a chroot needs the usual "+dir, "no devices: %s", strings.Join(missing, ", "))
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
	return fault.Wrap(fault.Internal, FindPlace().WholeProc(),
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

// explainSetup adds what to do where the kernel keeps interpreters for root.
func explainSetup(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == wire.BinfmtCall {
		return fault.Wrap(fault.Internal, "use Linux 6.7 or later, or let the host's kernel know "+
			"the interpreter: sudo apt-get install qemu-user-static binfmt-support", err)
	}
	refused := errors.As(err, &e) && (errors.Is(e.Errno, unix.EACCES) ||
		errors.Is(e.Errno, unix.EPERM)) && !refusesProc(err)
	switch {
	case refused && apparmorRestricts():
		return explainAppArmor(err)
	case refused && strings.Contains(e.Op, "mount"):
		place := FindPlace()
		return fault.Wrap(fault.Internal, place.Namespaces(), fmt.Errorf("%s lets nobody mount: %w",
			place.Name, err))
	}
	return explainProc(err)
}

// explainJail says what to do where a jail cannot be opened.
func (h *Holder) explainJail(spec *Spec, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == wire.OwnIDsCall {
		return fault.Wrap(fault.Internal, FindPlace().WholeProc()+"; or run nsbuild as the root "+
			"of the container", fmt.Errorf("a jail with your own ids needs a PID namespace of its "+
			"own: what runs in it could end your processes: %w", err))
	}
	return explainOrder(spec, err)
}

// explainOrder says what to do where directories cannot have another order.
func explainOrder(spec *Spec, err error) error {
	var e *Error
	if spec.Vary == nil || spec.Vary.Dirs == 0 || !errors.As(err, &e) {
		return err
	}
	switch e.Op + " " + e.Path {
	case "seccomp " + dirorder.Listener, "pidfd_getfd ", "pidfd_open ":
		return fault.Wrap(fault.GivenBack, "leave it out: nsbuild repro --vary=-order; in a "+
			"container: allow seccomp and pidfd_getfd (docker, podman: --security-opt "+
			"seccomp=unconfined)",
			fmt.Errorf("directories cannot be read in another order here: %w", err))
	}
	return err
}

// explainClone says why user namespaces cannot be had, and what mends it.
func explainClone(err error) error {
	what := fmt.Errorf("making namespaces: %w", err)
	switch {
	case setting("user/max_user_namespaces", "0"):
		return fault.Wrap(fault.Internal, "sudo sysctl user.max_user_namespaces=15000",
			fmt.Errorf("%w: user namespaces are switched off (user.max_user_namespaces=0)", what))
	case setting("kernel/unprivileged_userns_clone", "0") && os.Geteuid() != 0:
		return fault.Wrap(fault.Internal, "sudo sysctl kernel.unprivileged_userns_clone=1",
			fmt.Errorf("%w: user namespaces are forbidden to users", what))
	case apparmorRestricts():
		return explainAppArmor(what)
	case errors.Is(err, unix.EPERM):
		place := FindPlace()
		return fault.Wrap(fault.Internal, place.Namespaces(),
			fmt.Errorf("%s lets nobody make namespaces: %w", place.Name, err))
	}
	return what
}

// setting tells whether a knob of the kernel has a value. An absent one forbids nothing.
func setting(name, bad string) bool {
	data, err := os.ReadFile("/proc/sys/" + name)
	return err == nil && string(bytes.TrimSpace(data)) == bad
}

// apparmorRestricts tells whether AppArmor forbids users namespaces, or capabilities in them: since
// Ubuntu 23.10, but for programs whose profile permits it.
func apparmorRestricts() bool {
	return os.Geteuid() != 0 && setting("kernel/apparmor_restrict_unprivileged_userns", "1")
}

func explainAppArmor(err error) error {
	return fault.Wrap(fault.Internal, "nsbuild doctor --apparmor-profile | sudo tee "+
		"/etc/apparmor.d/nsbuild && sudo apparmor_parser -r /etc/apparmor.d/nsbuild",
		fmt.Errorf("AppArmor forbids user namespaces to users: %w", err))
}
