package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"nsbuild/internal/sandbox/wire"
)

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
	ours, theirs, err := wire.Socketpair()
	if err != nil {
		return nil, err
	}
	c, err := wire.New(ours)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	defer c.Close()
	status, err := j.Run(ctx, Command{Applet: wire.AppletListen, Files: []*os.File{theirs}})
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, err
	}
	m, files, err := c.RecvWithin(wire.HelperPatience) // sent before it ended, or never
	defer wire.CloseFiles(files)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", status, err)
	case m.Err != nil:
		return nil, m.Err.AsError()
	case len(files) != 1:
		return nil, fmt.Errorf("%d sockets came out of it", len(files))
	}
	return net.FileListener(files[0])
}
