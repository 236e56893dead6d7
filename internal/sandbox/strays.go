package sandbox

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
)

// maxStrays bounds what is reported: a fork bomb is named by its first processes.
const maxStrays = 1000

// process is one of the PID namespace, as /proc shows it (proc_pid_stat(5)).
type process struct {
	pid, parent, group, session int
	name, state                 string
	start                       time.Duration // since boot
}

// processes lists the living processes that are wanted, those of nested PID namespaces too.
func processes(wanted func(*process) bool) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, alive, err := readProcess(pid)
		if gone(err) {
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

// kill kills the process, and not another that has been given its number since.
func (p *process) kill() error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	switch {
	case errors.Is(err, unix.ENOSYS): // before Linux 5.3
		err = syscall.Kill(p.pid, syscall.SIGKILL)
	case err == nil:
		defer unix.Close(fd)
		now, _, read := readProcess(p.pid)
		switch {
		case gone(read) || read == nil && now.start != p.start:
			return nil
		case read != nil:
			return read
		}
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return sysErr("kill", p.name, err)
}

// gone tells whether a process ended while it was looked at.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// readProcess reads /proc/PID/stat.
func readProcess(pid int) (_ process, alive bool, err error) {
	file := "/proc/" + strconv.Itoa(pid) + "/stat"
	stat, err := os.ReadFile(file)
	if err != nil {
		return process{}, false, err
	}
	// The name stands in brackets and may hold anything, brackets too.
	first, last := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if first < 0 || last < first {
		return process{}, false, fmt.Errorf("%s cannot be read: %q", file, stat)
	}
	// state ppid pgrp session … starttime is field 22, in ticks since boot
	fields := strings.Fields(string(stat[last+1:]))
	if len(fields) < 20 {
		return process{}, false, fmt.Errorf("%s has too few fields", file)
	}
	parent, err1 := strconv.Atoi(fields[1])
	group, err2 := strconv.Atoi(fields[2])
	session, err3 := strconv.Atoi(fields[3])
	ticks, err4 := strconv.ParseInt(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return process{}, false, fmt.Errorf("%s: %w", file, err)
	}
	const perSecond = 100 // USER_HZ, fixed in the kernel's interface to user space
	p := process{
		pid: pid, parent: parent, group: group, session: session,
		name: string(stat[first+1 : last]), state: fields[0],
		start: time.Duration(ticks) * time.Second / perSecond,
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
			return false, sysErr("waitid", strconv.Itoa(leader), err)
		}
	}
	members, err := processes(func(p *process) bool { return p.group == leader })
	if err != nil || len(members) == 0 { // the dead are not listed
		return false, err
	}
	return true, sysErr("kill", members[0].name, syscall.Kill(-leader, syscall.SIGKILL))
}

// listStrays lists the processes of the PID namespace, nested ones included, but those to be spared
// and the dead.
func listStrays(spared map[int]bool) ([]Stray, error) {
	var uptime unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &uptime); err != nil {
		return nil, sysErr("clock_gettime", "", err)
	}
	all, err := processes(func(p *process) bool { return !spared[p.pid] })
	if err != nil {
		return nil, err
	}
	var strays []Stray
	for _, p := range all[:min(len(all), maxStrays)] {
		line, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/cmdline")
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			line = []byte("[" + p.name + "]")
		}
		strays = append(strays, Stray{
			PID: p.pid, PPID: p.parent, Command: printable(bytes.TrimRight(line, "\x00")),
			Age: (time.Duration(uptime.Nano()) - p.start).Round(10 * time.Millisecond), process: p,
		})
	}
	return strays, nil
}

// printable joins a command line with blanks and escapes what could steer a terminal or forge a
// line of the log.
func printable(line []byte) string {
	const longest = 200
	text := strings.ReplaceAll(string(line), "\x00", " ")
	quoted := strconv.Quote(text)
	text = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return text
}
