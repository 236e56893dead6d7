package inside

import (
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/limits"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// startProgram starts a command. One whose memory is limited begins as this program, which limits
// itself: a limit that is set from outside comes when the command has run for a while, on a busy
// machine long enough to have all the memory that it wants.
func startProgram(own *reexec.Self, program string, c *wire.Command, files []uintptr,
	attr *syscall.ProcAttr) (int, error) {
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
	pid, err := own.ForkExec(reexec.Limited, args, append(files[:n:n], w.Fd()), attr)
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

// spareMemory limits us, who are about to become a command and need no more, and so all that it
// will begin. Private writable memory, not address space: many programs reserve much more of that
// than they ever use. Nobody else's to be inherited: the Go runtime of a session leader does not
// start with little.
func spareMemory(size int64) error {
	if size == 0 {
		return nil
	}
	return syserr.Wrap("setrlimit", "DATA",
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(size), Max: uint64(size)}))
}

// LimitedMain becomes the command that startProgram was given: its limit, the number of its
// descriptors, behind which there is a pipe, its program and its arguments.
func LimitedMain(args []string) int {
	size, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return reexec.Complain(err)
	}
	pipe, err := strconv.Atoi(args[1])
	if err != nil {
		return reexec.Complain(err)
	}
	if err := unix.CloseRange(uint(pipe), ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return reexec.Complain(syserr.Wrap("close_range", "", err))
	}
	if err := spareMemory(size); err != nil {
		return reexec.Complain(err)
	}
	err = syscall.Exec(args[2], args[3:], os.Environ())
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return reexec.Complain(err)
	}
	if _, err := syscall.Write(pipe, []byte(strconv.Itoa(int(errno)))); err != nil {
		return reexec.Complain(err)
	}
	return reexec.CannotRun
}

// spareProcessors sets what every command inherits in place of a limit for all.
func spareProcessors(l wire.Limits) error {
	if l.CPUs > 0 {
		var all, some unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			return syserr.Wrap("sched_getaffinity", "", err)
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
		for i := range min(limits.Processors(l.CPUs), count) {
			some.Set(usable[(first+i)%count])
		}
		if err := unix.SchedSetaffinity(0, &some); err != nil {
			return syserr.Wrap("sched_setaffinity", "", err)
		}
	}
	return nil
}
