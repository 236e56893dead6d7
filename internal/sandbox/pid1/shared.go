package pid1

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// shared is what we have in the place of a PID namespace of our own. Jails' processes are those
// that are in H's user namespace or below it: nothing leaves it, whatever id it takes, and over
// nothing else do we have capabilities. A watcher ends them when we are gone.
type shared struct {
	// gone is the end of a pipe that the watcher has, too: the caller reads the end of the file
	// when neither is there any more.
	gone *os.File
	// pipe is the other end of the watcher's standard input, which nobody but us has.
	pipe *os.File
}

// newShared takes over what comes with the request, and becomes the parent of orphans.
func newShared(files []*os.File) (*shared, error) {
	if len(files) != 1 {
		wire.CloseFiles(files)
		return nil, fmt.Errorf("%d descriptors came for the watcher", len(files))
	}
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	return &shared{gone: files[0]}, syserr.Wrap("prctl", "CHILD_SUBREAPER", err)
}

// ensureWatch starts the watcher where there is none: before anything is started that it would end.
func (p *pid1) ensureWatch() error {
	s := p.shared
	if s == nil || p.children.watcherPID() != 0 {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = p.children.forkWatcher(func() (int, error) {
		return p.self.ForkExec(reexec.Watch, nil,
			[]uintptr{r.Fd(), p.null.Fd(), os.Stderr.Fd(), s.gone.Fd()}, &syscall.ProcAttr{
				Dir: "/", Env: reexec.QuickStart(),
				Sys: &syscall.SysProcAttr{AmbientCaps: p.caps, Setsid: true},
			})
	})
	if err != nil {
		w.Close()
		return syserr.Wrap("starting", "the watcher", err)
	}
	if s.pipe != nil {
		s.pipe.Close()
	}
	s.pipe = w
	return nil
}

// keepWatch starts the watcher again when it has ended: killAll kills it, too.
func (p *pid1) keepWatch() {
	for range p.children.watcherLost {
		p.turn.Lock()
		if err := p.ensureWatch(); err != nil {
			fmt.Fprintln(os.Stderr, "nsbuild-init:", err) // the next command says it again
		}
		p.turn.Unlock()
	}
}

// forkWatcher has start start the watcher. It counts as a helper: no command can be taken for it.
func (t *children) forkWatcher(start func() (int, error)) error {
	pid, err := t.forkHelper(start)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.helpers[pid] {
		t.watcher = pid
	}
	return nil
}

// watcherPID is the watcher's, or 0.
func (t *children) watcherPID() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.watcher
}

// list lists the living processes of the PID namespace, or at the shared level of H, but those to
// be spared.
func (p *pid1) list(spared map[int]bool) ([]procs.Process, error) {
	return procs.List(func(q *procs.Process) bool {
		return !spared[q.PID] && (p.shared == nil || procs.Ours(q.PID))
	})
}

// withoutKiller are J's maps at the shared level: H's first ids but one.
func withoutKiller(count int) []syscall.SysProcIDMap {
	const id = idmap.KillerID
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: id},
		{ContainerID: id + 1, HostID: id + 1, Size: count - id - 1}}
}

// killShared kills everything else in H and waits until it is gone. One call reaches all: nobody
// forks meanwhile, for the kernel holds its list of processes.
func killShared() error {
	if err := killBelow(); err != nil {
		return err
	}
	begin, self := time.Now(), os.Getpid()
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		left, err := procs.List(func(q *procs.Process) bool {
			return q.PID != self && procs.Ours(q.PID)
		})
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Since(begin) > killPatience {
			return fmt.Errorf("processes of the jail are still there %v after they were killed, "+
				"the first %d (%s)", killPatience, left[0].PID, left[0].Name)
		}
		time.Sleep(pause) // the kernel ends them meanwhile
	}
}

// killBelow sends SIGKILL to every process over which we have capabilities, from a thread whose uid
// no other process has: who shares a uid with the sender is met, too, and the caller's uid, which
// is ours, is that of its shell (kill(2)). A process does not meet itself.
func killBelow() error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with this function
		const id = uintptr(idmap.KillerID)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, id, id, id); errno != 0 {
			done <- syserr.Wrap("setresuid", "a thread", errno)
			return
		}
		err := syscall.Kill(-1, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			err = nil
		}
		done <- syserr.Wrap("kill", "what is left", err)
	}()
	err := <-done
	// A new uid clears it for the whole process, whose files in /proc would be nobody's (prctl(2)).
	return errors.Join(err,
		syserr.Wrap("prctl", "DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)))
}
