// Package console joins the caller's terminal to a pseudo-terminal elsewhere: raw mode, the window's size, and back to how the terminal was, however it ends.
//
// It knows neither jails nor commands: what it is joined to is an interface.
package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Terminal is the far end.
type Terminal interface {
	io.ReadWriter
	Resize(rows, columns int) error
	SetReadDeadline(at time.Time) error
}

// IsTerminal tells whether a stream is a terminal.
func IsTerminal(f *os.File) bool {
	is := false
	return f != nil && control(f, func(fd int) error { is = term.IsTerminal(fd); return nil }) == nil && is
}

// control works with a file's descriptor, and leaves it as it is: Fd would make it block, and then a reader could not be stopped.
func control(f *os.File, work func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	return errors.Join(raw.Control(func(fd uintptr) { failed = work(int(fd)) }), failed)
}

// Console is a joined terminal. Its methods may be called concurrently.
type Console struct {
	in, out *os.File
	keys    *os.File // in, opened once more so that reading it can end; else in itself
	far     Terminal
	typed   chan struct{} // closed when nothing more is read from keys
	done    chan error    // of the copy to out

	mu    sync.Mutex
	saved *term.State // nil while the terminal is as it was
}

// Join puts in, which must be a terminal, into raw mode and copies both ways until Close. Keys that are typed after that go to whoever reads the terminal next.
func Join(in, out *os.File, far Terminal) (*Console, error) {
	c := &Console{in: in, out: out, keys: reopen(in), far: far, typed: make(chan struct{}), done: make(chan error, 1)}
	if err := errors.Join(c.Resize(), c.Resume()); err != nil {
		return nil, errors.Join(err, c.closeKeys())
	}
	go func() {
		// Ends with Close, and when either side is gone; the command learns of a lost terminal by SIGHUP.
		_, _ = io.Copy(far, c.keys)
		close(c.typed)
	}()
	go func() {
		_, err := io.Copy(out, far)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			// Nobody sees it any more, but who writes must not block.
			_, _ = io.Copy(io.Discard, far)
		}
		c.done <- err
	}()
	return c, nil
}

// reopen opens a terminal once more, unless reading it can be ended as it is. Not blocking must not be asked of the description that the caller's other processes share. Where it
// cannot be opened (after su, it belongs to somebody else), what is typed just after the end is lost.
func reopen(in *os.File) *os.File {
	if in.SetReadDeadline(time.Time{}) == nil {
		return in
	}
	var f *os.File
	err := control(in, func(fd int) (err error) {
		f, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return in
	}
	return f
}

// closeKeys ends the reading of keys, so that the next key is the next reader's.
func (c *Console) closeKeys() error {
	if c.keys == c.in {
		_ = c.in.SetReadDeadline(time.Time{}) // where it can have none, it has none
		return nil
	}
	return c.keys.Close()
}

// Resize gives the far end the size of the caller's window.
func (c *Console) Resize() error {
	var columns, rows int
	err := control(c.in, func(fd int) (err error) { columns, rows, err = term.GetSize(fd); return err })
	if err != nil {
		return fmt.Errorf("asking for the terminal's size: %w", err)
	}
	return c.far.Resize(rows, columns)
}

// Suspend gives the terminal back as it was, for the time that the caller is stopped.
func (c *Console) Suspend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved == nil {
		return nil
	}
	err := control(c.in, func(fd int) error { return term.Restore(fd, c.saved) })
	c.saved = nil
	if err != nil {
		return fmt.Errorf("restoring the terminal: %w", err)
	}
	return nil
}

// Resume takes the terminal again, also when somebody else has changed it meanwhile: a shell does, when we were stopped without Suspend.
func (c *Console) Resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var now *term.State
	err := control(c.in, func(fd int) (err error) { now, err = term.MakeRaw(fd); return err })
	if err != nil {
		return fmt.Errorf("putting the terminal into raw mode: %w", err)
	}
	if c.saved == nil {
		c.saved = now
	}
	return nil
}

// drain is how long the last output is waited for: a process left behind may keep the far end open for ever.
const drain = 200 * time.Millisecond

// Close copies what is still to be shown and restores the terminal. The command must have ended.
func (c *Console) Close() error {
	err := c.far.SetReadDeadline(time.Now().Add(drain))
	copied := <-c.done
	if errors.Is(copied, os.ErrDeadlineExceeded) {
		copied = nil
	}
	if c.keys.SetReadDeadline(time.Now()) == nil {
		<-c.typed
		err = errors.Join(err, c.closeKeys())
	}
	return errors.Join(err, copied, c.Suspend())
}
