package inside

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// spawnSession starts a session leader, on a terminal with that as its controlling one; it starts
// the command and stays its parent. Were the command itself the leader, or a child of PID 1, its
// process group would be an orphaned one, which the kernel does not stop (setpgid(2), "orphaned
// process group"): Ctrl-Z would do nothing. A command that is to be PID 1 needs a parent, too:
// CLONE_NEWPID cannot be had with CLONE_PARENT (clone(2)).
func spawnSession(own *reexec.Self, c *wire.Command, files []*os.File, attr *syscall.ProcAttr) (int,
	error) {
	if _, err := lookPath(c); err != nil {
		return 0, err // here, where it is still an error of the caller's
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	body, err := rawjson.Marshal(c)
	if err != nil {
		w.Close()
		return 0, err
	}
	// The session leader belongs to jail root, so that the command's user cannot disturb it.
	attr.Sys.Credential = &syscall.Credential{}
	attr.Sys.Setctty, attr.Sys.Ctty = c.Terminal, 0
	attr.Dir, attr.Env = "/", []string{}
	pid, err := own.ForkExec(reexec.Session, nil,
		reexec.Descriptors(append(append(files[:3:3], r), own.Files()...)), attr)
	if err != nil {
		w.Close()
		return 0, syserr.Wrap("starting", "a session", err)
	}
	go func() {
		// A leader that died reads nothing; its end is reported as every other is.
		_, _ = w.Write(body)
		w.Close()
	}()
	return pid, nil
}

// commandFD is the pipe on which a session leader and a command's first process are told the
// command.
const commandFD = 3

// readCommand reads it, and makes sure that the command inherits nothing but its three streams.
func readCommand() (*wire.Command, error) {
	if err := unix.CloseRange(commandFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, syserr.Wrap("close_range", "", err)
	}
	pipe := os.NewFile(commandFD, "command")
	defer pipe.Close()
	var c wire.Command
	if err := rawjson.NewDecoder(pipe).Decode(&c); err != nil {
		return nil, fmt.Errorf("reading the command: %w", err)
	}
	return &c, nil
}

// SessionMain is the session leader.
func SessionMain() int {
	c, err := readCommand()
	if err != nil {
		return reexec.Complain(err)
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT, syscall.SIGTSTP)
	if c.PID1 {
		return leadFirst(c, signals)
	}
	pid, err := startInForeground(c)
	if err != nil {
		return reexec.Complain(err)
	}
	if c.Background {
		signal.Ignore(syscall.SIGTTOU) // now: what the command ignores it has inherited
	}
	go func() {
		for s := range signals {
			sig, ok := s.(syscall.Signal)
			if !ok || c.Background && sig == syscall.SIGCONT {
				continue // the command goes on when it has the terminal
			}
			_ = syscall.Kill(-pid, sig) // a command that has ended needs none any more
		}
	}()
	return await(-pid, pid)
}

// await waits for a command and returns its status. When it is stopped, so are we; when we go on,
// so does it, or its process group.
func await(group, pid int) int {
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintf(os.Stderr, "nsbuild-session: waiting for the command: %v\n", err)
			return reexec.CannotRun
		case ws.Stopped():
			// PID 1 sees us stop and tells the caller, whose shell then has the terminal. We go on
			// when it does.
			if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
				fmt.Fprintf(os.Stderr, "nsbuild-session: %v\n", err)
			}
			if sig := ws.StopSignal(); sig == syscall.SIGTTIN || sig == syscall.SIGTTOU {
				giveTerminal(pid)
			}
			_ = syscall.Kill(group, syscall.SIGCONT) // gone is as good
		case ws.Signaled():
			return 128 + int(ws.Signal())
		default:
			return ws.ExitStatus()
		}
	}
}

// giveTerminal makes a command that was stopped for want of the terminal the foreground of it. One
// that is gone needs nothing.
func giveTerminal(pid int) {
	_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, pid)
}

// startInForeground starts the command as a process group of its own that has the terminal, unless
// it is to begin in the background.
func startInForeground(c *wire.Command) (int, error) {
	program, err := lookPath(c)
	if err != nil {
		return 0, err
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	var own *reexec.Self
	if c.Memory > 0 {
		if own, err = reexec.Inherited(commandFD + 1); err != nil {
			return 0, err
		}
	}
	pid, err := startProgram(own, program, c, []uintptr{0, 1, 2}, &syscall.ProcAttr{
		Dir: dir, Env: c.Env,
		Sys: &syscall.SysProcAttr{Credential: credential(c), Setpgid: true,
			Foreground: !c.Background, Ctty: 0},
	})
	if err != nil {
		return 0, startError(program, dir, err)
	}
	return pid, nil
}
