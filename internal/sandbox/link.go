package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/pipes"
	"nsbuild/internal/sandbox/wire"
)

// link is the caller's end of a connection to PID 1: requests and their answers, and the events of
// commands that were started over it.
type link struct {
	conn *wire.Conn

	mu      sync.Mutex
	nextID  int
	pending map[int]chan reply
	running map[int]chan ending
	pauses  map[int]chan struct{} // of commands on terminals
	lost    error                 // why the connection ended
}

type reply struct {
	m     *wire.Message
	files []*os.File
}

// ending is how a command ended.
type ending struct {
	status Status
	lost   error // why not all that it wrote is where it belongs
}

// ErrClosed means that the holder has ended, or its caller ended it.
var ErrClosed = errors.New("the sandbox has ended")

func newLink(c *wire.Conn) *link {
	return &link{conn: c, pending: map[int]chan reply{}, running: map[int]chan ending{},
		pauses: map[int]chan struct{}{}}
}

// receive routes answers and events until PID 1 is gone.
func (l *link) receive() {
	var lost error
	for lost == nil {
		m, files, err := l.conn.Recv()
		switch {
		case err != nil:
			lost = ErrClosed
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) &&
				!errors.Is(err, syscall.ECONNRESET) {
				lost = fmt.Errorf("%w: %w", ErrClosed, err)
			}
		case m.ID != 0:
			l.mu.Lock()
			ch := l.pending[m.ID]
			delete(l.pending, m.ID)
			l.mu.Unlock()
			ch <- reply{m, files}
		case m.Op == wire.OpExit:
			l.mu.Lock()
			ch := l.running[m.Handle]
			delete(l.running, m.Handle)
			delete(l.pauses, m.Handle)
			l.mu.Unlock()
			ch <- ending{*m.Status, m.Err.AsError()}
		case m.Op == wire.OpPause:
			l.mu.Lock()
			ch := l.pauses[m.Handle]
			l.mu.Unlock()
			select {
			case ch <- struct{}{}:
			default: // told already, or not asked for
			}
		}
	}
	l.mu.Lock()
	l.lost = lost
	for _, ch := range l.pending {
		close(ch)
	}
	for _, ch := range l.running {
		close(ch)
	}
	l.pending, l.running = nil, nil
	l.mu.Unlock()
}

// call sends a request and waits for its answer.
func (l *link) call(m *wire.Message, files ...*os.File) (*wire.Message, []*os.File, error) {
	ch := make(chan reply, 1)
	l.mu.Lock()
	if l.lost != nil {
		l.mu.Unlock()
		return nil, nil, l.lost
	}
	l.nextID++
	m.ID = l.nextID
	l.pending[m.ID] = ch
	l.mu.Unlock()
	if err := l.conn.Send(m, files...); err != nil {
		l.mu.Lock()
		delete(l.pending, m.ID)
		l.mu.Unlock()
		return nil, nil, fmt.Errorf("%w: %w", ErrClosed, err)
	}
	r, ok := <-ch
	if !ok {
		return nil, nil, ErrClosed
	}
	if r.m.Err != nil {
		wire.CloseFiles(r.files)
		return nil, nil, r.m.Err.AsError()
	}
	return r.m, r.files, nil
}

// start runs a command of H or of the open jail and returns its handle and the channel of its
// status.
func (l *link) start(o wire.Op, c Command) (int, <-chan ending, error) {
	stdio := []*os.File{c.Stdin, c.Stdout, c.Stderr}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	for i, f := range stdio {
		if f == nil {
			stdio[i] = null
		}
	}
	if o == wire.OpExec {
		for _, f := range stdio {
			openToJail(f)
		}
	}
	ch := make(chan ending, 1)
	l.mu.Lock()
	if l.lost != nil {
		l.mu.Unlock()
		return 0, nil, l.lost
	}
	l.nextID++
	handle := l.nextID
	l.running[handle] = ch
	if c.Terminal {
		l.pauses[handle] = make(chan struct{}, 1)
	}
	l.mu.Unlock()
	_, _, err = l.call(&wire.Message{Op: o, Command: &c, Handle: handle},
		append(stdio, c.Files...)...)
	if err != nil {
		l.mu.Lock()
		delete(l.running, handle)
		delete(l.pauses, handle)
		l.mu.Unlock()
		return 0, nil, err
	}
	return handle, ch, nil
}

// wait waits for a started command. When ctx ends first the command's process group gets SIGKILL,
// and ctx's cause is the error.
func (l *link) wait(ctx context.Context, handle int, ch <-chan ending) (Status, error) {
	select {
	case end, ok := <-ch:
		if !ok {
			return Status{}, ErrClosed
		}
		return end.status, end.lost
	case <-ctx.Done():
		// The holder may be gone already; then there is nothing left to signal.
		if _, _, err := l.call(
			&wire.Message{Op: wire.OpSignal, Handle: handle,
				Signal: int(syscall.SIGKILL)}); err != nil &&
			!errors.Is(err, ErrClosed) && !errors.Is(err, syscall.ESRCH) {
			return Status{}, errors.Join(context.Cause(ctx), err)
		}
		return Status{}, context.Cause(ctx)
	}
}

// openToJail lets a jail's ids open a pipe in the direction that it is passed in. Others on the
// host have no path to it: /proc/PID/fd is for who may trace that process. Where the mode is not
// ours to change PID 1 relays.
func openToJail(f *os.File) {
	var st unix.Stat_t
	fd := int(f.Fd())
	if unix.Fstat(fd, &st) != nil || !pipes.IsPipe(fd, &st) {
		return
	}
	if want, err := pipes.OthersBits(fd); err == nil && st.Mode&want != want {
		_ = unix.Fchmod(fd, st.Mode&0o777|want)
	}
}
