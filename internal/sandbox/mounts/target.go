package mounts

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

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
