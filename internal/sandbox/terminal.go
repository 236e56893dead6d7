package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
	_, files, err := j.h.call(&message{Op: opTTY, Jail: j.id, UID: uid})
	if err != nil {
		return nil, fmt.Errorf("opening a terminal in the jail: %w", err)
	}
	if len(files) != 2 {
		closeFiles(files)
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
		return nil, sysErr("opening a terminal in the jail", "", err)
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
	return errors.Join(err, sysErr("setting the size of a terminal", "", failed))
}

// Close closes the caller's end: who still has the other end open gets SIGHUP or an end of file.
func (t *Terminal) Close() error { return t.master.Close() }

// openTerminal opens a new pair below j.pts, which was opened before anything hostile ran: nobody
// can have mounted something else there.
func (j *openJail) openTerminal(uid int) ([]*os.File, error) {
	if j.pts == nil {
		return nil, errors.New("this jail has no terminals")
	}
	fd, err := unix.Openat(int(j.pts.Fd()), "ptmx",
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, sysErr("open", "/dev/pts/ptmx", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, sysErr("unlocking a terminal", "", err)
	}
	// By descriptor: the name /dev/pts/N could be made to lead elsewhere.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER,
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, sysErr("opening a terminal's other end", "", errno)
	}
	slave := os.NewFile(peer, "pts")
	const groupTTY = 5 // of every Debian system (base-passwd), as the mount option says
	if caller := j.spec.Caller; caller != nil && caller.UID == uid {
		uid = callerID
	}
	if err := unix.Fchown(int(peer), uid, groupTTY); err != nil {
		closeFiles([]*os.File{master, slave})
		return nil, sysErr("chown", "the terminal", err)
	}
	return []*os.File{master, slave}, nil
}
