package inside

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// leadFirst starts a command as PID 1 of a PID namespace of its own, waits for it and does to it
// what signals are to do. It shares our process group, so that the keys of a terminal reach both of
// us.
func leadFirst(c *wire.Command, signals <-chan os.Signal) int {
	runtime.LockOSThread() // the thread whose death is the command's
	pid, err := startFirst(c)
	if err != nil {
		return reexec.Complain(err)
	}
	var ended atomic.Int32
	go func() {
		for s := range signals {
			if sig, ok := s.(syscall.Signal); ok && act(pid, sig) {
				ended.Store(int32(sig))
			}
		}
	}()
	status := await(pid, pid)
	if sig := int(ended.Load()); sig != 0 && status == 128+int(syscall.SIGKILL) {
		return 128 + sig
	}
	return status
}

// act passes a signal on to a PID 1 that has left our process group, which otherwise has it from
// who sent it to us. The kernel does not let signals end or stop a PID 1 that does not handle them
// (pid_namespaces(7)): that is done here, and act tells whether it has ended it. A command that is
// gone needs no signals.
func act(pid int, sig syscall.Signal) (ended bool) {
	if group, err := unix.Getpgid(pid); err == nil && group != unix.Getpgrp() {
		_ = syscall.Kill(pid, sig)
	}
	if handled, err := handles(pid, sig); err != nil || handled {
		return false
	}
	switch sig {
	case syscall.SIGTSTP:
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1,
		syscall.SIGUSR2:
		return syscall.Kill(pid, syscall.SIGKILL) == nil
	}
	return false
}

// handles tells whether a process catches or ignores a signal (SigCgt and SigIgn in
// proc_pid_status(5)).
func handles(pid int, sig syscall.Signal) (bool, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(data)) {
		name, mask, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "SigCgt" && name != "SigIgn" {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if err != nil {
			return false, err
		}
		if bits&(1<<(sig-1)) != 0 {
			return true, nil
		}
	}
	return false, nil
}

// startFirst starts it by way of FirstMain. We have been given this program at the descriptors
// behind the command's.
func startFirst(c *wire.Command) (int, error) {
	own, err := reexec.Inherited(commandFD + 1)
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	pid, err := own.ForkExec(reexec.First, nil, []uintptr{0, 1, 2, r.Fd()}, &syscall.ProcAttr{
		Dir: "/", Env: []string{},
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS},
	})
	if err != nil {
		w.Close()
		return 0, syserr.Wrap("starting", "a PID namespace", err)
	}
	return pid, errors.Join(rawjson.NewEncoder(w).Encode(c), w.Close())
}

// FirstMain becomes the command: it shows the processes of its own PID namespace, becomes the
// command's user and executes it.
func FirstMain() int {
	runtime.LockOSThread()
	c, err := readCommand()
	if err == nil {
		err = becomeCommand(c)
	}
	return reexec.Complain(err)
}

func becomeCommand(c *wire.Command) error {
	if err := mounts.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := mounts.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		""); err != nil {
		return err
	}
	program, err := lookPath(c)
	if err != nil {
		return err
	}
	if err := syscall.Setgroups(c.Groups); err != nil {
		return syserr.Wrap("setgroups", "", err)
	}
	if err := syscall.Setresgid(c.GID, c.GID, c.GID); err != nil {
		return syserr.Wrap("setresgid", "", err)
	}
	if err := syscall.Setresuid(c.UID, c.UID, c.UID); err != nil {
		return syserr.Wrap("setresuid", "", err)
	}
	// After setresuid, which clears it. The leader's death cannot be waited for otherwise: who
	// leads a PID namespace outlives its parent.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return syserr.Wrap("prctl", "PR_SET_PDEATHSIG", err)
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return syserr.Wrap("chdir", dir, err)
	}
	return startError(program, dir, execLimited(c.Memory, program, c.Argv, c.Env))
}
