package sampler

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// seen is what a look has seen.
type seen struct {
	busy                 time.Duration // processor time of all, and of those that have ended
	memory               int64
	processes, compilers int
}

// looker reads a proc(5).
type looker struct {
	proc    string
	begun   uint64       // when the root began, in its unit
	foreign map[int]bool // processes that do not descend from it
	looks   int          // since they were last found out
	buffer  [1024]byte
}

// refresh is after how many looks it is found out again who is foreign: numbers are used again.
const refresh = 20

func (l *looker) forget() { l.begun, l.foreign, l.looks = 0, nil, 0 }

// process is what its line in proc(5) says.
type process struct {
	parent int
	begun  uint64
	busy   time.Duration
	memory int64
	name   string
	ours   int8 // 1: yes, -1: no, 0: not known yet
}

// at looks at a process and all that descend from it, unless it has ended.
func (l *looker) at(root int) (seen, bool) {
	first, ok := l.read(root)
	if !ok || l.begun != 0 && first.begun != l.begun {
		return seen{}, false
	}
	if l.begun = first.begun; l.foreign == nil || l.looks >= refresh {
		l.foreign, l.looks = map[int]bool{}, 0
	}
	l.looks++
	dir, err := os.Open(l.proc)
	if err != nil {
		return seen{}, false
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close() // it was read
	if err != nil {
		return seen{}, false
	}
	first.ours = 1
	all := map[int]*process{root: first}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == root || l.foreign[pid] {
			continue
		}
		if p, ok := l.read(pid); ok {
			all[pid] = p
		}
	}
	var out seen
	for pid, p := range all {
		if !descends(all, pid) {
			l.foreign[pid] = true
			continue
		}
		out.busy += p.busy
		out.memory += p.memory
		if pid == root { // it is none of the build's
			continue
		}
		out.processes++
		if slices.Contains(compilers(), p.name) {
			out.compilers++
		}
	}
	return out, true
}

// descends tells whether a process descends from the one that is known to be ours.
func descends(all map[int]*process, pid int) bool {
	ours := int8(-1)
	var way []*process
	for p := all[pid]; p != nil; p = all[p.parent] {
		if p.ours != 0 {
			ours = p.ours
			break
		}
		p.ours = -1 // also where the lines were read at times that do not fit each other
		way = append(way, p)
	}
	for _, p := range way {
		p.ours = ours
	}
	return ours > 0
}

// ticksPerSecond is USER_HZ, the unit of times in proc(5): the same on all that Debian runs on.
const ticksPerSecond = 100

// read reads a process's line, unless it has ended. Its name, in parentheses, may have parentheses
// and blanks in it.
func (l *looker) read(pid int) (*process, bool) {
	fd, err := syscall.Open(l.proc+"/"+strconv.Itoa(pid)+"/stat",
		syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	n, err := syscall.Read(fd, l.buffer[:])
	_ = syscall.Close(fd) // it was read
	if err != nil || n <= 0 {
		return nil, false
	}
	line := l.buffer[:n]
	begin, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if begin < 0 || end < begin {
		return nil, false
	}
	const parent, firstTime, lastTime, begun, resident = 1, 11, 14, 19, 21
	p := &process{name: string(line[begin+1 : end])}
	i := 0
	for field := range bytes.FieldsSeq(line[end+1:]) {
		value, _ := strconv.ParseUint(string(field), 10, 64) // those that are read are numbers
		switch {
		case i == parent:
			p.parent = int(value)
		case i >= firstTime && i <= lastTime: // its own, and of children that it has waited for
			p.busy += time.Duration(value) * time.Second / ticksPerSecond
		case i == begun:
			p.begun = value
		case i == resident:
			p.memory = int64(value) * int64(os.Getpagesize())
			return p, true
		}
		i++
	}
	return nil, false
}

// compilers are the names of processes that compile or link.
func compilers() []string {
	return []string{"cc1", "cc1plus", "cc1obj", "cc1objplus", "cc1d", "d21", "f951", "gnat1",
		"go1", "lto1", "lto-wrapper", "rustc", "clang", "clang++", "compile", "ghc", "javac",
		"ocamlopt.opt", "ocamlc.opt", "valac", "as", "ld", "ld.bfd", "ld.gold", "ld.lld", "lld",
		"mold", "link", "dwz"}
}
