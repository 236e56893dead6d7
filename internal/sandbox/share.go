package sandbox

import (
	"errors"
	"fmt"
	"os"

	"nsbuild/internal/sandbox/wire"
)

// Share makes another connection to the jail, for a process of the same user: pass it on
// (SCM_RIGHTS in unix(7)), and Join there. When it closes, the commands that were started over it
// are killed, with the whole session of each; daemons they started go on.
func (j *Jail) Share() (*os.File, error) {
	return j.file(&wire.Message{Op: wire.OpShare, Jail: j.id})
}

// Join takes a connection that Share has made, and closes f. Commands can be run over it, and
// terminals and files opened; Leave ends it.
func Join(f *os.File) (*Jail, error) {
	c, err := wire.New(f)
	if err != nil {
		return nil, err
	}
	hello, files, err := c.RecvWithin(setupPatience) // sent before it was handed on
	wire.CloseFiles(files)
	if err == nil && hello.Op != wire.OpHello {
		err = fmt.Errorf("it says %q", hello.Op)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("joining a jail: %w", err), c.Close())
	}
	l := newLink(c)
	go l.receive()
	return &Jail{h: l, id: hello.Jail}, nil
}

// Leave closes the connection of a guest; see Share.
func (j *Jail) Leave() error { return j.h.conn.Close() }
