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
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Adopt belongs at the very start of main. Its error is a refusal for the user.
func Adopt() error {
	if err := unblockSignals(); err != nil {
		return err
	}
	keepOwnersRights()
	if err := keepDescriptors(); err != nil {
		return err
	}
	if err := completeEnvironment(); err != nil {
		return err
	}
	return adoptLimits("/proc")
}

// unblockSignals begins this program once more where its starter has blocked signals. The Go
// runtime hands the mask that a process began with on to all that it starts, and there is no way to
// have it forget that: a command of a jail could not be ended by what it waits for. Many a shell
// unblocks all signals for itself; few programs do.
func unblockSignals() error {
	// The mask is the thread's, and execve(2) keeps that of the thread which calls it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, inherited unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &inherited); err != nil {
		return os.NewSyscallError("sigprocmask", err)
	}
	if inherited == none {
		return nil
	}
	err := unix.Exec("/proc/self/exe", os.Args, os.Environ())
	// A /proc that is not there is a matter of those who start jails.
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return os.NewSyscallError("execve", err)
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
