package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fdpass"
	"nsbuild/internal/rawjson"
)

// op names a request or an event on the sockets between the caller, PID 1 and the helper.
type op string

const (
	opHello  op = "hello"  // PID 1 → guest: this is your jail
	opSetup  op = "setup"  // caller → PID 1: HolderSpec; helper: jail setup
	opJail   op = "jail"   // open a jail
	opStrays op = "strays" // list the jail's processes
	opOnline op = "online" // the jail is connected to the network
	opStop   op = "stop"   // end the jail's processes: list strays, kill all
	opSweep  op = "sweep"  // end what commands have left running; the jail goes on
	opClose  op = "close"  // unmount the stopped jail
	opExec   op = "exec"   // run a command in the jail
	opApplet op = "applet" // run an applet in H
	opExit   op = "exit"   // event: a command ended
	opSignal op = "signal" // signal a command's process group
	opOpen   op = "open"   // open a file beneath the jail's root
	opCreate op = "create" // create a file beneath the jail's root
	opMkdir  op = "mkdir"  // make a directory beneath the jail's root
	opLink   op = "link"   // make a symbolic link beneath the jail's root
	opTTY    op = "tty"    // open a pseudo-terminal of the jail
	opPause  op = "pause"  // event: a command was stopped
	opSpace  op = "space"  // open the directory of the upper directories
	opShare  op = "share"  // make another connection
	opUsage  op = "usage"  // what the holder uses
)

// message is the one frame of the protocol: requests carry an ID that the answer repeats; events
// have ID 0.
type message struct {
	Op  op
	ID  int        `json:",omitempty"`
	Err *wireError `json:",omitempty"`

	Holder *HolderSpec `json:",omitempty"`
	Spec   *Spec       `json:",omitempty"`
	Root   string      `json:",omitempty"` // helper: the mounted root, as H sees it
	// Join, to a helper: the jail has been set up by another; only the network differs.
	Join    bool     `json:",omitempty"`
	Command *Command `json:",omitempty"`
	Jail    int      `json:",omitempty"`
	Handle  int      `json:",omitempty"` // the caller's number for a command
	PID     int      `json:",omitempty"`
	Status  *Status  `json:",omitempty"`
	Signal  int      `json:",omitempty"`
	Path    string   `json:",omitempty"`
	Target  string   `json:",omitempty"` // of a symbolic link
	Mode    uint32   `json:",omitempty"`
	UID     int      `json:",omitempty"`
	GID     int      `json:",omitempty"`
	Strays  []Stray  `json:",omitempty"`
	Notes   []string `json:",omitempty"`
	Scratch Scratch  `json:",omitempty"`
	Usage   *Usage   `json:",omitempty"`
	Limits  *Limits  `json:",omitempty"` // helper: what each command is limited to
	Plain   bool     `json:",omitempty"` // see Jail.Plain
	// Found is what PID 1 found out about overlays; see HolderSpec.Memory.
	Found map[string]bool `json:",omitempty"`
}

// Error is a system call that failed while a jail was set up or used: which, on what, and why.
type Error struct {
	Op    string // what was being done, such as "mount overlay"
	Path  string
	Errno syscall.Errno
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %s", e.Op, e.Errno.Error())
	}
	return fmt.Sprintf("%s %s: %s", e.Op, e.Path, e.Errno.Error())
}

// Unwrap gives the errno, so that errors.Is(err, fs.ErrNotExist) and the like hold across
// processes.
func (e *Error) Unwrap() error { return e.Errno }

// sysErr wraps err as an Error where it carries an errno.
func sysErr(opName, path string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return &Error{Op: opName, Path: path, Errno: errno}
	}
	return fmt.Errorf("%s %s: %w", opName, path, err)
}

// wireError is an error on its way through a socket.
type wireError struct {
	Op, Path, Text string
	Errno          syscall.Errno
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return &wireError{Op: e.Op, Path: e.Path, Errno: e.Errno}
	}
	return &wireError{Text: err.Error()}
}

func (w *wireError) error() error {
	switch {
	case w == nil:
		return nil
	case w.Errno != 0:
		return &Error{Op: w.Op, Path: w.Path, Errno: w.Errno}
	}
	return errors.New(w.Text)
}

const (
	maxFrame = 32 << 20 // an environment and an argument list at the kernel's own limits fit well
	// maxFiles bounds the descriptors of a message, maxTrees those of a jail's request, which has
	// one for each mapped tree. A command's stay below the numbers of our own (see raise), which
	// must fit into a limit of 64 open files.
	maxFiles = 16
	maxTrees = 64
)

// conn frames messages and their descriptors over a unix stream socket: four bytes of length, then
// JSON with any bytes in its strings (rawjson). Descriptors travel with the length.
type conn struct {
	u  *net.UnixConn
	mu sync.Mutex // of senders
}

// newConn takes ownership of f.
func newConn(f *os.File) (*conn, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("using the control socket: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the control socket is not a unix socket")
	}
	return &conn{u: u}, nil
}

func (c *conn) send(m *message, files ...*os.File) error {
	body, err := rawjson.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("a request of %d bytes is larger than %d", len(body), maxFrame)
	}
	most := maxFiles
	if m.Op == opJail {
		most = maxTrees
	}
	if len(files) > most {
		return fmt.Errorf("%d descriptors are more than %d", len(files), most)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	frame = append(frame, body...)
	c.mu.Lock()
	defer c.mu.Unlock()
	return fdpass.Write(c.u, frame, files...)
}

// recv reads one message. Its files are the receiver's to close.
func (c *conn) recv() (*message, []*os.File, error) {
	var head [4]byte
	n, files, err := fdpass.Read(c.u, head[:], maxTrees)
	if err != nil {
		return nil, nil, err
	}
	_, err = io.ReadFull(c.u, head[n:])
	var m message
	if err == nil {
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrame {
			err = fmt.Errorf("a frame of %d bytes is too large", size)
		} else {
			body := make([]byte, size)
			if _, err = io.ReadFull(c.u, body); err == nil {
				err = rawjson.Unmarshal(body, &m)
			}
		}
	}
	if err != nil {
		closeFiles(files)
		return nil, nil, err
	}
	return &m, files, nil
}

// recvWithin receives as recv does, from a peer that may be stopped, or hostile.
func (c *conn) recvWithin(patience time.Duration) (*message, []*os.File, error) {
	if err := c.u.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	m, files, err := c.recv()
	if reset := c.u.SetReadDeadline(time.Time{}); err == nil && reset != nil {
		closeFiles(files)
		return nil, nil, reset
	}
	return m, files, err
}

// sendWithin sends as send does, to a peer that may not read.
func (c *conn) sendWithin(patience time.Duration, m *message, files ...*os.File) error {
	if err := c.u.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return errors.Join(c.send(m, files...), c.u.SetWriteDeadline(time.Time{}))
}

func (c *conn) close() error { return c.u.Close() }

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// socketpair makes the two ends of a control socket, both closed at exec.
func socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, sysErr("socketpair", "", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// statusOf translates what wait4(2) says.
func statusOf(ws syscall.WaitStatus, ru *syscall.Rusage) Status {
	s := Status{
		MaxRSS: int64(ru.Maxrss) * 1024, //nolint:unconvert // int32 on 32-bit machines
		User:   time.Duration(ru.Utime.Nano()),
		System: time.Duration(ru.Stime.Nano()),
	}
	if ws.Signaled() {
		s.Signal = ws.Signal()
	} else {
		s.Code = ws.ExitStatus()
	}
	return s
}
