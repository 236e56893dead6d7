package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/cgroup"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// Holder is a running PID 1 and its namespaces. Its methods may be called concurrently.
type Holder struct {
	*link
	ids     IDMap
	scratch Scratch
	// personality32 holds for every jail.
	personality32 bool

	pid      int
	pidfd    *os.File      // nil where the kernel has none
	done     chan struct{} // closed when PID 1 has been reaped
	ended    Status        // PID 1's, after done
	shared   *sharedEnd    // nil at the full level
	notes    []string      // for the first jail's
	spared   []string      // those of them that are about limits
	group    *cgroup.Group // nil without limits
	closeOne sync.Once
}

// Start makes the outer namespaces and PID 1. The holder ends with Close, with ctx, and with the
// death of the calling process, however it dies.
func Start(ctx context.Context, spec HolderSpec) (*Holder, error) {
	b, err := Begin()
	if err != nil {
		return nil, err
	}
	return b.Start(ctx, spec)
}

// Beginning is a PID 1 that is starting and does not know yet what for: a caller that must first
// find out what it wants need not wait for it afterwards.
type Beginning struct{ h *Holder }

// Begin makes the namespaces and PID 1, which waits. Either Start or Cancel follows.
func Begin() (*Beginning, error) {
	if err := errors.Join(checkProc("/proc"), checkDev("/dev")); err != nil {
		return nil, err
	}
	h, err := begin(nil)
	if err != nil {
		return nil, err
	}
	return &Beginning{h}, nil
}

// begin makes a holder of the full level, or of the shared one.
func begin(shared *sharedEnd) (*Holder, error) {
	ours, theirs, err := wire.Socketpair()
	if err != nil {
		return nil, err
	}
	c, err := wire.New(ours)
	if err != nil {
		theirs.Close()
		return nil, err
	}
	h := &Holder{link: newLink(c), done: make(chan struct{}), shared: shared}
	started := make(chan error)
	go h.supervise(theirs, started)
	err = <-started
	theirs.Close()
	if err != nil {
		c.Close()
		return nil, err
	}
	return h, nil
}

// Cancel ends a PID 1 that is not needed. It may be called after Start, whose holder it leaves
// alone.
func (b *Beginning) Cancel() error {
	if b.h == nil {
		return nil
	}
	return b.h.Close()
}

// Start is Start in the namespaces that Begin made. It can be called once.
func (b *Beginning) Start(ctx context.Context, spec HolderSpec) (*Holder, error) {
	h := b.h
	if h == nil {
		return nil, errors.New("this sandbox was started already")
	}
	b.h = nil
	err := h.begun(ctx, spec)
	if err == nil {
		return h, nil
	}
	if spec.Require != LevelFull && refusesProc(err) {
		return startShared(ctx, spec, err)
	}
	return nil, err
}

// begun sets up a holder that waits, or closes it.
func (h *Holder) begun(ctx context.Context, spec HolderSpec) error {
	h.ids, spec.Level = spec.IDs, h.Level()
	// Before the first wait: what hangs while it begins ends with ctx, too.
	stop := context.AfterFunc(ctx, func() { h.Close() })
	if err := h.setup(ctx, spec); err != nil {
		stop()
		h.Close()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	go func() {
		h.receive()
		<-h.done
		stop() // ctx keeps no holder that is gone
	}()
	return nil
}

// supervise forks PID 1 and waits for it, on one thread: the parent-death signal follows the thread
// that forked (PR_SET_PDEATHSIG in prctl(2)).
func (h *Holder) supervise(socket *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	caps, err := reexec.Capabilities()
	if err != nil {
		started <- err
		return
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		started <- err
		return
	}
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/exe", []string{reexec.Init}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   reexec.QuickStart(),
		Files: []uintptr{null.Fd(), null.Fd(), os.Stderr.Fd(), socket.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags: h.namespaces(),
			// without them the exec, by a uid that is not yet mapped, would lose all
			AmbientCaps: caps,
			Pdeathsig:   syscall.SIGKILL,
			Setsid:      true, // the terminal's Ctrl-C is for the caller, who ends us in order
			PidFD:       &pidfd,
		},
	})
	null.Close()
	if err != nil {
		started <- explainClone(err)
		return
	}
	h.pid = pid
	if pidfd >= 0 {
		h.pidfd = os.NewFile(uintptr(pidfd), "PID 1")
	}
	started <- expendable("/proc", pid)
	var ws syscall.WaitStatus
	var ru syscall.Rusage
	for {
		if _, err := syscall.Wait4(pid, &ws, 0, &ru); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	h.ended = wire.StatusOf(ws, &ru)
	close(h.done)
}

// kill kills PID 1. Its number may be another process's as soon as supervise has waited for it.
func (h *Holder) kill() error {
	var err error
	if h.pidfd != nil {
		err = unix.PidfdSendSignal(int(h.pidfd.Fd()), unix.SIGKILL, nil, 0)
	} else {
		select {
		case <-h.done:
		default:
			err = syscall.Kill(h.pid, syscall.SIGKILL)
		}
	}
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return syserr.Wrap("kill", "PID 1 of the sandbox", err)
}

// setupPatience is far more than PID 1 needs to set up a holder.
const setupPatience = time.Minute

