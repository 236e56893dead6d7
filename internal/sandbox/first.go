package sandbox

import (
	"encoding/json"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// startFirst starts a command as PID 1 of a PID namespace of its own, by way of firstMain. The session leader has been given this program at the descriptors behind its command.
func startFirst(c *Command) (int, error) {
	own, err := inheritedSelf(commandFD + 1)
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sys := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Setpgid: true}
	if c.Terminal {
		sys.Foreground, sys.Ctty = true, 0
	}
	runtime.LockOSThread() // the thread whose death is the command's
	pid, err := own.forkExec(firstName, nil, []uintptr{0, 1, 2, r.Fd()}, &syscall.ProcAttr{Dir: "/", Env: []string{}, Sys: sys})
	if err != nil {
		w.Close()
		return 0, sysErr("starting", "a PID namespace", err)
	}
	err = json.NewEncoder(w).Encode(c)
	w.Close()
	return pid, err
}

// firstMain becomes the command: it shows the processes of its own PID namespace, becomes the command's user and executes it.
func firstMain() int {
	runtime.LockOSThread()
	c, err := readCommand()
	if err == nil {
		err = becomeCommand(c)
	}
	return complain(err)
}

func becomeCommand(c *Command) error {
	if err := mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	program, err := lookPath(c)
	if err != nil {
		return err
	}
	if err := syscall.Setgroups(c.Groups); err != nil {
		return sysErr("setgroups", "", err)
	}
	if err := syscall.Setresgid(c.GID, c.GID, c.GID); err != nil {
		return sysErr("setresgid", "", err)
	}
	if err := syscall.Setresuid(c.UID, c.UID, c.UID); err != nil {
		return sysErr("setresuid", "", err)
	}
	// After setresuid, which clears it. The leader's death cannot be waited for otherwise: who leads a PID namespace outlives its parent.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return sysErr("prctl", "PR_SET_PDEATHSIG", err)
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return sysErr("chdir", dir, err)
	}
	return startError(program, dir, syscall.Exec(program, c.Argv, c.Env))
}
