package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

const appletListen = "listen"

// Listen opens a TCP port of the jail's own loopback, whose connections come out here: a way for
// the jail to one service of the caller's and to nothing else. It must be called before anything
// runs in the jail that is not trusted.
func (j *Jail) Listen(ctx context.Context) (net.Listener, error) {
	l, err := j.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("listening in the jail: %w", err)
	}
	return l, nil
}

func (j *Jail) listen(ctx context.Context) (net.Listener, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	c, err := newConn(ours)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	defer c.close()
	status, err := j.Run(ctx, Command{Applet: appletListen, Files: []*os.File{theirs}})
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, err
	}
	m, files, err := c.recvWithin(helperPatience) // sent before it ended, or never
	defer closeFiles(files)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", status, err)
	case m.Err != nil:
		return nil, m.Err.error()
	case len(files) != 1:
		return nil, fmt.Errorf("%d sockets came out of it", len(files))
	}
	return net.FileListener(files[0])
}

// listenMain opens the port and hands it out.
func listenMain([]string) int {
	c, err := newConn(os.NewFile(3, "control"))
	if err == nil {
		f, failed := listenHere()
		var files []*os.File
		if failed == nil {
			files = []*os.File{f}
		}
		err = c.send(&message{Err: toWire(failed)}, files...)
	}
	if err != nil {
		return complain(err)
	}
	return 0
}

func listenHere() (*os.File, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return l.File()
}
