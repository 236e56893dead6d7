package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
)

// mapTrees clones what spec wants mapped, in the caller: only root of the namespace that mounted a
// file system can map its ids. It fills in the Tree numbers and returns the clones.
func (h *Holder) mapTrees(spec *Spec) (notes []string, trees []*os.File, err error) {
	users := map[MapKind]*os.File{}
	defer func() {
		for _, f := range users {
			f.Close()
		}
	}()
	cloned := func(path string, kind MapKind, noLinks bool) (int, error) {
		if users[kind] == nil {
			f, err := usersOf(mappedTo(h.ids, kind))
			if err != nil {
				return 0, err
			}
			users[kind] = f
		}
		f, err := cloneMapped(path, users[kind], noLinks)
		if err != nil {
			return 0, err
		}
		trees = append(trees, f)
		return len(trees), nil
	}
	clone := func(path string, kind MapKind) (int, error) { return cloned(path, kind, false) }
	if kind := spec.Root.Map; kind != MapNone {
		path := spec.Root.Dir
		for _, l := range spec.Root.Lowers {
			if l.Path != "" {
				path = l.Path
			}
		}
		if spec.Root.Tree, err = clone(path, kind); err != nil {
			if notPermitted(err) {
				err = fault.Wrap(fault.Internal, "use a base of nsbuild's own: nsbuild create "+
					"SUITE; or do it outside of the container", fmt.Errorf("the root of this "+
					"container may not show %s with other ids: %w", path, err))
			} else if cannotMap(err) {
				err = fault.Wrap(fault.Internal,
					"copy the tree to a file system that can, such as ext4, xfs or btrfs",
					fmt.Errorf("the ids of %s cannot be mapped: %w", path, err))
			}
			return nil, trees, err
		}
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if m.Map == MapNone {
			continue
		}
		if m.Overlay != nil {
			if err := cloneLayers(m, clone); err != nil {
				return nil, trees, err
			}
			continue
		}
		m.Tree, err = cloned(m.Source, m.Map, m.NoLinks)
		switch {
		case notPermitted(err):
			notes = append(notes, fmt.Sprintf("files in %s belong to nobody: the root of this "+
				"container may not map ids", m.Target))
			err = nil
		case cannotMap(err):
			notes = append(notes,
				fmt.Sprintf("files in %s belong to nobody: their file system cannot map ids",
					m.Target))
			err = nil
		}
		if err != nil {
			return nil, trees, err
		}
	}
	return notes, trees, nil
}

// cannotMap tells whether a file system has no id-mapped mounts, or not for us.
func cannotMap(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == "mapping the ids of" &&
		(errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM))
}

// notPermitted tells whether we have no right to clone mounts at all: root of a container has not.
func notPermitted(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == "open_tree" && errors.Is(err, unix.EPERM)
}

// mappedTo is the user namespace that an id-mapped mount refers to: ids on disk on the left, ids of
// the kernel on the right.
func mappedTo(m IDMap, kind MapKind) (uids, gids []syscall.SysProcIDMap) {
	first := 0
	if kind == MapUsers {
		first = 1000 // FIRST_UID of Debian Policy 9.2.2
	}
	size := int(m.Count) - first
	return []syscall.SysProcIDMap{{ContainerID: first, HostID: int(m.UIDBase) + first, Size: size}},
		[]syscall.SysProcIDMap{{ContainerID: first, HostID: int(m.GIDBase) + first, Size: size}}
}

// usersOf makes a user namespace with these maps and returns a descriptor that keeps it.
func usersOf(uids, gids []syscall.SysProcIDMap) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{reexec.IDs}, &syscall.ProcAttr{
		Dir: "/", Env: reexec.QuickStart(), Files: []uintptr{r.Fd()},
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: uids,
			GidMappings: gids},
	})
	if err != nil {
		w.Close()
		return nil, syserr.Wrap("making a user namespace", "", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	w.Close() // it ends
	for {
		if _, wait := syscall.Wait4(pid, nil, 0, nil); !errors.Is(wait, syscall.EINTR) {
			return f, errors.Join(err, syserr.Wrap("waiting for", reexec.IDs, wait))
		}
	}
}

// idsMain waits until nobody needs its user namespace from it any more.
func idsMain() int {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	return 0
}

// cloneMapped clones a mount with all below it and maps its ids. Private: what is mounted on the
// clone must not show up on the host.
func cloneMapped(path string, users *os.File, noLinks bool) (*os.File, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}
	if noLinks {
		how.Resolve = unix.RESOLVE_NO_SYMLINKS
	}
	at, err := unix.Openat2(unix.AT_FDCWD, path, how)
	if err != nil {
		return nil, syserr.Wrap("open", path, err)
	}
	defer unix.Close(at)
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC |
		unix.AT_RECURSIVE | unix.AT_EMPTY_PATH
	fd, err := unix.OpenTree(at, "", flags)
	if err != nil {
		return nil, syserr.Wrap("open_tree", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Propagation: unix.MS_PRIVATE,
		Userns_fd: uint64(users.Fd()),
	})
	if err != nil {
		f.Close()
		return nil, syserr.Wrap("mapping the ids of", path, err)
	}
	return f, nil
}
