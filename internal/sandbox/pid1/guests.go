package pid1

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// client is one end of a connection to PID 1.
type client struct {
	conn *wire.Conn
	jail int // the one jail of a guest; 0 for the caller that owns the holder
}

// guestPatience is how long a guest may keep PID 1 waiting before it is taken for gone: nobody else
// is served meanwhile.
const guestPatience = 2 * time.Second

func (c *client) send(m *wire.Message, files ...*os.File) error {
	if c.jail != 0 {
		if err := c.conn.SendUntil(time.Now().Add(guestPatience)); err != nil {
			return err
		}
	}
	return c.conn.Send(m, files...)
}

// tell sends an event. A caller that is gone takes everything with it, a guest only what it
// started.
func (c *client) tell(m *wire.Message) {
	if err := c.send(m); err != nil {
		if c.jail == 0 {
			os.Exit(1)
		}
		c.conn.Close() // ends serveGuest
	}
}

// may tells whether a client can ask for this. Guests run commands; making, ending and filling
// jails is for the owner.
func (c *client) may(m *wire.Message, open *openJail) error {
	if c.jail == 0 {
		return nil
	}
	switch m.Op {
	case wire.OpExec, wire.OpSignal, wire.OpOpen, wire.OpTTY:
	default:
		return fmt.Errorf("a guest of a jail cannot ask for %q", m.Op)
	}
	if open == nil || open.id != c.jail || open.helper == nil {
		return errEnding
	}
	return nil
}

// errEnding is what a guest hears of a jail that was stopped.
var errEnding = &syserr.Error{Op: "entering", Path: "the jail", Errno: syscall.ESHUTDOWN}

// share makes a connection for a guest of the open jail.
func (p *pid1) share(jail int) (*wire.Message, []*os.File, error) {
	if p.open == nil || p.open.id != jail || p.open.helper == nil {
		return nil, nil, errEnding
	}
	ours, theirs, err := wire.Socketpair()
	if err != nil {
		return nil, nil, err
	}
	conn, err := wire.New(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	guest := &client{conn: conn, jail: jail}
	if err := guest.send(&wire.Message{Op: wire.OpHello, Jail: jail}); err != nil {
		theirs.Close()
		return nil, nil, errors.Join(err, conn.Close())
	}
	go p.serveGuest(guest)
	return &wire.Message{}, []*os.File{theirs}, nil
}

func (p *pid1) serveGuest(guest *client) {
	// However it ended, the guest is gone: there is nobody to tell why.
	_ = p.serveRequests(guest)
	guest.conn.Close()
	p.turn.Lock()
	defer p.turn.Unlock()
	for _, pid := range p.children.forget(guest) {
		killSession(pid)
	}
}
