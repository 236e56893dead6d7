package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// client is one end of a connection to PID 1.
type client struct {
	conn *conn
	jail int // the one jail of a guest; 0 for the caller that owns the holder
}

// guestPatience is how long a guest may keep PID 1 waiting before it is taken for gone: nobody else
// is served meanwhile.
const guestPatience = 2 * time.Second

func (c *client) send(m *message, files ...*os.File) error {
	if c.jail != 0 {
		if err := c.conn.u.SetWriteDeadline(time.Now().Add(guestPatience)); err != nil {
			return err
		}
	}
	return c.conn.send(m, files...)
}

// tell sends an event. A caller that is gone takes everything with it, a guest only what it
// started.
func (c *client) tell(m *message) {
	if err := c.send(m); err != nil {
		if c.jail == 0 {
			os.Exit(1)
		}
		c.conn.close() // ends serveGuest
	}
}

// may tells whether a client can ask for this. Guests run commands; making, ending and filling
// jails is for the owner.
func (c *client) may(m *message, open *openJail) error {
	if c.jail == 0 {
		return nil
	}
	switch m.Op {
	case opExec, opSignal, opOpen, opTTY:
	default:
		return fmt.Errorf("a guest of a jail cannot ask for %q", m.Op)
	}
	if open == nil || open.id != c.jail || open.helper == nil {
		return errEnding
	}
	return nil
}

// errEnding is what a guest hears of a jail that was stopped.
var errEnding = &Error{Op: "entering", Path: "the jail", Errno: syscall.ESHUTDOWN}

// share makes a connection for a guest of the open jail.
func (p *pid1) share(jail int) (*message, []*os.File, error) {
	if p.open == nil || p.open.id != jail || p.open.helper == nil {
		return nil, nil, errEnding
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	conn, err := newConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	guest := &client{conn: conn, jail: jail}
	if err := guest.send(&message{Op: opHello, Jail: jail}); err != nil {
		theirs.Close()
		return nil, nil, errors.Join(err, conn.close())
	}
	go p.serveGuest(guest)
	return &message{}, []*os.File{theirs}, nil
}

func (p *pid1) serveGuest(guest *client) {
	// However it ended, the guest is gone: there is nobody to tell why.
	_ = p.serveRequests(guest)
	guest.conn.close()
	p.turn.Lock()
	defer p.turn.Unlock()
	for _, pid := range p.forget(guest) {
		killSession(pid)
	}
}

// forget takes a guest's commands out of the tables and returns their pids.
func (p *pid1) forget(guest *client) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pids []int
	for pid, c := range p.commands {
		if c.from == guest {
			pids = append(pids, pid)
			delete(p.commands, pid)
			delete(p.pids, c)
		}
	}
	return pids
}

// killSession kills the processes of a session: a command, its process groups, the jobs of its
// shell. Those that made a session of their own, as daemons do, go on.
func killSession(leader int) {
	begin := time.Now() // nobody else is served meanwhile
	for pause := 50 * time.Microsecond; time.Since(begin) < killPatience; pause = min(2*pause,
		5*time.Millisecond) {
		members, err := processes(func(p *process) bool { return p.session == leader })
		if err != nil || len(members) == 0 {
			return // without a /proc there is no way to know them
		}
		for _, m := range members {
			_ = m.kill() // what cannot be killed now is met again
		}
		time.Sleep(pause)
	}
}

// Share makes another connection to the jail, for a process of the same user: pass it on
// (SCM_RIGHTS in unix(7)), and Join there. When it closes, the commands that were started over it
// are killed, with the whole session of each; daemons they started go on.
func (j *Jail) Share() (*os.File, error) {
	return j.file(&message{Op: opShare, Jail: j.id})
}

// Join takes a connection that Share has made, and closes f. Commands can be run over it, and
// terminals and files opened; Leave ends it.
func Join(f *os.File) (*Jail, error) {
	c, err := newConn(f)
	if err != nil {
		return nil, err
	}
	hello, files, err := c.recvWithin(setupPatience) // sent before it was handed on
	closeFiles(files)
	if err == nil && hello.Op != opHello {
		err = fmt.Errorf("it says %q", hello.Op)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("joining a jail: %w", err), c.close())
	}
	l := newLink(c)
	go l.receive()
	return &Jail{h: l, id: hello.Jail}, nil
}

// Leave closes the connection of a guest; see Share.
func (j *Jail) Leave() error { return j.h.conn.close() }
