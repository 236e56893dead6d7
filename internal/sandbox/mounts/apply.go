// Package mounts plans what is mounted over the root of a jail, and mounts it. A plan (OfHolder,
// OfJail) is data, made of a jail's specification by a pure function; Apply does one step of it.
// PID 1 mounts what is to be locked in the jail, the helper what belongs to the jail's own
// namespaces, and applets in H what they need: each with the rights that its process has.
//
// Roots are mounted in pid1.
package mounts

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

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
		return makeSymlink(root, m)
	}
	target, err := openTarget(root, m, sourceIsDir)
	if err != nil {
		return err
	}
	defer target.Close()
	switch m.Type {
	case typeDevice, typeOwnProc, "bind", "rbind":
		if err := bind(source, target, m, trees); err != nil || m.Type == typeOwnProc {
			return err
		}
		return setBound(root, m, sourceIsDir)
	case typeRemount:
		return SetAttr(int(target.Fd()), "", attributes(m), false)
	case "overlay":
		return mountOverlayOf(target, host, m, trees)
	case "tmpfs":
		return MountAs("tmpfs", beneath.FDPath(target), m.Target, "tmpfs", mountFlags(m),
			tmpfsData(m))
	}
	return MountAs(m.Type, beneath.FDPath(target), m.Target, m.Type, mountFlags(m), m.Data)
}

func makeSymlink(root *os.File, m wire.Mount) error {
	parent, err := beneath.Open(root, path.Dir(m.Target), unix.O_PATH)
	if err != nil {
		return err
	}
	defer parent.Close()
	return syserr.Wrap("symlink", m.Target,
		unix.Symlinkat(m.Source, int(parent.Fd()), path.Base(m.Target)))
}

// bind shows a source, or without one this process's /proc, on a target.
func bind(source, target *os.File, m wire.Mount, trees []*os.File) (err error) {
	from := "/proc"
	if source != nil {
		from = beneath.FDPath(source)
	}
	flags := uintptr(unix.MS_BIND)
	if m.Type == "rbind" || m.Type == typeOwnProc {
		flags |= unix.MS_REC
	}
	if m.Tree > 0 {
		err = AttachTree(trees, m.Tree, int(target.Fd()), "", m.Target)
	} else {
		err = MountAs(from, beneath.FDPath(target), m.Target, "", flags, "")
	}
	if errors.Is(err, unix.EINVAL) && m.Type == "bind" {
		// A user namespace may not tear a mount off those that are locked on top of it.
		err = MountAs(from, beneath.FDPath(target), m.Target, "", flags|unix.MS_REC, "")
	}
	return err
}

// setBound sets the attributes of what was bound.
func setBound(root *os.File, m wire.Mount, isDir bool) error {
	attr := attributes(m)
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
	return SetAttr(int(top.Fd()), "", attr, isDir)
}

// tmpfsData are the options of a tmpfs. Where nothing says whose its root is, its owner's.
func tmpfsData(m wire.Mount) string {
	data := m.Data
	if !strings.Contains(data, "uid=") {
		data = strings.TrimPrefix(data+",uid="+strconv.Itoa(m.Owner), ",")
	}
	if !strings.Contains(data, "gid=") {
		data += ",gid=" + strconv.Itoa(m.Owner)
	}
	return data
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

// bindText binds a file with a text over target, without writing to the jail's tree. A link is
// followed within the root. A private one is jail root's alone.
func bindText(root *os.File, m wire.Mount) error {
	target, err := openTarget(root, m, false)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := os.MkdirAll(layout.Files, 0o755); err != nil {
		return err
	}
	source := path.Join(layout.Files, strings.ReplaceAll(path.Clean(m.Target), "/", "_"))
	mode := os.FileMode(0o644)
	if m.Private {
		mode = 0o600
	}
	if err := os.WriteFile(source, []byte(m.Data), mode); err != nil {
		return err
	}
	if err := os.Chown(source, m.Owner, m.Owner); err != nil {
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
