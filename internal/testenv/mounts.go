package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// ownMountsVariable tells the second process that it is the second.
const ownMountsVariable = "NSBUILD_TEST_OWN_MOUNTS"

// OwnMounts gives a test binary a mount namespace of its own, so that neither what its tests mount
// is seen by other packages' HostState, nor theirs by it: go test runs several binaries at once. It
// is to be called by TestMain after sandbox.Main. Without root, when nobody mounts anything on the
// host, it does nothing.
func OwnMounts() {
	if os.Geteuid() != 0 || os.Getenv(ownMountsVariable) != "" ||
		!strings.HasSuffix(filepath.Base(os.Args[0]), ".test") {
		return
	}
	runtime.LockOSThread() // the parent-death signal follows the thread
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), ownMountsVariable+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	var failed *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &failed) && failed.Exited():
		os.Exit(failed.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "tests in a mount namespace of their own:", err)
	os.Exit(1)
}
