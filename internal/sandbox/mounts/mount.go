package mounts

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// Mount is mount(2) with an error that carries its arguments.
func Mount(source, target, fstype string, flags uintptr, data string) error {
	return MountAs(source, target, target, fstype, flags, data)
}

// MountAs names the target shown in errors: targets are often descriptors.
func MountAs(source, target, shown, fstype string, flags uintptr, data string) error {
	if source == "" {
		source = "none"
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		what := "mount " + fstype + " on"
		if fstype == "" {
			what = "bind mount on"
		}
		return syserr.Wrap(what, shown, err)
	}
	return nil
}

// SetAttr is mount_setattr(2): unlike a remount it reaches every mount of a tree, and keeps the
// flags it does not name.
func SetAttr(dirfd int, target string, attr uint64, recursive bool) error {
	flags := uint(0)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if target == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return syserr.Wrap("mount_setattr", target,
		unix.MountSetattr(dirfd, target, flags, &unix.MountAttr{Attr_set: attr}))
}

// Detach detaches a mount and all below it.
func Detach(target string) error {
	return syserr.Wrap("umount", target, unix.Unmount(target, unix.MNT_DETACH))
}

// AttachTree mounts the clone of that number (from 1 on) on a path, or on a descriptor when path is
// empty.
func AttachTree(trees []*os.File, number, dirfd int, path, shown string) error {
	if number < 1 || number > len(trees) {
		return fmt.Errorf("mounting on %s: there is no tree %d", shown, number)
	}
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if path == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	return syserr.Wrap("move_mount on", shown,
		unix.MoveMount(int(trees[number-1].Fd()), "", dirfd, path,
			flags))
}

func attributes(m wire.Mount) uint64 {
	var attr uint64
	for _, f := range []struct {
		on   bool
		attr uint64
	}{{m.ReadOnly, unix.MOUNT_ATTR_RDONLY}, {m.NoSuid, unix.MOUNT_ATTR_NOSUID},
		{m.NoDev, unix.MOUNT_ATTR_NODEV}, {m.NoExec, unix.MOUNT_ATTR_NOEXEC},
		{m.NoSymFollow, unix.MOUNT_ATTR_NOSYMFOLLOW}} {
		if f.on {
			attr |= f.attr
		}
	}
	return attr
}

func mountFlags(m wire.Mount) uintptr {
	var flags uintptr
	for _, f := range []struct {
		on   bool
		flag uintptr
	}{{m.ReadOnly, unix.MS_RDONLY}, {m.NoSuid, unix.MS_NOSUID}, {m.NoDev, unix.MS_NODEV},
		{m.NoExec, unix.MS_NOEXEC}, {m.NoSymFollow, unix.MS_NOSYMFOLLOW}} {
		if f.on {
			flags |= f.flag
		}
	}
	return flags
}
