package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fdpass"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/syserr"
)

const (
	maxFrame = 32 << 20 // an environment and an argument list at the kernel's own limits fit well
	// MaxFiles bounds the descriptors of a message, maxTrees those of a jail's request, which has
	// one for each mapped tree. A command's stay below the numbers of our own (see reexec), which
	// must fit into a limit of 64 open files.
	MaxFiles = 16
	maxTrees = 64
)

// Conn frames messages and their descriptors over a unix stream socket: four bytes of length, then
// JSON with any bytes in its strings (rawjson). Descriptors travel with the length.
type Conn struct {
	u  *net.UnixConn
	mu sync.Mutex // of senders
}

// New takes ownership of f.
func New(f *os.File) (*Conn, error) {
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
	return &Conn{u: u}, nil
}

// Send sends a message with descriptors, which stay open here.
func (c *Conn) Send(m *Message, files ...*os.File) error {
	body, err := rawjson.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("a request of %d bytes is larger than %d", len(body), maxFrame)
	}
	most := MaxFiles
	if m.Op == OpJail {
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

// Recv reads one message. Its files are the receiver's to close.
func (c *Conn) Recv() (*Message, []*os.File, error) {
	var head [4]byte
	n, files, err := fdpass.Read(c.u, head[:], maxTrees)
	if err != nil {
		return nil, nil, err
	}
	_, err = io.ReadFull(c.u, head[n:])
	var m Message
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
		CloseFiles(files)
		return nil, nil, err
	}
	return &m, files, nil
}

// RecvWithin receives as Recv does, from a peer that may be stopped, or hostile.
func (c *Conn) RecvWithin(patience time.Duration) (*Message, []*os.File, error) {
	if err := c.u.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	m, files, err := c.Recv()
	if reset := c.u.SetReadDeadline(time.Time{}); err == nil && reset != nil {
		CloseFiles(files)
		return nil, nil, reset
	}
	return m, files, err
}

// SendWithin sends as Send does, to a peer that may not read.
func (c *Conn) SendWithin(patience time.Duration, m *Message, files ...*os.File) error {
	if err := c.u.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return errors.Join(c.Send(m, files...), c.u.SetWriteDeadline(time.Time{}))
}

// Close ends the connection: the other end reads the end of the file.
func (c *Conn) Close() error { return c.u.Close() }

// GiveUp ends a Recv that waits.
func (c *Conn) GiveUp() error { return c.u.SetReadDeadline(time.Unix(1, 0)) }

// SendUntil has every later Send end at that time.
func (c *Conn) SendUntil(at time.Time) error { return c.u.SetWriteDeadline(at) }

// CloseFiles closes descriptors that came with a message, or were opened to go with one.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Socketpair makes the two ends of a control socket, both closed at exec.
func Socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, syserr.Wrap("socketpair", "", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// controlFD is the socket that a re-executed process inherits.
const controlFD = 3

// Inherited takes over the inherited socket. What else was inherited open (shells and CI
// runners leave descriptors) must not reach the commands.
func Inherited() (*Conn, error) {
	if err := unix.CloseRange(controlFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, syserr.Wrap("close_range", "", err)
	}
	return New(os.NewFile(controlFD, "control"))
}
