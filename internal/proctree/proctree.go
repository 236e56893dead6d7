// Package proctree tells what the processes of a jail are doing: as a tree, with their command
// lines, states, processor time, and where in the kernel they wait, with their sockets and with
// the locks that they have or wait for. It reads /proc, in a process of the jail's own, and
// believes nothing of what it reads there: a process chooses its own name.
//
// When somebody wants to know, and what becomes of the processes, is internal/pkgbuild's.
package proctree

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Applet is the name of the process that tells it, and Main its function.
const Applet = "process-tree"

// Main writes the tree to standard output. Itself it leaves out.
func Main([]string) int {
	out := bufio.NewWriter(os.Stdout)
	err := Write(out, "/proc", os.Getpid())
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is a line of the tree.
type process struct {
	pid, parent int
	state       string
	cpu         time.Duration
	wait        string // the function of the kernel that it waits in; ""
	call        string // the system call that it is in; ""
	sockets     int    // that it has open
	command     string
}

// most bounds how many processes are told of, and longest how much of a command line.
const (
	most    = 500
	longest = 300
)

// Write writes the tree of the processes that a proc(5) shows, but for one and those below it.
func Write(to io.Writer, proc string, but int) error {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return err
	}
	below := map[int][]*process{}
	known := map[int]bool{}
	var all []*process
	open := &files{proc: proc, left: mostFiles, locked: map[string]string{}}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == but {
			continue
		}
		p, ok := read(proc, pid)
		if !ok {
			continue // it has ended
		}
		all = append(all, p)
		known[pid] = true
	}
	slices.SortFunc(all, func(a, b *process) int { return a.pid - b.pid })
	for _, p := range all {
		p.sockets = open.look(p)
	}
	for _, p := range all {
		parent := p.parent
		if !known[parent] {
			parent = 0
		}
		below[parent] = append(below[parent], p)
	}
	w := writer{to: to, below: below, done: map[int]bool{}}
	w.tree(0, 0)
	if w.left > 0 {
		fmt.Fprintf(to, "and %d more\n", w.left)
	}
	open.tellSockets(to)
	open.tellLocks(to, all)
	return nil
}

type writer struct {
	to    io.Writer
	below map[int][]*process
	done  map[int]bool // a process may have been read after its number was used again
	lines int
	left  int
}

func (w *writer) tree(parent, depth int) {
	for _, p := range w.below[parent] {
		if w.done[p.pid] {
			continue
		}
		w.done[p.pid] = true
		if w.lines++; w.lines > most {
			w.left++
			continue
		}
		extra := ""
		if p.wait != "" {
			extra += ", waits in " + p.wait
		}
		if p.call != "" {
			extra += " (" + p.call + ")"
		}
		if p.sockets == 1 {
			extra += ", 1 socket"
		} else if p.sockets > 1 {
			extra += fmt.Sprintf(", %d sockets", p.sockets)
		}
		fmt.Fprintf(w.to, "%s%d %s, %s of processor time%s: %s\n",
			strings.Repeat("  ", min(depth, 40)), p.pid, p.state,
			p.cpu.Round(10*time.Millisecond), extra, p.command)
		w.tree(p.pid, depth+1)
	}
}

// read reads what there is about a process, unless it has ended.
func read(proc string, pid int) (*process, bool) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	// the name, in parentheses, may have parentheses and blanks in it
	end := bytes.LastIndexByte(stat, ')')
	if err != nil || end < 0 {
		return nil, false
	}
	f := strings.Fields(string(stat[end+1:]))
	const stateField, parentField, userField, systemField = 0, 1, 11, 12
	if len(f) <= systemField {
		return nil, false
	}
	p := &process{pid: pid, state: states(f[stateField])}
	p.parent, _ = strconv.Atoi(f[parentField]) // what is no number is no parent
	for _, i := range []int{userField, systemField} {
		ticks, _ := strconv.ParseInt(f[i], 10, 64)
		p.cpu += time.Duration(ticks) * time.Second / ticksPerSecond
	}
	if wait, err := os.ReadFile(filepath.Join(dir, "wchan")); err == nil && string(wait) != "0" {
		p.wait = string(wait)
		p.call = systemCall(filepath.Join(dir, "syscall"))
	}
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.command = strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	if err != nil || p.command == "" {
		begin := bytes.IndexByte(stat, '(')
		p.command = "[" + string(stat[begin+1:end]) + "]"
	}
	if len(p.command) > longest {
		p.command = p.command[:longest] + "…"
	}
	p.command = printable(p.command)
	return p, true
}

// short is what a process is called where its number stands before it.
func (p *process) short() string {
	const longest = 40
	if r := []rune(p.command); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return p.command
}

// systemCall is the system call that a process is in: its name where it is one that programs wait
// in on all machines alike, else its number. Where the kernel does not say it is "".
func systemCall(file string) string {
	text, err := os.ReadFile(file)
	words := strings.Fields(string(text))
	if err != nil || len(words) < 2 { // "running" is none
		return ""
	}
	number, err := strconv.Atoi(words[0])
	if err != nil || number < 0 {
		return ""
	}
	names := map[int]string{unix.SYS_READ: "read", unix.SYS_WRITE: "write", unix.SYS_WAIT4: "wait4",
		unix.SYS_WAITID: "waitid", unix.SYS_FUTEX: "futex", unix.SYS_PPOLL: "ppoll",
		unix.SYS_PSELECT6: "pselect6", unix.SYS_NANOSLEEP: "nanosleep",
		unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep", unix.SYS_FLOCK: "flock",
		unix.SYS_FCNTL: "fcntl", unix.SYS_CONNECT: "connect", unix.SYS_ACCEPT4: "accept4",
		unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg", unix.SYS_SENDTO: "sendto",
		unix.SYS_SENDMSG: "sendmsg", unix.SYS_EPOLL_PWAIT: "epoll_pwait",
		unix.SYS_RT_SIGSUSPEND: "rt_sigsuspend", unix.SYS_RT_SIGTIMEDWAIT: "rt_sigtimedwait",
		unix.SYS_OPENAT: "openat", unix.SYS_FSYNC: "fsync"}
	if name, ok := names[number]; ok {
		return name
	}
	return fmt.Sprintf("system call %d", number)
}

// ticksPerSecond is USER_HZ, the unit of times in proc(5): the same on all that Debian runs on.
const ticksPerSecond = 100

// states are the letters of proc(5) in words.
func states(letter string) string {
	if text, ok := map[string]string{"R": "running", "S": "sleeping", "D": "in the kernel",
		"T": "stopped", "t": "traced", "Z": "ended, not waited for"}[letter]; ok {
		return text
	}
	return "state " + letter
}

// printable has no character that begins a line of its own.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
}
