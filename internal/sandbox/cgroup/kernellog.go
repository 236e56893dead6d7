package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"nsbuild/internal/sandbox/procs"
)

// kernelLog is the kernel's log from some moment on, and what it has told of one control group.
type kernelLog struct {
	mu    sync.Mutex
	fd    int // -1: closed
	found victims
}

// openKernelLog opens it at its end. Users often may not read it (kernel.dmesg_restrict): then
// there is none.
func openKernelLog() *kernelLog {
	fd, err := syscall.Open("/dev/kmsg", syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	if _, err := syscall.Seek(fd, 0, io.SeekEnd); err != nil {
		syscall.Close(fd)
		return nil
	}
	return &kernelLog{fd: fd}
}

func (l *kernelLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	syscall.Close(l.fd)
	l.fd = -1
}

// victims reads which processes of a control group the kernel has killed for their memory since the
// log was opened: how many, and the last of them.
func (l *kernelLog) victims(group string) (int, []Victim, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		records, err := l.read()
		if err != nil {
			return 0, nil, err
		}
		l.found.add(records, groupName(group))
	}
	return l.found.count, slices.Clone(l.found.last), nil
}

// read reads what is new.
func (l *kernelLog) read() (records []string, err error) {
	buf := make([]byte, 8192) // one record at a time (Documentation/ABI/testing/dev-kmsg)
	for {
		n, err := syscall.Read(l.fd, buf)
		switch {
		case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.EINTR):
			// records were overwritten before we read them
			continue
		case errors.Is(err, syscall.EAGAIN) || err == nil && n == 0:
			return records, nil
		case err != nil:
			return nil, fmt.Errorf("reading the kernel's log: %w", os.NewSyscallError("read", err))
		}
		_, text, _ := strings.Cut(string(buf[:n]), ";")
		text, _, _ = strings.Cut(text, "\n")
		records = append(records, text)
	}
}

// groupName is what is unique in a group's path: its own name and the leaf's. The kernel writes it
// below a root that we may not see.
func groupName(dir string) string { return dir[strings.LastIndexByte(dir, '/'):] + "/jail" }

// maxVictims is how many are remembered: a jail that goes on running out of memory must not use up
// ours.
const maxVictims = 100

// victims are the processes of a group that were killed, by the kernel's log.
type victims struct {
	chosen map[string]bool // by pid; they are killed in a later record
	last   []Victim        // the last ones
	count  int             // of all
}

// add finds the processes of the group in further records, such as
//
//	oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a/jail,task_memcg=/a/jail,task=cc1,pid=17,uid=1000
//	Memory cgroup out of memory: Killed process 17 (cc1) total-vm:9160kB, anon-rss:5120kB, file-rss:1024kB, shmem-rss:0kB, UID:1000 pgtables:60kB oom_score_adj:0
//
// A name is the process's own choice: it is shown with what could steer a terminal escaped.
func (v *victims) add(records []string, group string) {
	killed := regexp.MustCompile(
		`^Memory cgroup out of memory: Killed process (\d+) \((.*)\) total-vm:\d+kB, anon-rss:(\d+)kB, file-rss:(\d+)kB, shmem-rss:(\d+)kB`)
	chosen := regexp.MustCompile(
		`^oom-kill:.*,oom_memcg=(\S*?),task_memcg=(\S*?),task=.*,pid=(\d+),uid=\d+$`)
	if v.chosen == nil {
		v.chosen = map[string]bool{}
	}
	for _, r := range records {
		if m := chosen.FindStringSubmatch(r); m != nil &&
			(strings.HasSuffix(m[2], group) || strings.Contains(m[2], group+"/")) {
			v.chosen[m[3]] = true
		}
		m := killed.FindStringSubmatch(r)
		if m == nil || !v.chosen[m[1]] {
			continue
		}
		delete(v.chosen, m[1])
		one := Victim{Command: procs.Printable([]byte(m[2]))}
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			continue
		}
		one.PID = pid
		for _, size := range m[3:] {
			kib, err := strconv.ParseInt(size, 10, 64)
			if err != nil {
				continue
			}
			one.Memory += kib << 10
		}
		v.count++
		v.last = append(v.last, one)
		v.last = v.last[max(0, len(v.last)-maxVictims):]
	}
}
