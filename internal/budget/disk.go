package budget

import (
	"os"
	"syscall"
)

// FreeSpace is what may still be written to a directory's file system, in bytes.
func FreeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // int32 on 32-bit machines
}
