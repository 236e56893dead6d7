package caller

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
)

// limit is one of getrlimit(2)'s.
type limit struct {
	resource int
	flag     string // of ulimit
	service  string // in a unit of systemd
	what     string
	least    uint64 // that nsbuild can begin with
	unit     uint64 // in which the flag counts, 1 or 1024 bytes
}

// needed are the limits below which nsbuild, or the Go runtime of one of its processes, ends in the
// middle of something. Each least value has been tried with create and build, with room to spare.
var needed = []limit{
	{unix.RLIMIT_NOFILE, "ulimit -n", "LimitNOFILE", "open files", 64, 1},
	{unix.RLIMIT_AS, "ulimit -v", "LimitAS", "address space", 2 << 30, 1024},
	{unix.RLIMIT_DATA, "ulimit -d", "LimitDATA", "data", 384 << 20, 1024},
	{unix.RLIMIT_FSIZE, "ulimit -f", "LimitFSIZE", "the size of a file", 1 << 20, 1024},
	{unix.RLIMIT_SIGPENDING, "ulimit -i", "LimitSIGPENDING", "pending signals", 64, 1},
}

// raised are the limits whose soft value is raised to the hard one. The soft value is a default
// that its owner may change. Not raised are those that change what programs do: of core dumps, and
// of the stack, by which the kernel lays out the memory of a process.
var raised = []int{
	unix.RLIMIT_AS, unix.RLIMIT_CPU, unix.RLIMIT_DATA, unix.RLIMIT_FSIZE, unix.RLIMIT_LOCKS,
	unix.RLIMIT_MEMLOCK, unix.RLIMIT_MSGQUEUE, unix.RLIMIT_NOFILE, unix.RLIMIT_NPROC,
	unix.RLIMIT_RSS, unix.RLIMIT_SIGPENDING,
}

// adoptLimits raises soft limits and refuses hard ones that are too low. A hard limit is never
// raised: it is the decision of whoever set it, for root, too.
func adoptLimits(proc string) error {
	for _, resource := range raised {
		var l unix.Rlimit
		if err := unix.Getrlimit(resource, &l); err != nil {
			return fmt.Errorf("asking for limit %d of this process: %w", resource, err)
		}
		if l.Cur == l.Max {
			continue
		}
		l.Cur = l.Max
		if err := unix.Setrlimit(resource, &l); err != nil {
			return fmt.Errorf("raising limit %d of this process: %w", resource, err)
		}
	}
	for _, n := range needed {
		var l unix.Rlimit
		if err := unix.Getrlimit(n.resource, &l); err != nil {
			return fmt.Errorf("asking for the limit of %s: %w", n.what, err)
		}
		if l.Max < n.least {
			return n.refusal(l.Max / n.unit)
		}
	}
	return checkTasks(proc)
}

func (n *limit) refusal(have uint64) error {
	least := n.least / n.unit
	hint := fmt.Sprintf("%s %d, or more (limits.conf(5), or %s= of a service)", n.flag, least,
		n.service)
	return fault.New(fault.Internal, hint,
		"the limit of this process for %s is too low: %s is %d, nsbuild needs %d", n.what, n.flag,
		have, least)
}

// neededTasks are the threads and processes of nsbuild and of one jail with a command in it.
const neededTasks = 48

// checkTasks refuses a limit of processes that leaves no room. It holds for all that the caller
// runs (RLIMIT_NPROC in getrlimit(2)), but for root, of which it bounds the jail alone.
func checkTasks(proc string) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &l); err != nil {
		return fmt.Errorf("asking for the limit of processes: %w", err)
	}
	const plenty = 1 << 15
	if l.Max > plenty {
		return nil
	}
	running := 0
	if uid := os.Getuid(); uid != 0 {
		var err error
		if running, err = tasksOf(proc, uid); err != nil {
			return err
		}
	}
	if l.Max >= uint64(running+neededTasks) {
		return nil
	}
	return fault.New(fault.Internal,
		fmt.Sprintf("ulimit -u %d, or more (limits.conf(5), or LimitNPROC= of a service)",
			running+neededTasks),
		"the limit of processes is too low: ulimit -u is %d, %d are running, nsbuild needs %d",
		l.Max, running, neededTasks)
}

// tasksOf counts the threads of a user's processes, as far as they can be seen.
func tasksOf(proc string, uid int) (int, error) {
	statuses, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "status"))
	if err != nil {
		return 0, err
	}
	all := 0
	for _, file := range statuses {
		data, err := os.ReadFile(file)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) ||
				errors.Is(err, os.ErrPermission) {
				continue // it has ended, or is hidden
			}
			return 0, err
		}
		owner, threads, err := ownerAndThreads(string(data))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		if owner == uid {
			all += threads
		}
	}
	return all, nil
}

// ownerAndThreads reads two lines of proc_pid_status(5): the real uid, and the number of threads.
func ownerAndThreads(status string) (uid, threads int, err error) {
	uid, threads = math.MinInt, 1 // a process that is about to end has no line for its threads
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "Uid":
			uid, err = strconv.Atoi(fields[0])
		case "Threads":
			threads, err = strconv.Atoi(fields[0])
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return uid, threads, nil
}
