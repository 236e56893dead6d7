package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits bound what everything in the jails of a holder may use together. Zero values are no
// limits.
type Limits struct {
	Memory int64   // bytes, what is written to a throwaway root on a tmpfs included
	CPUs   float64 // processors' worth of time
	PIDs   int     // processes and threads
}

// Exhaustion is what the kernel did because memory ran out in a jail.
type Exhaustion struct {
	Limit, Peak int64 // bytes; Peak is 0 where the kernel does not say
	Kills       int   // processes that it killed
	// Named is how many of them the kernel's log names, as far as it is readable, and Victims are
	// the last of those.
	Named   int
	Victims []Victim
}

// Since is what has happened since an earlier answer about the same holder; nil when nothing has.
func (e *Exhaustion) Since(before *Exhaustion) *Exhaustion {
	if e == nil || before == nil {
		return e
	}
	if e.Kills <= before.Kills {
		return nil
	}
	since := *e
	since.Kills -= before.Kills
	since.Named -= before.Named
	since.Victims = e.Victims[len(e.Victims)-min(since.Named, len(e.Victims)):]
	return &since
}

// Victim is a process that was killed for its memory.
type Victim struct {
	Command string // its name, at most 15 bytes
	PID     int    // as the host numbers it; 0 where that is not known
	Memory  int64  // bytes that it had in memory
}

func (e *Exhaustion) String() string {
	text := fmt.Sprintf("memory ran out, with a limit of %s: the kernel killed ", mib(e.Limit))
	if len(e.Victims) == 0 {
		what := "a process"
		if e.Kills > 1 {
			what = fmt.Sprintf("%d processes", e.Kills)
		}
		return text + what + " (its log says which: sudo dmesg)"
	}
	var names []string
	for _, v := range e.Victims {
		name := v.Command
		if v.PID > 0 {
			name += fmt.Sprintf(" (pid %d)", v.PID)
		}
		names = append(names, name+" at "+mib(v.Memory))
	}
	if more := e.Kills - len(e.Victims); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return text + strings.Join(names, ", ")
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// confine puts PID 1 into a control group with the limits. What cannot be limited so is limited for
// each process as far as that goes, by PID 1; a note says which, and why.
func (h *Holder) confine(spec *HolderSpec) error {
	if spec.Limits == (Limits{}) {
		return nil
	}
	group, why, err := newCgroup(spec.Limits, h.pid)
	if err != nil {
		return err
	}
	left := spec.Limits
	if group != nil {
		h.group, spec.Group = group, group.jail()
		for _, c := range group.controllers {
			switch c {
			case "memory":
				left.Memory = 0
			case "cpu":
				left.CPUs = 0
			case "pids":
				left.PIDs = 0
			}
		}
		if err := group.admit(h.pid); err != nil {
			return err
		}
	}
	spec.Spare = left
	if _, booted := os.Stat(systemdDir); group == nil && booted == nil {
		user := ""
		if os.Geteuid() != 0 {
			user = "--user "
		}
		why += " (systemd-run " + user +
			"--scope -p Delegate=yes nsbuild … begins nsbuild where they may be)"
	}
	if left.Memory > 0 {
		h.spared = append(
			h.spared,
			fmt.Sprintf("memory is limited to %s for each process, not for all together: %s",
				mib(left.Memory), why))
	}
	if left.CPUs > 0 {
		h.spared = append(h.spared,
			fmt.Sprintf("processors are limited to %d by what processes begin with, "+
				"which they can change: %s", spareCPUs(left.CPUs), why))
	}
	if left.PIDs > 0 && !countsNamespaces() {
		h.spared = append(h.spared, "the number of processes is not limited: "+why+
			", and this kernel does not count those of a user namespace")
	}
	return nil
}

// Spared are the limits that do not hold for all processes together, or not at all: a line for
// each, with the reason.
func (h *Holder) Spared() []string { return h.spared }

// Exhausted tells whether processes were killed because memory ran out; nil when none was. It is to
// be asked before Close.
func (h *Holder) Exhausted() (*Exhaustion, error) {
	if h.group == nil || !slices.Contains(h.group.controllers, "memory") {
		return nil, nil
	}
	kills, err := h.group.count("memory.events", "oom_kill")
	if err != nil || kills == 0 {
		return nil, err
	}
	e := &Exhaustion{Limit: h.group.limits.Memory, Kills: int(kills)}
	// since Linux 5.19
	if e.Peak, err = h.group.count("memory.peak", ""); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if h.group.log != nil {
		if e.Named, e.Victims, err = h.group.log.victims(h.group.dir); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// countsNamespaces tells whether RLIMIT_NPROC counts all processes of a user namespace, as it does
// since Linux 5.14.
func countsNamespaces() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major,
		&minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 14
}

// spareCPUs is how many processors stand for a share of time.
func spareCPUs(cpus float64) int { return max(1, int(math.Ceil(cpus))) }

// withTaskLimit does work, the making of the jail's user namespace, with a limit of processes that
// the namespace keeps: it is counted over all of its users (RLIMIT_NPROC in getrlimit(2),
// user_namespaces(7)). Our own threads count, and must not be caught by it; afterwards PID 1 has
// its limit back.
func withTaskLimit(tasks int, work func() error) error {
	if tasks == 0 || !countsNamespaces() {
		return work()
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &old); err != nil {
		return sysErr("getrlimit", "NPROC", err)
	}
	lower := unix.Rlimit{Cur: min(uint64(tasks+2*helperTasks), old.Max), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &lower); err != nil {
		return sysErr("setrlimit", "NPROC", err)
	}
	err := work()
	return errors.Join(err, sysErr("setrlimit", "NPROC", unix.Setrlimit(unix.RLIMIT_NPROC, &old)))
}

// spareMemory limits us, who are about to become a command and need no more, and so all that it
// will begin. Private writable memory, not address space: many programs reserve much more of that
// than they ever use. Nobody else's to be inherited: the Go runtime of a session leader does not
// start with little.
func spareMemory(size int64) error {
	if size == 0 {
		return nil
	}
	return sysErr("setrlimit", "DATA",
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(size), Max: uint64(size)}))
}

