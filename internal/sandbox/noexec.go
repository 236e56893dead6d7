package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/syserr"
)

// CheckExec tells why no program of a root in dir could be started: its file system is mounted
// noexec. A user namespace may not undo that (mount_namespaces(7), "locked"). An overlay over such
// a directory is a mount of its own, and its programs run. A directory that does not exist yet is
// looked for where it will be.
func CheckExec(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	for {
		if err = unix.Statfs(dir, &st); !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			break
		}
		dir = filepath.Dir(dir)
	}
	if err != nil {
		return syserr.Wrap("statfs", dir, err)
	}
	if st.Flags&unix.ST_NOEXEC == 0 {
		return nil
	}
	point := mountPoint(dir)
	return fault.New(fault.Internal, fmt.Sprintf("sudo mount -o remount,exec %s", point),
		"programs in %s cannot be started: %s is mounted noexec", dir, point)
}

// mountPoint is where the file system of dir is mounted, as far up as it can be told.
func mountPoint(dir string) string {
	id, ok := mountID(dir)
	for ok && dir != "/" {
		above := filepath.Dir(dir)
		if other, known := mountID(above); !known || other != id {
			break
		}
		dir = above
	}
	return dir
}

func mountID(dir string) (uint64, bool) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID, &st)
	return st.Mnt_id, err == nil && st.Mask&unix.STATX_MNT_ID != 0
}