// lost explains an answer that did not come: that PID 1 has ended, and how, or that it hangs.
func (h *Holder) lost(err error) error {
	const reaping = time.Second // from the end of its socket to its own
	select {
	case <-h.done:
		if h.ended.Success() { // so what was wrong is what was met here
			return fmt.Errorf("PID 1 ended: %w", err)
		}
		return fmt.Errorf("PID 1 ended: %s", h.ended)
	case <-time.After(reaping):
		return fmt.Errorf("PID 1 does not answer: %w", err)
	}
}

// setup gives PID 1 its ids and its specification.
func (h *Holder) setup(ctx context.Context, spec HolderSpec) error {
	// At once: newuidmap and newgidmap do their work while PID 1 is starting.
	mapped := make(chan error, 1)
	go func() { mapped <- idmap.Write(ctx, h.pid, h.ids) }()
	exe, current, err := h.prepare(&spec)
	if err == nil {
		err = h.confine(&spec)
	}
	if err = errors.Join(err, <-mapped); err != nil {
		select {
		case <-h.done: // which is the cause
			return fmt.Errorf("setting up the sandbox: %w", h.lost(err))
		default:
			return err
		}
	}
	if err := h.conn.Send(&wire.Message{Op: wire.OpSetup, Holder: &spec, Path: exe},
		h.shared.handOver()...); err != nil {
		return fmt.Errorf("setting up the sandbox: %w", h.lost(err))
	}
	answer, _, err := h.conn.RecvWithin(setupPatience)
	if err != nil {
		return fmt.Errorf("setting up the sandbox: %w", h.lost(err))
	}
	if answer.Err != nil {
		return explainSetup(fmt.Errorf("setting up the sandbox: %w", answer.Err.AsError()))
	}
	h.scratch, h.personality32 = answer.Scratch, spec.Personality32
	if len(answer.Found) > 0 && spec.Memory != "" {
		if err := remember(spec.Memory, current, spec.Known, answer.Found); err != nil {
			h.notes = append(h.notes, fmt.Sprintf("what overlays can do here is tried again at "+
				"each start, for it cannot be remembered: %v", err))
		}
	}
	return nil
}

// prepare resolves the host paths of a specification and fills in what is remembered.
func (h *Holder) prepare(spec *HolderSpec) (exe string, current memory, err error) {
	for _, path := range []*string{&spec.ScratchDir, &spec.FallbackDir} {
		if *path == "" {
			continue
		}
		if *path, err = resolve(*path); err != nil {
			return "", current, err
		}
	}
	if exe, err = os.Executable(); err != nil {
		return "", current, fmt.Errorf("finding this program: %w", err)
	}
	if spec.Memory == "" {
		return exe, current, nil
	}
	if current, err = now("/proc/self/exe"); err == nil {
		spec.Known, err = recall(spec.Memory, current)
	}
	if err != nil {
		return "", current, fmt.Errorf("what is known of this kernel: %w", err)
	}
	return exe, current, nil
}

// Applet runs one of this program's own applets in H: as the caller's uid with every capability
// over the mapped ids, with the host's tree at HostRoot. It is for trusted code on trees of mapped
// ids (making, copying, deleting them); hostile commands run in a jail.
func (h *Holder) Applet(ctx context.Context, name string, args []string, files ...*os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	c := Command{Applet: name, Argv: args, Stderr: w, Files: files}
	handle, ch, err := h.start(wire.OpApplet, c)
	w.Close()
	if err != nil {
		r.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	said := make(chan []byte, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(r, 64<<10))
		r.Close()
		if err != nil {
			text = append(text, err.Error()...)
		}
		said <- text
	}()
	status, err := h.wait(ctx, handle, ch)
	text := bytes.TrimSpace(<-said)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !status.Success() {
		if len(text) == 0 {
			return fmt.Errorf("%s: %s", name, status)
		}
		return fmt.Errorf("%s: %s", name, text)
	}
	return nil
}

// Close kills everything in the holder and waits until the kernel has reaped it. It may be called
// more than once.
func (h *Holder) Close() error {
	var err error
	h.closeOne.Do(func() {
		err = h.conn.Close()
		err = errors.Join(err, h.kill())
		<-h.done
		err = errors.Join(err, h.shared.wait())
		if h.pidfd != nil {
			err = errors.Join(err, h.pidfd.Close())
		}
		if h.group != nil {
			err = errors.Join(err, h.group.Remove())
		}
	})
	<-h.done
	return err
}

// Done is closed when PID 1 is gone, whoever ended it.
func (h *Holder) Done() <-chan struct{} { return h.done }

// PID is PID 1 as the caller sees it.
func (h *Holder) PID() int { return h.pid }

// IDs is the mapping that the holder was started with.
func (h *Holder) IDs() IDMap { return h.ids }

// Scratch is where throwaway roots are kept, as the kernel permits.
func (h *Holder) Scratch() Scratch { return h.scratch }

// resolve makes a host path absolute and free of symbolic links: inside H the host's tree stands
// elsewhere, where absolute links would lead astray.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// RootPath is where the holder's caller can look into the root of an open jail from outside: below
// PID 1's (proc_pid_root(5)). Not at the root of one of the jail's processes: that link reads "/",
// so that a program which resolves it (realpath(3)) goes on with the host's own root. This resolves
// to what the host does not have.
func (h *Holder) RootPath(jail int) string {
	return fmt.Sprintf("/proc/%d/root%s", h.pid, layout.Jail(jail))
}

// Usage asks what the holder's processes and roots use now.
func (h *Holder) Usage() (Usage, error) {
	answer, _, err := h.call(&wire.Message{Op: wire.OpUsage})
	if err != nil {
		return Usage{}, err
	}
	return *answer.Usage, nil
}
