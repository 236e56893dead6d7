package sandbox

import (
	"errors"

	"golang.org/x/sys/unix"
)

// LeadsNowhere tells the error of a name that is not there, or is a link to nothing or to itself.
func LeadsNowhere(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP)
}

// DanglingLink tells whether name is a link that leads nowhere, with the directory root as "/".
// What cannot be looked at is none.
func DanglingLink(root, name string) bool {
	dir, err := openPath(root)
	if err != nil {
		return false
	}
	defer dir.Close()
	f, err := openBeneath(dir, name, unix.O_PATH)
	if err == nil {
		f.Close()
	}
	if !LeadsNowhere(err) {
		return false
	}
	link, err := openBeneath(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	link.Close()
	return true
}
