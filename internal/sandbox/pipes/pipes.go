// Package pipes has what the caller and PID 1 must see alike of the streams that a command gets.
package pipes

import (
	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
)

// IsPipe tells a pipe from a FIFO, which is a file of somebody's with a mode that means something.
func IsPipe(fd int, st *unix.Stat_t) bool {
	var fs unix.Statfs_t
	return st.Mode&unix.S_IFMT == unix.S_IFIFO && unix.Fstatfs(fd, &fs) == nil &&
		fs.Type == unix.PIPEFS_MAGIC
}

// OthersBits are those of a mode that allow others what a descriptor allows.
func OthersBits(fd int) (uint32, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, syserr.Wrap("fcntl", "", err)
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return unix.S_IROTH, nil
	case unix.O_WRONLY:
		return unix.S_IWOTH, nil
	}
	return unix.S_IROTH | unix.S_IWOTH, nil
}
