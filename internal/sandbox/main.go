package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"nsbuild/internal/sandbox/applet"
	"nsbuild/internal/sandbox/inside"
	"nsbuild/internal/sandbox/pid1"
	"nsbuild/internal/sandbox/reexec"
)

// Main must be the first call of main, and of TestMain in tests that open jails: in a re-executed
// process it does that process's work and exits; otherwise it returns at once.
func Main(applets map[string]Applet) {
	switch os.Args[0] {
	case reexec.Init, reexec.Helper, reexec.Session, reexec.First, reexec.Limited, reexec.Applet,
		reexec.Watch:
		reexec.NameProcess(os.Args[0])
	}
	switch os.Args[0] {
	case reexec.Init:
		runtime.LockOSThread()
		os.Exit(pid1.Main())
	case reexec.Watch:
		runtime.LockOSThread()
		os.Exit(pid1.WatchMain())
	case reexec.Helper:
		runtime.LockOSThread()
		os.Exit(inside.Main())
	case reexec.Session:
		os.Exit(inside.SessionMain())
	case reexec.First:
		os.Exit(inside.FirstMain())
	case reexec.Limited:
		os.Exit(inside.LimitedMain(os.Args[1:]))
	case reexec.IDs:
		os.Exit(idsMain())
	case reexec.Applet:
		var run Applet
		if len(os.Args) > 1 {
			if run = applet.Find(os.Args[1]); run == nil {
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
	return &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{reexec.Applet, name}, args...)}
}
