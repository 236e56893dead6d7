// Package mounts mounts. A plan (OfHolder, OfJail) is data, made of a jail's specification by a
// pure function; Apply does one step of it. PID 1 mounts what is to be locked in the jail, the
// helper what belongs to the jail's own namespaces, and applets in H what they need: each with the
// rights that its process has.
//
// Roots are mounted in pid1.
package mounts

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
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

// Apply does one step of a plan below root. Sources of binds are looked up below host, as H
// sees it.
func Apply(root, host *os.File, m wire.Mount, trees []*os.File) error {
	var source *os.File
	sourceIsDir := true
	if m.Type == "bind" || m.Type == "rbind" || m.Type == typeDevice {
		var err error
		if source, err = openSource(host, m, trees); err != nil {
			return err
		}
		defer source.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(source.Fd()), &st); err != nil {
			return syserr.Wrap("stat", m.Source, err)
		}
		sourceIsDir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	}
	switch m.Type {
	case typeDir:
		return makeTarget(root, m.Target, true, m.Owner)
	case typeText:
		return bindText(root, m)
	case typeSymlink:
		parent, err := beneath.Open(root, path.Dir(m.Target), unix.O_PATH)
		if err != nil {
			return err
		}
		defer parent.Close()
		return syserr.Wrap("symlink", m.Target,
			unix.Symlinkat(m.Source, int(parent.Fd()), path.Base(m.Target)))
	}
	target, err := openTarget(root, m, sourceIsDir)
	if err != nil {
		return err
	}
	defer target.Close()
	attr := attributes(m)
	switch m.Type {
	case "bind", "rbind", typeDevice, typeOwnProc:
		from := "/proc"
		if source != nil {
			from = beneath.FDPath(source)
		}
		flags := uintptr(unix.MS_BIND)
		if m.Type == "rbind" || m.Type == typeOwnProc {
			flags |= unix.MS_REC
		}
		var err error
		if m.Tree > 0 {
			err = AttachTree(trees, m.Tree, int(target.Fd()), "", m.Target)
		} else {
			err = MountAs(from, beneath.FDPath(target), m.Target, "", flags, "")
		}
		if errors.Is(err, unix.EINVAL) && m.Type == "bind" {
			// A user namespace may not tear a mount off those that are locked on top of it.
			err = MountAs(from, beneath.FDPath(target), m.Target, "", flags|unix.MS_REC, "")
		}
		if err != nil || m.Type == typeOwnProc {
			return err
		}
		if m.Type != typeDevice {
			attr |= unix.MOUNT_ATTR_NODEV
		}
		if attr == 0 {
			return nil
		}
		top, err := beneath.Open(root, m.Target, unix.O_PATH) // the new mount, not what it covers
		if err != nil {
			return err
		}
		defer top.Close()
		return SetAttr(int(top.Fd()), "", attr, sourceIsDir)
	case typeRemount:
		return SetAttr(int(target.Fd()), "", attr, false)
	case "overlay":
		return mountOverlayOf(target, host, m, trees)
	case "tmpfs":
		data := m.Data
		if !strings.Contains(data, "uid=") {
			data = strings.TrimPrefix(data+",uid="+strconv.Itoa(m.Owner), ",")
		}
		if !strings.Contains(data, "gid=") {
			data += ",gid=" + strconv.Itoa(m.Owner)
		}
		return MountAs("tmpfs", beneath.FDPath(target), m.Target, "tmpfs", mountFlags(m), data)
	}
	return MountAs(m.Type, beneath.FDPath(target), m.Target, m.Type, mountFlags(m), m.Data)
}

