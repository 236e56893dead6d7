package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// Terminal is the caller's end of a pseudo-terminal of the jail's own devpts (pts(4)). The caller's
// terminal is never passed into a jail: what can write to it can also feed it keys.
type Terminal struct {
	master *os.File
	slave  *os.File
}

// NewTerminal opens a pseudo-terminal of the jail for a command that will run as uid. Pass Slave as
// its standard streams, with Command.Terminal.
func (j *Jail) NewTerminal(uid int) (*Terminal, error) {
	_, files, err := j.h.call(&wire.Message{Op: wire.OpTTY, Jail: j.id, UID: uid})
	if err != nil {
		return nil, fmt.Errorf("opening a terminal in the jail: %w", err)
	}
	if len(files) != 2 {
		wire.CloseFiles(files)
		return nil,
			fmt.Errorf("opening a terminal in the jail: %d descriptors came back instead of two",
				len(files))
	}
	defer files[0].Close()
	// A descriptor of our own that the poller watches: so that reading can be given a deadline.
	fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		files[1].Close()
		return nil, syserr.Wrap("opening a terminal in the jail", "", err)
	}
	return &Terminal{master: os.NewFile(uintptr(fd), "terminal"), slave: files[1]}, nil
}

// Slave is the jail's end. It is closed with CloseSlave once the command has it.
func (t *Terminal) Slave() *os.File { return t.slave }

// CloseSlave closes our copy of the jail's end, so that reading ends when the last process inside
// has closed its own.
func (t *Terminal) CloseSlave() error { return t.slave.Close() }

// Read reads what the jail has written. The end of the last process that had the terminal open is
// io.EOF.
func (t *Terminal) Read(b []byte) (int, error) {
	n, err := t.master.Read(b)
	if errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

// Write types into the terminal.
func (t *Terminal) Write(b []byte) (int, error) { return t.master.Write(b) }

// SetReadDeadline ends a Read at that time.
func (t *Terminal) SetReadDeadline(at time.Time) error { return t.master.SetReadDeadline(at) }

// Resize sets the window's size; the kernel tells the foreground processes with SIGWINCH.
func (t *Terminal) Resize(rows, columns int) error {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ,
			&unix.Winsize{Row: uint16(rows), Col: uint16(columns)})
	})
	return errors.Join(err, syserr.Wrap("setting the size of a terminal", "", failed))
}

// Close closes the caller's end: who still has the other end open gets SIGHUP or an end of file.
func (t *Terminal) Close() error { return t.master.Close() }