// start starts a command. One whose memory is limited begins as this program, which limits itself:
// a limit that is set from outside comes when the command has run for a while, on a busy machine
// long enough to have all the memory that it wants.
func (s *self) start(program string, c *Command, files []uintptr, attr *syscall.ProcAttr) (
	int, error) {
	if c.Memory == 0 {
		attr.Files = files
		return syscall.ForkExec(program, c.Argv, attr)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n := len(files)
	args := append([]string{strconv.FormatInt(c.Memory, 10), strconv.Itoa(n), program}, c.Argv...)
	pid, err := s.forkExec(limitedName, args, append(files[:n:n], w.Fd()), attr)
	w.Close()
	if err != nil {
		return 0, err
	}
	// The command closes it by beginning.
	failed, err := io.ReadAll(r)
	if err != nil || len(failed) == 0 {
		return pid, err
	}
	errno, err := strconv.Atoi(string(failed))
	if err != nil {
		return 0, err
	}
	return 0, syscall.Errno(errno)
}

// limitedMain becomes the command that start was given: its limit, the number of its descriptors,
// behind which there is a pipe, its program and its arguments.
func limitedMain(args []string) int {
	size, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return complain(err)
	}
	pipe, err := strconv.Atoi(args[1])
	if err != nil {
		return complain(err)
	}
	if err := unix.CloseRange(uint(pipe), ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return complain(sysErr("close_range", "", err))
	}
	if err := spareMemory(size); err != nil {
		return complain(err)
	}
	err = syscall.Exec(args[2], args[3:], os.Environ())
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return complain(err)
	}
	if _, err := syscall.Write(pipe, []byte(strconv.Itoa(int(errno)))); err != nil {
		return complain(err)
	}
	return cannotRun
}

// spareProcessors sets what every command inherits in place of a limit for all.
func spareProcessors(l Limits) error {
	if l.CPUs > 0 {
		var all, some unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			return sysErr("sched_getaffinity", "", err)
		}
		// Not always the first ones, which all jails would share.
		count := all.Count()
		first := os.Getpid()
		if count > 0 {
			first %= count
		}
		var usable []int
		for cpu := 0; len(usable) < count; cpu++ {
			if all.IsSet(cpu) {
				usable = append(usable, cpu)
			}
		}
		for i := range min(spareCPUs(l.CPUs), count) {
			some.Set(usable[(first+i)%count])
		}
		if err := unix.SchedSetaffinity(0, &some); err != nil {
			return sysErr("sched_setaffinity", "", err)
		}
	}
	return nil
}

// openGroup opens the jail's control group, for clone3(2), or returns nil when there is none.
func openGroup(group string) (*os.File, error) {
	if group == "" {
		return nil, nil
	}
	return openPath(HostRoot + group)
}

// joinGroup has a child begin in the group.
func joinGroup(group *os.File, attr *syscall.SysProcAttr) {
	if group != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(group.Fd())
	}
}
