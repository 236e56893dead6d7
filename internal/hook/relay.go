package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/fdpass"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Relay lets commands on the host run others in a jail, which is what sbuild's %e is for: a socket
// in a directory that only the caller may enter. Whoever connects gets a connection to the jail,
// which RunInJail uses, in a process of this program that such a command starts.
type Relay struct {
	listener *net.UnixListener
	dir      *os.File // of the socket
}

// socketName is the socket in its directory.
const socketName = "s"

// Listen begins to serve a jail, by a socket in a directory.
func Listen(jail jails.Jail, dir string) (*Relay, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("listening for commands to run in the jail: %w", err)
	}
	l, err := net.ListenUnix("unix", addressIn(d, socketName))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening for commands to run in the jail: %w", err),
			d.Close())
	}
	r := &Relay{l, d}
	go r.serve(jail)
	return r, nil
}

// Socket is what RunInJail connects to.
func (r *Relay) Socket() string { return filepath.Join(r.dir.Name(), socketName) }

// addressIn names a socket by its directory's descriptor: a path may be longer than a socket's
// address can be (unix(7)).
func addressIn(dir *os.File, name string) *net.UnixAddr {
	return &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name), Net: "unix"}
}

// serve answers until the relay is closed. What fails meanwhile, as for want of descriptors, may be
// better a moment later.
func (r *Relay) serve(jail jails.Jail) {
	const pause = 50 * time.Millisecond
	for {
		c, err := r.listener.AcceptUnix()
		switch {
		case err == nil:
			answer(jail, c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(pause)
		}
	}
}

// answer sends a connection to the jail, or says why there is none.
func answer(jail jails.Jail, c *net.UnixConn) {
	defer c.Close()
	f, err := jail.Share()
	if err != nil {
		_, _ = fmt.Fprintf(c, "%v", err) // who asked may be gone
		return
	}
	defer f.Close()
	_ = fdpass.Write(c, []byte{0}, f)
}

// Close ends the service and deletes the socket.
func (r *Relay) Close() error { return errors.Join(r.listener.Close(), r.dir.Close()) }

// RunInJail runs a command as root of the jail behind a socket, on these streams.
func RunInJail(ctx context.Context, socket string, argv []string, stdin, stdout, stderr *os.File) (
	status sandbox.Status, err error) {
	f, err := connect(socket)
	if err != nil {
		return status, err
	}
	jail, err := sandbox.Join(f)
	if err != nil {
		return status, err
	}
	defer func() { err = errors.Join(err, jail.Leave()) }()
	return jail.Run(ctx, sandbox.Command{Argv: argv, Env: commandEnv(), Stdin: stdin,
		Stdout: stdout, Stderr: stderr})
}

func connect(socket string) (*os.File, error) {
	dir, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return nil, fmt.Errorf("the build that this command belongs to is over: %w", err)
	}
	defer dir.Close()
	c, err := net.DialUnix("unix", nil, addressIn(dir, filepath.Base(socket)))
	if err != nil {
		return nil, fmt.Errorf("the build that this command belongs to is over: %w", err)
	}
	defer c.Close()
	text := make([]byte, 1024)
	n, files, err := fdpass.Read(c, text, 1)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return files[0], nil
	}
	return nil, fmt.Errorf("the jail cannot be reached: %s", text[:n])
}

// ExecPrefix is the beginning of a shell's command line that runs the rest of it in the jail.
func ExecPrefix(program, socket string) string {
	return quote(program) + " in-jail " + quote(socket) + " --"
}

// quote makes one word of the shell's.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