// openSource opens what a bind shows. A tree that the caller has cloned is taken as it came: root's
// rights to the directories above it, which belong to others, are not ours.
func openSource(host *os.File, m wire.Mount, trees []*os.File) (*os.File, error) {
	if m.Tree < 1 || m.Tree > len(trees) {
		if !m.NoLinks {
			return beneath.Open(host, m.Source, unix.O_PATH)
		}
		// Without O_NOFOLLOW, with which O_PATH would open a link itself.
		fd, err := beneath.Openat2(host, strings.TrimPrefix(m.Source, "/"), &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
		})
		if err != nil {
			return nil, syserr.Wrap("open", m.Source, err)
		}
		return os.NewFile(uintptr(fd), m.Source), nil
	}
	fd, err := unix.FcntlInt(trees[m.Tree-1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, syserr.Wrap("open", m.Source, err)
	}
	return os.NewFile(uintptr(fd), m.Source), nil
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

// openTarget opens a mount point, which is made when m says so. A link to something that does not
// exist is a mount point itself, for a file: nothing need be made where it leads, which may be in
// somebody's tree or nowhere (/etc/resolv.conf is such a link where systemd-resolved is to run).
func openTarget(root *os.File, m wire.Mount, dir bool) (*os.File, error) {
	target, err := beneath.Open(root, m.Target, unix.O_PATH)
	if !beneath.LeadsNowhere(err) {
		return target, err
	}
	if !dir {
		// Followed by the kernel, a descriptor of a link is the link.
		if link, linkErr := beneath.Open(root, m.Target,
			unix.O_PATH|unix.O_NOFOLLOW); linkErr == nil {
			return link, nil
		}
	}
	if !m.Mkdir {
		return nil, err
	}
	if err := makeTarget(root, m.Target, dir, m.Owner); err != nil {
		return nil, err
	}
	return beneath.Open(root, m.Target, unix.O_PATH)
}

// makeTarget makes a missing mount point and its parents below root, owned by jail root: a
// directory, or an empty file.
func makeTarget(root *os.File, name string, dir bool, owner int) error {
	made := "/"
	parts := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	for i, part := range parts {
		parent, err := beneath.Open(root, made, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		made = path.Join(made, part)
		err = makeEntry(root, parent, made, dir || i < len(parts)-1, owner)
		parent.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func makeEntry(root, parent *os.File, name string, dir bool, owner int) error {
	existing, err := beneath.Open(root, name, unix.O_PATH)
	if err == nil {
		return existing.Close()
	}
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	base := path.Base(name)
	work := func() error {
		if dir {
			return unix.Mkdirat(int(parent.Fd()), base, 0o755)
		}
		fd, err := unix.Openat(int(parent.Fd()), base,
			unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	if err = work(); errors.Is(err, unix.EOVERFLOW) {
		err = asJailRoot(work)
	}
	if errors.Is(err, unix.EEXIST) { // and yet it could not be opened
		return fmt.Errorf(
			"making the mount point %s: it is a link to something that does not exist", name)
	}
	if err != nil {
		return syserr.Wrap("making the mount point", name, err)
	}
	return syserr.Wrap("chown", name, unix.Fchownat(int(parent.Fd()), base, owner, owner,
		unix.AT_SYMLINK_NOFOLLOW))
}

// asJailRoot does file work with the file system ids of jail root: on an id-mapped mount our own
// are no ids at all, and nothing can be made with them (EOVERFLOW). The ids belong to a thread,
// which ends with the work. No command may run meanwhile: see below.
func asJailRoot(work func() error) error {
	if unix.Geteuid() == 0 {
		return work()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			if _, err := unix.SetfsgidRetGid(0); err != nil {
				return syserr.Wrap("setfsgid", "", err)
			}
			if _, err := unix.SetfsuidRetUid(0); err != nil {
				return syserr.Wrap("setfsuid", "", err)
			}
			return work()
		}()
	}()
	err := <-done
	// The kernel has taken the change for that of a setuid program, and given our files in /proc to
	// jail root (proc_pid(5), "dumpable").
	return errors.Join(err,
		syserr.Wrap("prctl", "PR_SET_DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)))
}

// bindText binds a file with a text over target, without writing to the jail's tree. A link is
// followed within the root.
func bindText(root *os.File, m wire.Mount) error {
	target, err := openTarget(root, m, false)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := os.MkdirAll(layout.Files, 0o755); err != nil {
		return err
	}
	source := path.Join(layout.Files, path.Base(m.Target))
	if err := os.WriteFile(source, []byte(m.Data), 0o644); err != nil {
		return err
	}
	if err := MountAs(source, beneath.FDPath(target), m.Target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	top, err := beneath.Open(root, m.Target, unix.O_PATH)
	if err != nil {
		return err
	}
	defer top.Close()
	return SetAttr(int(top.Fd()), "",
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		false)
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
