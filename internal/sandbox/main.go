package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The names by which a re-executed binary knows its part. They stand in argv[0], which no user
// types, and are seen in ps(1).
const (
	initName   = "nsbuild-init"
	helperName = "nsbuild-helper"
	appletName = "nsbuild-applet"
	// sessionName leads the session of a command on a terminal; see spawnSession.
	sessionName = "nsbuild-session"
	// firstName becomes a command that is PID 1; see startFirst.
	firstName = "nsbuild-first"
	// limitedName becomes a command whose memory is limited; see self.start.
	limitedName = "nsbuild-limited"
	// idsName only holds a user namespace for others to refer to; see usersOf.
	idsName = "nsbuild-ids"
)

// quickStart is the environment of PID 1 and of the helper, which do one thing at a time.
var quickStart = []string{"GOMAXPROCS=2"}

// HostRoot is where an applet that runs in H finds the host's tree.
const HostRoot = "/host"

// Applet is a function of this program that runs as a process of its own, in a jail
// (Command.Applet) or in H (Holder.Applet). Descriptor 3 and on are Command.Files. What it returns
// is its exit status.
type Applet func(args []string) int

// Main must be the first call of main, and of TestMain in tests that open jails: in a re-executed
// process it does that process's work and exits; otherwise it returns at once.
func Main(applets map[string]Applet) {
	switch os.Args[0] {
	case initName, helperName, sessionName, firstName, limitedName, appletName:
		nameProcess(os.Args[0])
	}
	switch os.Args[0] {
	case initName:
		runtime.LockOSThread()
		os.Exit(initMain())
	case helperName:
		runtime.LockOSThread()
		os.Exit(helperMain())
	case sessionName:
		os.Exit(sessionMain())
	case firstName:
		os.Exit(firstMain())
	case limitedName:
		os.Exit(limitedMain(os.Args[1:]))
	case idsName:
		os.Exit(idsMain())
	case appletName:
		var run Applet
		if len(os.Args) > 1 {
			if run = builtinApplet(os.Args[1]); run == nil {
				run = applets[os.Args[1]]
			}
		}
		if run == nil {
			fmt.Fprintf(os.Stderr, "no applet %q\n", os.Args[1:])
			os.Exit(127)
		}
		os.Exit(run(os.Args[2:]))
	}
}

// HostApplet is a command that runs an applet of this program outside of every jail, as its caller.
func HostApplet(name string, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{appletName, name}, args...)}
}

// nameProcess makes ps(1) and top(1) show a name instead of that of the descriptor we were started
// by. The name is decoration: that it could not be set harms nobody.
func nameProcess(name string) {
	if text, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(text)), 0, 0, 0)
	}
}
