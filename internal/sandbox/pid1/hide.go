package pid1

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// hideFrom keeps PID 1 out of reach of a jail in which the caller's own uid is mapped. PID 1 has
// run under that uid, to find its way below a home of mode 0700, and whoever shares a uid with a
// process may send it signals (a Go program dies of SIGSEGV), set its limits and choose its
// processors (kill(2), prlimit(2), sched_setaffinity(2)). It takes the id that the caller's has
// displaced in the jail, which nobody there has. From then on it reaches the caller's files by its
// capabilities alone: all, but not what belongs to a group that is not the caller's own. So the
// jail's mounts come first.
func (p *pid1) hideFrom(caller *wire.Caller) error {
	switch {
	case caller == nil && p.hidden == nil, caller != nil && p.hidden != nil &&
		*p.hidden == caller.UID:
		return nil
	case p.hidden != nil:
		return errors.New("after a jail with the caller's ids there can be none with others " +
			"under the same PID 1")
	}
	id := caller.UID
	if err := syscall.Setresuid(id, id, id); err != nil {
		return syserr.Wrap("setresuid", "PID 1", err)
	}
	p.hidden = &id
	// A new uid clears both (prctl(2)). What is not dumpable has files in /proc that belong to the
	// root of its user namespace, who is jail root where the caller is not (proc(5)).
	return errors.Join(
		syserr.Wrap("prctl", "PDEATHSIG",
			unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0,
				0, 0)),
		syserr.Wrap("prctl", "DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)),
	)
}
