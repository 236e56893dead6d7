package inside

import (
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"

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

// execLimited has this process become a program with a limit of memory, which holds for all that
// the program begins, too. Private writable memory is limited, not address space: many programs
// reserve much more of that than they ever use. Nobody else inherits the limit: the Go runtime of a
// session leader does not start with little.
//
// The Go runtime has more memory than a small limit grants, and ends the process when it gets no
// more. So all that allocates comes before the limit. Nothing else runs between the two system
// calls: no other goroutine has a processor, and a raw system call gives none away.
func execLimited(size int64, program string, argv, env []string) error {
	if size == 0 {
		return syscall.Exec(program, argv, env)
	}
	path, err := syscall.BytePtrFromString(program)
	if err != nil {
		return err
	}
	argp, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return err
	}
	envp, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	limit := &unix.Rlimit{Cur: uint64(size), Max: uint64(size)}
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(1)
	_, _, errno := syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_DATA,
		uintptr(unsafe.Pointer(limit)), 0, 0, 0)
	if errno != 0 {
		return syserr.Wrap("prlimit", "DATA", errno)
	}
	_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(&argp[0])), uintptr(unsafe.Pointer(&envp[0])))
	return errno
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
	said := make([]byte, 0, 8)
	err = execLimited(size, args[2], args[3:], os.Environ())
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return reexec.Complain(err)
	}
	if _, err := syscall.Write(pipe, strconv.AppendInt(said, int64(errno), 10)); err != nil {
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
