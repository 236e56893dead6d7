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
	far     Terminal
	done    chan error    // of the copy to out
	typed   chan struct{} // closed when nothing reads in any more

	mu    sync.Mutex
	saved *term.State // nil while the terminal is as it was
}

// Join puts in, which must be a terminal, into raw mode and copies both ways until Close. Keys that are typed after that go to whoever reads the terminal next; where in cannot be
// given a deadline, as standard input, the first of them are lost.
func Join(in, out *os.File, far Terminal) (*Console, error) {
	c := &Console{in: in, out: out, far: far, done: make(chan error, 1), typed: make(chan struct{})}
	if err := c.Resize(); err != nil {
		return nil, err
	}
	if err := c.Resume(); err != nil {
		return nil, err
	}
	go func() {
		// Ends when either side is gone; the command learns of a lost terminal by SIGHUP.
		_, _ = io.Copy(far, in)
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
	if c.in.SetReadDeadline(time.Now()) == nil {
		<-c.typed
		err = errors.Join(err, c.in.SetReadDeadline(time.Time{}))
	}
	return errors.Join(err, copied, c.Suspend())
}
