// Package caller makes nsbuild independent of who starts it. What its process has inherited is put
// right where that is ours to do, and refused in words where it is not.
//
// What the processes of a jail inherit beyond that is put right in internal/sandbox.
package caller

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// Adopt belongs at the very start of main. Its error is a refusal for the user.
func Adopt() error {
	keepOwnersRights()
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
