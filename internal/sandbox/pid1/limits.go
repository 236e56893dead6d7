package pid1

import (
	"errors"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/limits"
	"nsbuild/internal/sandbox/syserr"
)

// withTaskLimit does work, the making of the jail's user namespace, with a limit of processes that
// the namespace keeps: it is counted over all of its users (RLIMIT_NPROC in getrlimit(2),
// user_namespaces(7)). Our own threads count, and must not be caught by it; afterwards PID 1 has
// its limit back.
func withTaskLimit(tasks int, work func() error) error {
	if tasks == 0 || !limits.PerNamespace() {
		return work()
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &old); err != nil {
		return syserr.Wrap("getrlimit", "NPROC", err)
	}
	lower := unix.Rlimit{Cur: min(uint64(tasks+2*limits.HelperTasks), old.Max), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &lower); err != nil {
		return syserr.Wrap("setrlimit", "NPROC", err)
	}
	err := work()
	return errors.Join(err,
		syserr.Wrap("setrlimit", "NPROC", unix.Setrlimit(unix.RLIMIT_NPROC, &old)))
}
