// Package pid1 is PID 1 of a sandbox. It runs in H: as the caller's own uid, or as an id that no
// jail has where a jail has that uid (hideFrom), with every capability in H's user namespace and
// none outside of it, in a mount namespace in which layout.Host is the host's tree. It mounts
// roots, starts the helper in each jail and reaps whatever ends. Jails can neither signal nor trace
// it.
//
// Requests come from the caller, whom it believes, and from guests, who may run commands and no
// more (client.may). It believes nothing that comes out of a jail: not the helper's answers, no
// tree, no name below a jail's root.
//
// One goroutine for each client serves its requests, one at a time of all (turn); one reaps. What
// they share is in children. What happens inside a jail is in inside.
package pid1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/wire"
)

// pid1 is the state of PID 1.
type pid1 struct {
	caps []uintptr
	self *reexec.Self
	null *os.File
	host *os.File
	// emulators is the binfmt_misc that has them; it ends with us.
	emulators *os.File
	scratch   scratch
	group     string      // the control group of what runs in jails, or ""
	limits    wire.Limits // that it does not hold

	turn sync.Mutex // of requests, and of what they change: one is served at a time

	hidden *int // the uid under which a jail with the caller's ids does not reach us; see hideFrom

	shared *shared // nil where we have a PID namespace of our own

	jails []*openJail // by id-1; closed ones keep their upper directory
	open  *openJail

	children *children
}

// Main is PID 1. It returns its exit status when the caller is gone.
func Main() int {
	unix.Umask(reexec.Umask) // before the first directory is made
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-init:", err)
		return 1
	}
	c, err := wire.Inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-init:", err)
		return 1
	}
	p := &pid1{children: newChildren()}
	if err := p.serve(&client{conn: c}); err != nil && !callerGone(err) {
		fmt.Fprintln(os.Stderr, "nsbuild-init:", err)
		return 1
	}
	return 0 // whatever still runs dies with us
}

// callerGone tells whether an error on the way to the caller is the caller's end: an end of file, a
// broken pipe where we wrote, or a reset where the caller has left unread what we wrote before.
func callerGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNRESET)
}

func (p *pid1) serve(caller *client) error {
	// Terminal signals are the caller's business; it tells us what to pass on.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP,
		syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGPIPE)
	// Beyond the caller's limit a relay's write fails, which is then said; commands have the
	// default.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	m, files, err := caller.conn.Recv()
	if err != nil {
		return err
	}
	if m.Holder.Level == wire.LevelShared {
		p.shared, err = newShared(files)
	} else {
		wire.CloseFiles(files)
	}
	if err == nil {
		err = p.setup(m)
	}
	if sendErr := caller.conn.Send(
		&wire.Message{Op: wire.OpSetup, ID: m.ID, Err: wire.ToWire(err), Scratch: p.scratch.kind,
			Found: p.scratch.found}); err != nil || sendErr != nil {
		return sendErr // the caller reports err
	}
	go p.children.reap()
	if p.shared != nil {
		go p.keepWatch()
	}
	return p.serveRequests(caller)
}

// serveRequests serves a client until it is gone.
func (p *pid1) serveRequests(c *client) error {
	for {
		m, files, err := c.conn.Recv()
		if err != nil {
			return err
		}
		if err := p.serveRequest(c, m, files); err != nil {
			return err
		}
	}
}

func (p *pid1) serveRequest(c *client, m *wire.Message, files []*os.File) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	answer, send, err := p.handle(c, m, files)
	wire.CloseFiles(files)
	if err != nil {
		answer = &wire.Message{Err: wire.ToWire(err)}
	}
	answer.Op, answer.ID = m.Op, m.ID
	err = c.send(answer, send...)
	wire.CloseFiles(send)
	if m.Op == wire.OpExec || m.Op == wire.OpApplet {
		p.children.settle(command{c, m.Handle}, answer.PID, m.Command.Terminal || m.Command.PID1)
	}
	return err
}

func (p *pid1) handle(c *client, m *wire.Message, files []*os.File) (*wire.Message, []*os.File,
	error) {
	if err := c.may(m, p.open); err != nil {
		return nil, nil, err
	}
	switch m.Op {
	case wire.OpJail:
		return answer(p.openJail(m.Spec, files))
	case wire.OpStrays:
		if p.open == nil || p.open.id != m.Jail || p.open.helper == nil {
			return nil, nil, errors.New("this jail is not open")
		}
		strays, err := p.strays()
		return &wire.Message{Strays: strays}, nil, err
	case wire.OpOnline:
		return &wire.Message{}, nil, p.connected(m.Jail)
	case wire.OpStop:
		strays, err := p.stopJail(m.Jail)
		return &wire.Message{Strays: strays}, nil, err
	case wire.OpSweep:
		strays, err := p.sweepJail(m.Jail)
		return &wire.Message{Strays: strays}, nil, err
	case wire.OpClose:
		return &wire.Message{}, nil, p.closeJail(m.Jail)
	case wire.OpExec:
		pid, err := p.exec(m, files)
		return &wire.Message{PID: pid}, nil, err
	case wire.OpApplet:
		pid, err := p.applet(m.Command, files)
		return &wire.Message{PID: pid}, nil, err
	case wire.OpSignal:
		err := p.children.signal(command{c, m.Handle}, syscall.Signal(m.Signal))
		return &wire.Message{}, nil, err
	case wire.OpShare:
		return p.share(m.Jail)
	case wire.OpUsage:
		usage, err := p.usage()
		return &wire.Message{Usage: usage}, nil, err
	case wire.OpTTY:
		if p.open == nil || p.open.id != m.Jail {
			return nil, nil, errors.New("this jail is not open")
		}
		files, err := p.open.openTerminal(m.UID)
		return &wire.Message{}, files, err
	case wire.OpOpen, wire.OpCreate, wire.OpMkdir, wire.OpLink:
		return p.fileOp(m)
	case wire.OpSpace:
		f, err := beneath.OpenPath(p.scratch.dir)
		if err != nil {
			return nil, nil, err
		}
		return &wire.Message{}, []*os.File{f}, nil
	}
	return nil, nil, fmt.Errorf("PID 1 knows no request %q", m.Op)
}

func answer(m *wire.Message, err error) (*wire.Message, []*os.File, error) { return m, nil, err }
