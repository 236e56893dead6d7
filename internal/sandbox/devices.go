package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xino has an overlay over several file systems number its files itself: without it a file has the
// device of its layer, which is no mount's, and /proc/locks and fuser(1) find other numbers than
// stat(2) does (overlayfs.rst, "Inode properties"). It costs the highest bits of inode numbers, so
// a program that has 32 bits for them cannot stat(2) a file of a lower layer.
const xino = "xino=on,"

// chooseXino decides whether overlays of this scratch are mounted with it.
func (p *pid1) chooseXino(spec *HolderSpec) error {
	if p.kind == ScratchCopy || spec.Inodes32 {
		return nil
	}
	var err error
	p.xino, err = p.remembered(spec.Known, p.scratch, "numbers files itself", probeXino)
	return err
}

// probeXino tells whether an overlay with its upper directory below dir numbers its files itself,
// over a lower directory of another file system.
func probeXino(dir string) (ok bool, err error) {
	return probeWith(dir, func(probe, merged string) (bool, error) {
		lower := path.Join(probe, "lower")
		if err := mount("tmpfs", lower, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
			"mode=0755,size=64k"); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, unmountTree(lower)) }()
		if err := os.WriteFile(path.Join(lower, "old"), nil, 0o644); err != nil {
			return false, err
		}
		data := xino + overlayOf(probe)
		if err := mount("overlay", merged, "overlay", unix.MS_NODEV, data); err != nil {
			return false, nil // a kernel that has it not
		}
		return errors.Join(numbered(merged, "old", "new"), unmountTree(merged)) == nil, nil
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
			return sysErr("stat", name, err)
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
			return sysErr("stat", name, err)
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
		return sysErr("flock", name, err)
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

// likePlain tells whether files of the lower layers of a root have the device of its mount, as
// those of a plain directory do. Layers on one file system have it without xino, and numbers that
// are too large for xino do not have it with it.
func likePlain(target string) bool {
	root, err := openPath(target)
	if err != nil {
		return false
	}
	defer root.Close()
	var top, st unix.Stat_t
	if unix.Fstat(int(root.Fd()), &top) != nil {
		return false
	}
	for _, name := range usualFiles() {
		f, err := openBeneath(root, name, unix.O_PATH)
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
