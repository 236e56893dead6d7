package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/base"
	"nsbuild/internal/fault"
	"nsbuild/internal/fdpass"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// SupervisorName is the name, in argv[0], by which a re-executed binary knows that it is the
// supervisor of a session: the process that owns the jail. Its death, however it comes, is the
// jail's.
const SupervisorName = "nsbuild-supervisor"

// readyFD is where a supervisor says that its session has begun; tellFD is its creator's standard
// error, for what hooks print, where there are hooks.
const (
	readyFD = 3
	tellFD  = 4
)

// Spec says what a session is to be. A supervisor is told it on its standard input.
type Spec struct {
	Name               string // Begin finds one when it is empty
	Jail               Jail
	Hooks              *Named // nil: none
	StateDir, CacheDir string
	// Install are packages that the session begins with; Settings are what its creator has been
	// told about fetching, which the program reads that began it.
	Install  []string
	Settings []byte
}

// tells tells whether the creator is to see what is done before the session has begun.
func (s *Spec) tells() bool { return s.Hooks != nil || len(s.Install) > 0 }

// Before is what a session begins with, made by the program that the supervisor is part of. What
// there is to be said goes to stderr.
type Before func(ctx context.Context, s Spec, stderr *os.File) (around Around,
	release func(context.Context) error, err error)

// ready is its answer.
type ready struct {
	Notes  []string
	Spared []string // of the limits
	Fault  *wireFault
}

// wireFault is an error on its way to another process.
type wireFault struct {
	Kind       fault.Kind
	Text, Hint string
}

func toWire(err error) *wireFault {
	if err == nil {
		return nil
	}
	return &wireFault{fault.KindOf(err), err.Error(), fault.HintOf(err)}
}

func (w *wireFault) error() error {
	if w == nil {
		return nil
	}
	return fault.New(w.Kind, w.Hint, "%s", w.Text)
}

// request is what a supervisor can be asked, in one line of JSON; the answer is a reply.
type request string

const (
	askJoin   request = "join"   // a connection to the jail, as a descriptor
	askUsage  request = "usage"  // what the session is and uses
	askMemory request = "memory" // what was killed because memory ran out
	askEnd    request = "end"    // end it; the answer comes when all is gone
)

type reply struct {
	Fault     *wireFault
	Info      Info
	Strays    []sandbox.Stray
	Exhausted *sandbox.Exhaustion // since the session began; to askJoin, askMemory and askEnd
}

// Info says what a session is and what it uses.
type Info struct {
	ID   string `json:"id"`
	Base string `json:"base,omitempty"`
	Root string `json:"root,omitempty"`
	// Network is what the session has of the network.
	Network  sandbox.Network `json:"network"`
	ReadOnly bool            `json:"read_only,omitempty"` // the root
	// User is who commands run as that do not say; root when empty.
	User   string    `json:"user,omitempty"`
	Began  time.Time `json:"began"`
	PID    int       `json:"pid"`  // of the supervisor
	Init   int       `json:"init"` // PID 1 of the session, as the host numbers it
	Ending bool      `json:"ending,omitempty"`
	// Silent: it does not answer, so what follows is not known.
	Silent bool `json:"silent,omitempty"`

	Scratch string `json:"scratch"` // where what is written is kept
	Path    string `json:"path"`    // the root, as the session's user can enter it on the host

	MemoryLimit int64 `json:"memory_limit,omitempty"` // as it was asked for

	Processes int   `json:"processes"`
	Memory    int64 `json:"memory"`
	Disk      int64 `json:"disk"`
	// DiskMore: there are too many files to count them all.
	DiskMore bool `json:"disk_is_more,omitempty"`

	Escaped []string `json:"escaped,omitempty"` // see docs/result.md; set by Legible
}

// Legible is the information for a document of JSON.
func (i Info) Legible() Info {
	i, i.Escaped = rawjson.Legible(i)
	return i
}

// supervisor serves one session.
type supervisor struct {
	spec   Spec
	dir    string
	lock   *os.File
	room   *room
	listen *net.UnixListener
	info   Info
	done   chan struct{} // closed when all is gone

	mu     sync.Mutex
	ending bool

	measuring chan struct{} // has an element while PID 1 is asked what the jail uses
}

