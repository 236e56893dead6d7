// Package console joins the caller's terminal to a pseudo-terminal elsewhere: raw mode, the
// window's size, and back to how the terminal was, however it ends.
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
	return f != nil &&
		control(f, func(fd int) error { is = term.IsTerminal(fd); return nil }) == nil && is
}

// control works with a file's descriptor, and leaves it as it is: Fd would make it block, and then
// a reader could not be stopped.
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
	screen *os.File // whose window's size is the far end's
	far    Terminal
	done   chan error // of the copy to where output is shown

	in    *os.File      // nil as long as nobody can type
	keys  *os.File      // in, opened once more so that reading it can end; else in itself
	typed chan struct{} // closed when nothing more is read from keys

	mu    sync.Mutex
	saved *term.State // nil while the terminal is as it was
}

// Join puts in, which must be a terminal, into raw mode and copies both ways until Close. Keys that
// are typed after that go to whoever reads the terminal next.
func Join(in, out *os.File, far Terminal) (*Console, error) {
	c := &Console{screen: in, far: far, done: make(chan error, 1)}
	if err := c.Resize(); err != nil {
		return nil, err
	}
	if err := c.Take(in); err != nil {
		return nil, err
	}
	go c.show(out)
	return c, nil
}

// Watch shows on a terminal what the far end writes, until Close. The terminal's keys stay with
// whoever reads them, and its mode is not changed, unless Take is called.
func Watch(screen *os.File, far Terminal) (*Console, error) {
	c := &Console{screen: screen, far: far, done: make(chan error, 1)}
	if err := c.Resize(); err != nil {
		return nil, err
	}
	go c.show(Writable(screen))
	return c, nil
}

// Take puts in, which must be a terminal, into raw mode and has its keys typed at the far end. In
// the background of the terminal the kernel stops us until we are in the foreground (tcsetattr(3)).
func (c *Console) Take(in *os.File) error {
	c.in, c.keys, c.typed = in, reopen(in), make(chan struct{})
	if err := c.Resume(); err != nil {
		err = errors.Join(err, c.closeKeys())
		c.in = nil
		return err
	}
	go func() {
		// Ends with Close, and when either side is gone; the command learns of a lost terminal by
		// SIGHUP.
		_, _ = io.Copy(c.far, c.keys)
		close(c.typed)
	}()
	return nil
}

// Taken tells whether keys are typed at the far end.
func (c *Console) Taken() bool { return c.in != nil }

func (c *Console) show(out io.Writer) {
	_, err := io.Copy(out, c.far)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		// Nobody sees it any more, but who writes must not block.
		_, _ = io.Copy(io.Discard, c.far)
	}
	c.done <- err
}

// Writable is a terminal to write to: itself, or, where it was opened for reading only, opened once
// more. It is the null device where that cannot be.
func Writable(screen *os.File) io.Writer {
	var out io.Writer = screen
	err := control(screen, func(fd int) error {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		if errno != 0 {
			return errno
		}
		if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
			return nil
		}
		f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|syscall.O_NOCTTY, 0)
		if err == nil {
			out = f
		}
		return err
	})
	if err != nil {
		return io.Discard
	}
	return out
}

// reopen opens a terminal once more, unless reading it can be ended as it is. Not blocking must not
// be asked of the description that the caller's other processes share. Where it cannot be opened
// (after su, it belongs to somebody else), what is typed just after the end is lost.
func reopen(in *os.File) *os.File {
	if in.SetReadDeadline(time.Time{}) == nil {
		return in
	}
	var f *os.File
	err := control(in, func(fd int) (err error) {
		f, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd),
			os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
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
	err := control(c.screen, func(fd int) (err error) {
		columns, rows, err = term.GetSize(fd)
		return err
	})
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

// Resume takes the terminal again, also when somebody else has changed it meanwhile: a shell does,
// when we were stopped without Suspend.
func (c *Console) Resume() error {
	if !c.Taken() {
		return nil
	}
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

// drain is how long the last output is waited for: a process left behind may keep the far end open
// for ever.
const drain = 200 * time.Millisecond

// Close copies what is still to be shown and restores the terminal. The command must have ended.
func (c *Console) Close() error {
	err := c.far.SetReadDeadline(time.Now().Add(drain))
	copied := <-c.done
	if errors.Is(copied, os.ErrDeadlineExceeded) {
		copied = nil
	}
	if c.Taken() && c.keys.SetReadDeadline(time.Now()) == nil {
		<-c.typed
		err = errors.Join(err, c.closeKeys())
	}
	return errors.Join(err, copied, c.Suspend())
}
