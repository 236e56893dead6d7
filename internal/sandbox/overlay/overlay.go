// Package overlay finds out what the kernel's overlays can do here, by trying. It runs in PID 1.
package overlay

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/syserr"
)

// Xino has an overlay over several file systems number its files itself: without it a file has the
// device of its layer, which is no mount's, and /proc/locks and fuser(1) find other numbers than
// stat(2) does (overlayfs.rst, "Inode properties"). It costs the highest bits of inode numbers, so
// a program that has 32 bits for them cannot stat(2) a file of a lower layer.
const Xino = "xino=on,"

// HasXino tells whether an overlay with its upper directory below dir numbers its files itself,
// over a lower directory of another file system.
func HasXino(dir string) (ok bool, err error) {
	return probeWith(dir, func(probe, merged string) (bool, error) {
		lower := path.Join(probe, "lower")
		if err := mounts.Mount("tmpfs", lower, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
			"mode=0755,size=64k"); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, mounts.Detach(lower)) }()
		if err := os.WriteFile(path.Join(lower, "old"), nil, 0o644); err != nil {
			return false, err
		}
		data := Xino + overlayOf(probe)
		if err := mounts.Mount("overlay", merged, "overlay", unix.MS_NODEV, data); err != nil {
			return false, nil // a kernel that has it not
		}
		return errors.Join(numbered(merged, "old", "new"), mounts.Detach(merged)) == nil, nil
	})
}

// numbered tells why a file of the layer below, or one that is just made, does not have the device
// of its mount, or has another number in /proc/locks.
func numbered(merged, old, made string) error {
	if err := os.WriteFile(path.Join(merged, made), nil, 0o644); err != nil {
		return err
	}
	device, err := deviceOf(merged)
	if err != nil {
		return err
	}
	for _, name := range []string{old, made} {
		var before, after unix.Stat_t
		name = path.Join(merged, name)
		if err := unix.Lstat(name, &before); err != nil {
			return syserr.Wrap("stat", name, err)
		}
		if before.Dev != device {
			return fmt.Errorf("%s has another device than its mount", name)
		}
		if err := inLocks(name, before.Dev, before.Ino); err != nil {
			return err
		}
		// Written to, a file of the layer below becomes one of the upper directory.
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			return err
		}
		if err := unix.Lstat(name, &after); err != nil {
			return syserr.Wrap("stat", name, err)
		}
		if before.Dev != after.Dev || before.Ino != after.Ino {
			return fmt.Errorf("%s is numbered anew when it is written to", name)
		}
	}
	return nil
}

// deviceOf is the device that proc_pid_mountinfo(5) has for a mount point of ours.
func deviceOf(point string) (uint64, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var device uint64
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[4] != point {
			continue
		}
		var major, minor uint32
		if _, err := fmt.Sscanf(fields[2], "%d:%d", &major, &minor); err != nil {
			return 0, fmt.Errorf("mountinfo: %q: %w", fields[2], err)
		}
		device = unix.Mkdev(major, minor)
	}
	return device, lines.Err()
}

// inLocks tells why the lock of a file cannot be found in /proc/locks by what stat(2) says of it.
func inLocks(name string, device, inode uint64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return syserr.Wrap("flock", name, err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return err
	}
	number := fmt.Sprintf("%02x:%02x:%d", unix.Major(device), unix.Minor(device), inode)
	if !slices.Contains(strings.Fields(string(locks)), number) {
		return fmt.Errorf("/proc/locks does not have %s", number)
	}
	return nil
}

// usualFiles are such as every root has; one of them is in a lower layer.
func usualFiles() []string {
	return []string{"etc/passwd", "etc/group", "etc/debian_version", "etc/os-release", "bin/sh"}
}

// LikePlain tells whether files of the lower layers of a root have the device of its mount, as
// those of a plain directory do. Layers on one file system have it without xino, and numbers that
// are too large for xino do not have it with it.
func LikePlain(target string) bool {
	root, err := beneath.OpenPath(target)
	if err != nil {
		return false
	}
	defer root.Close()
	var top, st unix.Stat_t
	if unix.Fstat(int(root.Fd()), &top) != nil {
		return false
	}
	for _, name := range usualFiles() {
		f, err := beneath.Open(root, name, unix.O_PATH)
		if err != nil {
			continue
		}
		err = unix.Fstat(int(f.Fd()), &st)
		f.Close()
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			return st.Dev == top.Dev
		}
	}
	return true
}

// Usable tells whether an overlay with its upper directory below dir can do what builds do:
// replace a directory of a lower layer, and rename.
func Usable(dir string) (bool, error) {
	return probeWith(dir, func(probe, merged string) (bool, error) {
		if err := mounts.Mount("overlay", merged, "overlay", unix.MS_NODEV,
			overlayOf(probe)); err != nil {
			return false, nil //nolint:nilerr // a kernel that has none is an answer
		}
		return behaves(merged), mounts.Detach(merged)
	})
}

// probeWith tries something with an overlay's directories below dir.
func probeWith(dir string, try func(probe, merged string) (bool, error)) (bool, error) {
	probe, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return false, err
	}
	for _, name := range []string{"lower/old/inside", "upper", "work", "merged"} {
		if err := os.MkdirAll(path.Join(probe, name), 0o755); err != nil {
			return false, err
		}
	}
	ok, err := try(probe, path.Join(probe, "merged"))
	return ok, errors.Join(err, os.RemoveAll(probe))
}

// overlayOf are the options of an overlay of a probe's directories.
func overlayOf(probe string) string {
	return fmt.Sprintf("userxattr,lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", probe,
		probe, probe)
}

func behaves(merged string) bool {
	old, other := path.Join(merged, "old"), path.Join(merged, "other")
	if errors.Join(os.RemoveAll(old), os.Mkdir(old, 0o755)) != nil {
		return false
	}
	entries, err := os.ReadDir(old)
	return err == nil && len(entries) == 0 && os.Rename(old, other) == nil &&
		os.Remove(other) == nil
}
