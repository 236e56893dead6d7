// Package procs reads what /proc says of processes, and kills them. In PID 1 these are the
// processes of its PID namespace, jails' nested ones too; in the caller its own children.
package procs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
)

// Process is one of the PID namespace, as /proc shows it (proc_pid_stat(5)).
type Process struct {
	PID, Parent, group, Session int
	Name, State                 string
	Start                       time.Duration // since boot
}

// List lists the living processes that are wanted, those of nested PID namespaces too.
func List(wanted func(*Process) bool) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, alive, err := Read(pid)
		if Gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if alive && wanted(&p) {
			all = append(all, p)
		}
	}
	return all, nil
}

// Ours tells whether a process is in our user namespace or below it: only those let us look at
// their namespaces (PTRACE_MODE_READ in ptrace(2)). A process that has ended is not.
func Ours(pid int) bool {
	_, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/user")
	return err == nil
}

// Kill kills the process, and not another that has been given its number since.
func (p *Process) Kill() error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	switch {
	case errors.Is(err, unix.ENOSYS): // before Linux 5.3
		err = syscall.Kill(p.PID, syscall.SIGKILL)
	case err == nil:
		defer unix.Close(fd)
		now, _, read := Read(p.PID)
		switch {
		case Gone(read) || read == nil && now.Start != p.Start:
			return nil
		case read != nil:
			return read
		}
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return syserr.Wrap("kill", p.Name, err)
}

// Gone tells whether a process ended while it was looked at.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// Read reads /proc/PID/stat.
func Read(pid int) (_ Process, alive bool, err error) {
	file := "/proc/" + strconv.Itoa(pid) + "/stat"
	stat, err := os.ReadFile(file)
	if err != nil {
		return Process{}, false, err
	}
	// The name stands in brackets and may hold anything, brackets too.
	first, last := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if first < 0 || last < first {
		return Process{}, false, fmt.Errorf("%s cannot be read: %q", file, stat)
	}
	// state ppid pgrp session … starttime is field 22, in ticks since boot
	fields := strings.Fields(string(stat[last+1:]))
	if len(fields) < 20 {
		return Process{}, false, fmt.Errorf("%s has too few fields", file)
	}
	parent, err1 := strconv.Atoi(fields[1])
	group, err2 := strconv.Atoi(fields[2])
	session, err3 := strconv.Atoi(fields[3])
	ticks, err4 := strconv.ParseInt(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Process{}, false, fmt.Errorf("%s: %w", file, err)
	}
	const perSecond = 100 // USER_HZ, fixed in the kernel's interface to user space
	p := Process{
		PID: pid, Parent: parent, group: group, Session: session,
		Name: string(stat[first+1 : last]), State: fields[0],
		Start: time.Duration(ticks) * time.Second / perSecond,
	}
	return p, fields[0] != "Z" && fields[0] != "X", nil
}

// EndGroup waits until a child of ours has ended that leads a process group, and kills what is left
// of the group. The child is not reaped: until the caller has done so, the number of the group
// cannot become another one's.
func EndGroup(leader int) (left bool, err error) {
	for {
		err := unix.Waitid(unix.P_PID, leader, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return false, syserr.Wrap("waitid", strconv.Itoa(leader), err)
		}
	}
	members, err := List(func(p *Process) bool { return p.group == leader })
	if err != nil || len(members) == 0 { // the dead are not listed
		return false, err
	}
	return true, syserr.Wrap("kill", members[0].Name, syscall.Kill(-leader, syscall.SIGKILL))
}

// Printable joins a command line with blanks and escapes what could steer a terminal or forge a
// line of the log.
func Printable(line []byte) string {
	const longest = 200
	text := strings.ReplaceAll(string(line), "\x00", " ")
	quoted := strconv.Quote(text)
	text = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return text
}
