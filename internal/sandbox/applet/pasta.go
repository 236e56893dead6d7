package applet

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/syserr"
)

// pastaMain becomes pasta: with the host's files, in a mount namespace of its own, in which /proc
// shows the jail's helper.
func pastaMain(args []string) int {
	runtime.LockOSThread()
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "a program and a process are expected, not %q\n", args)
		return 2
	}
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = mounts.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	}
	if err == nil {
		err = mounts.Mount("/proc", layout.Host+"/proc", "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil {
		err = syserr.Wrap("chroot", layout.Host, unix.Chroot(layout.Host))
	}
	if err == nil {
		err = os.Chdir("/")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ns := "/proc/" + args[1] + "/ns/"
	argv := []string{
		"pasta", "--quiet", "--config-net", "--userns", ns + "user", "--netns", ns + "net",
		"--dns-forward", mounts.ResolverAddress,
		// Nothing of the host's own is reached from inside, by its loopback address or the
		// gateway's; no port of the jail opens on the host.
		"--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
	}
	fmt.Fprintln(
		os.Stderr,
		syserr.Wrap("exec", args[0], syscall.Exec(args[0], argv, []string{"PATH=/usr/bin:/bin"})))
	return 1
}