// Supervise is the main function of a supervisor. It returns the exit status.
func Supervise(before Before) int {
	// The creator's terminal may go; only what asks for the end of the session ends it.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGQUIT, syscall.SIGUSR1,
		syscall.SIGUSR2)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	pipe := os.NewFile(readyFD, "ready")
	syscall.CloseOnExec(readyFD)
	s, err := begin(context.Background(), ends, before)
	answer := ready{Fault: toWire(err)}
	if err == nil {
		answer.Notes, answer.Spared = s.room.notes, s.room.holder.Spared()
	}
	// A creator that is gone cannot be told, and has no use for the session.
	if sendErr := errors.Join(rawjson.NewEncoder(pipe).Encode(answer), pipe.Close()); err == nil &&
		sendErr != nil {
		err = sendErr
		_, _, endErr := s.end()
		err = errors.Join(err, endErr)
	}
	if err != nil {
		return 1
	}
	go s.serve()
	select {
	case <-ends:
		err = s.endUnasked()
	case <-s.room.holder.Done(): // somebody has killed PID 1, or the kernel did
		err = s.endUnasked()
	case <-s.done:
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// endUnasked ends the session, or waits for its end where a client has asked for that.
func (s *supervisor) endUnasked() error {
	_, _, err := s.end()
	if errors.Is(err, errEnding) {
		<-s.done
		return nil
	}
	return err
}

// begin reads the task, opens the jail and runs the hooks, up to the first signal of ends.
func begin(ctx context.Context, ends <-chan os.Signal, before Before) (_ *supervisor, err error) {
	var spec Spec
	if err := rawjson.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		return nil, fmt.Errorf("reading what the session is to be: %w", err)
	}
	var stderr *os.File // the creator's
	if spec.tells() {
		// before the jail starts: it would hold the creator's stream open
		syscall.CloseOnExec(tellFD)
		stderr = os.NewFile(tellFD, "stderr")
		// whoever reads it to its end must not wait for us
		defer func() { err = errors.Join(err, stderr.Close()) }()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	early := &attention{signals: ends, cancel: cancel}
	early.heed()
	defer early.leave()
	s := &supervisor{spec: spec, done: make(chan struct{}), measuring: make(chan struct{}, 1)}
	if s.dir, s.lock, err = claim(ctx, spec.StateDir, spec.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(context.WithoutCancel(ctx)))
		}
	}()
	if err := s.ownStreams(); err != nil {
		return nil, err
	}
	log := logrus.New()
	log.SetOutput(os.Stderr)
	o := opening{Jail: spec.Jail, Host: Host{StateDir: spec.StateDir,
		CacheDir: spec.CacheDir, Log: log, IDs: sandbox.ResolveIDs, Fallback: s.upper()}}
	if err := os.Mkdir(o.Fallback, 0o700); err != nil {
		return nil, err
	}
	if o.Store, err = base.Open(spec.StateDir); err != nil {
		return nil, err
	}
	if spec.tells() {
		var release func(context.Context) error
		if o.Around, release, err = before(ctx, spec, stderr); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, release(context.WithoutCancel(ctx))) }()
	}
	if s.room, err = o.open(ctx); err != nil {
		return nil, err
	}
	if err := o.Hooks.run(ctx, s.room, stderr, hookNotes{&s.room.notes}); err != nil {
		return nil, errors.Join(err, s.room.close())
	}
	s.info = Info{
		ID: spec.Name, Base: spec.Jail.Base, Root: spec.Jail.Root, Began: time.Now(),
		PID: os.Getpid(), Init: s.room.holder.PID(), Scratch: string(s.room.holder.Scratch()),
		Network: spec.Jail.Network, ReadOnly: spec.Jail.ReadOnly, User: spec.Jail.Whose,
		MemoryLimit: spec.Jail.Limits.Memory,
	}
	s.info.Path = s.room.holder.RootPath(s.room.jail.ID())
	if s.listen, err = listen(s.dir); err != nil {
		return nil, errors.Join(err, s.room.close())
	}
	// Not to keep the caller's file system busy; relative names of the options have been resolved
	// by now.
	return s, os.Chdir("/")
}

// upper is where throwaway layers are kept when they cannot be on a tmpfs.
func (s *supervisor) upper() string { return filepath.Join(s.dir, upperName) }

