// Package caller makes nsbuild independent of who starts it. What its process has inherited is put
// right where that is ours to do, and refused in words where it is not.
//
// What the processes of a jail inherit beyond that is put right in internal/sandbox.
package caller

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// Adopt belongs at the very start of main. Its error is a refusal for the user.
func Adopt() error {
	keepOwnersRights()
	if err := keepDescriptors(); err != nil {
		return err
	}
	if err := completeEnvironment(); err != nil {
		return err
	}
	return adoptLimits("/proc")
}

// keepOwnersRights lets the umask take no rights from the owner: nsbuild could not enter the
// directories that it makes. What it says of others holds for everything outside of jails.
func keepOwnersRights() {
	const owner = 0o700
	inherited := unix.Umask(owner >> 3)
	unix.Umask(inherited &^ owner)
}

// keepDescriptors keeps further descriptors from what nsbuild starts: a session would hold a lock
// of flock(1) or a pipe of its caller's as long as it lives. Before Linux 5.11 there is no such
// call; what runs in a jail loses them in any case.
func keepDescriptors() error {
	const first = 3
	err := unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return os.NewSyscallError("close_range", err)
}

// defaultPath is where programs are looked for when the environment does not say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// completeEnvironment sets what services and `env -i` leave out. A person without an entry in
// passwd(5) has no home, which is reported where one is needed.
func completeEnvironment() error {
	if os.Getenv("PATH") == "" {
		if err := os.Setenv("PATH", defaultPath); err != nil {
			return err
		}
	}
	if os.Getenv("HOME") != "" {
		return nil
	}
	me, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	var unknown user.UnknownUserIdError
	switch {
	case errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("finding the home directory: %w", err)
	}
	return os.Setenv("HOME", me.HomeDir)
}