// ownStreams leaves the creator's streams to it: whoever reads them to their end must not wait for
// us.
func (s *supervisor) ownStreams() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	log, err := os.OpenFile(filepath.Join(s.dir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND,
		0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	return errors.Join(syscall.Dup3(int(null.Fd()), 0, 0), syscall.Dup3(int(null.Fd()), 1, 0),
		syscall.Dup3(int(log.Fd()), 2, 0))
}

func listen(dir string) (*net.UnixListener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketIn(d), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by a name that means another file then; it goes with the directory
	return l, os.Chmod(filepath.Join(dir, socketName), 0o600)
}

func (s *supervisor) serve() {
	for {
		c, err := s.listen.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: those who have them end
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go s.answer(c)
	}
}

// patience is how long a client may take to say what it wants.
const patience = 10 * time.Second

// answer serves one client. One that goes away needs none.
func (s *supervisor) answer(c *net.UnixConn) {
	defer c.Close()
	if c.SetReadDeadline(time.Now().Add(patience)) != nil {
		return
	}
	var r reply
	var passed *os.File
	var asked request
	err := samePeer(c)
	if err == nil {
		err = rawjson.NewDecoder(io.LimitReader(c, 4096)).Decode(&asked)
	}
	if err == nil {
		r.Info = s.info
		switch asked {
		case askJoin:
			passed, r.Exhausted, err = s.join()
		case askUsage:
			r.Info, err = s.usage()
		case askMemory:
			if err = s.refusal(); err == nil {
				r.Exhausted, err = s.room.holder.Exhausted()
			}
		case askEnd:
			r.Strays, r.Exhausted, err = s.end()
		default:
			err = fmt.Errorf("a session cannot be asked for %q", asked)
		}
	}
	r.Fault = toWire(err)
	if c.SetDeadline(time.Now().Add(patience)) == nil {
		_ = send(c, &r, passed) // it may have gone away
	}
	if passed != nil {
		_ = passed.Close() // it was sent
	}
	if asked == askEnd && !errors.Is(err, errEnding) {
		close(s.done)
	}
}

// samePeer refuses other users, for whom the directory is closed in any case.
func samePeer(c *net.UnixConn) error {
	peer, err := credentials(c)
	if err == nil && int(peer.Uid) != os.Geteuid() {
		err = fmt.Errorf("it belongs to uid %d, not %d", peer.Uid, os.Geteuid())
	}
	return err
}

// credentials says who is at the other end (SO_PEERCRED in unix(7)).
func credentials(c *net.UnixConn) (peer *syscall.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return peer, errors.Join(err, failed)
}

// send sends an answer, and a descriptor with its first byte.
func send(c *net.UnixConn, r *reply, passed *os.File) error {
	body, err := rawjson.Marshal(r)
	if err != nil {
		return err
	}
	if passed == nil {
		return fdpass.Write(c, body)
	}
	return fdpass.Write(c, body, passed)
}

// errEnding is what a session says that was asked to end already.
var errEnding = errors.New("it is ending")

// refusal is the error for who asks something of a session that is ending.
func (s *supervisor) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		return nil
	}
	return fault.Wrap(fault.Internal, "nsbuild session begin",
		fmt.Errorf("session %s: %w", s.info.ID, errEnding))
}

func (s *supervisor) join() (*os.File, *sandbox.Exhaustion, error) {
	if err := s.refusal(); err != nil {
		return nil, nil, err
	}
	before, err := s.room.holder.Exhausted()
	if err != nil {
		return nil, nil, err
	}
	passed, err := s.room.jail.Share()
	return passed, before, err
}

func (s *supervisor) usage() (Info, error) {
	info := s.info
	s.mu.Lock()
	info.Ending = s.ending
	s.mu.Unlock()
	if info.Ending {
		return info, nil
	}
	u, err := s.measure()
	if errors.Is(err, errSilent) {
		info.Silent, err = true, nil
	}
	info.Processes, info.Memory, info.Disk, info.DiskMore = u.Processes, u.Memory, u.Disk,
		u.DiskMore
	return info, err
}

// silence is how long PID 1 may take to answer. A helper that was stopped from inside the jail
// keeps it from that, as well as very many processes do.
const silence = 800 * time.Millisecond

// measure asks PID 1 what the jail uses, one question at a time.
func (s *supervisor) measure() (sandbox.Usage, error) {
	late := time.After(silence)
	select {
	case s.measuring <- struct{}{}:
	case <-late:
		return sandbox.Usage{}, errSilent
	}
	type answer struct {
		usage sandbox.Usage
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		u, err := s.room.holder.Usage()
		<-s.measuring
		answered <- answer{u, err}
	}()
	select {
	case a := <-answered:
		return a.usage, a.err
	case <-late:
		return sandbox.Usage{}, errSilent
	}
}

// end ends everything, and lists what still ran and what had been killed. Who comes second is
// refused.
func (s *supervisor) end() ([]sandbox.Stray, *sandbox.Exhaustion, error) {
	s.mu.Lock()
	second := s.ending
	s.ending = true
	s.mu.Unlock()
	if second {
		return nil, nil, s.refusal()
	}
	strays, err := s.closeJail()
	exhausted, memoryErr := s.room.holder.Exhausted()
	ctx := context.Background()
	if s.room.holder.Scratch() == sandbox.ScratchDisk {
		err = errors.Join(err, s.room.holder.RemoveTree(ctx, s.upper()))
	}
	if errors.Is(err, sandbox.ErrClosed) { // PID 1 is dead already, and all with it
		err = nil
	}
	return strays, exhausted, errors.Join(err, memoryErr, s.room.close(), s.listen.Close(),
		s.remove(ctx))
}

// closeJail ends what runs in the jail. Where PID 1 does not answer, all ends with it, unlisted.
func (s *supervisor) closeJail() ([]sandbox.Stray, error) {
	forced := make(chan error, 1)
	force := time.AfterFunc(silence, func() { forced <- s.room.holder.Close() })
	strays, err := s.room.jail.Close()
	if !force.Stop() {
		err = errors.Join(err, <-forced)
	}
	return strays, err
}

func (s *supervisor) remove(ctx context.Context) error {
	return errors.Join(sandbox.RemoveTree(ctx, s.dir), s.lock.Close())
}
