package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/fault"
	"nsbuild/internal/fdpass"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// endGrace is how long a supervisor that was asked to end before its session has begun may take to
// clean up before it is killed. What is left is deleted by whoever comes next.
const endGrace = time.Second

// Begin begins a session: a jail that stays until it is ended, whoever comes and goes. It returns
// the session's name: the given one, or a new one.
// What its hooks print goes to stderr, what there is to be said of it to log.
func Begin(ctx context.Context, s Spec, stderr *os.File, log logrus.FieldLogger) (string, error) {
	if s.Name == "" {
		of := s.Jail.Base
		if of == "" {
			of = s.Jail.Root
		}
		s.Name = newID(of)
	}
	if err := checkID(s.Name); err != nil {
		return "", err
	}
	body, err := rawjson.Marshal(s)
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	// Of the creator's environment it needs no more than to find newuidmap(1), and to know whether
	// there is a systemd of the user's to name.
	supervisor := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{SupervisorName, s.Name},
		Env: []string{"PATH=" + os.Getenv("PATH"),
			"XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR")},
		Stdin: bytes.NewReader(body), ExtraFiles: []*os.File{w}, SysProcAttr: &syscall.SysProcAttr{
			Setsid: true},
	}
	if s.tells() {
		supervisor.ExtraFiles = append(supervisor.ExtraFiles, stderr)
	}
	if err := errors.Join(supervisor.Start(), w.Close()); err != nil {
		return "", fmt.Errorf("starting the session's supervisor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { // it may have ended
		_ = supervisor.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(endGrace, func() { _ = supervisor.Process.Kill() })
	})
	defer stop()
	var answer ready
	err = rawjson.NewDecoder(r).Decode(&answer)
	if ctx.Err() != nil {
		_ = supervisor.Wait() // it was asked to end
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("the session's supervisor has died: %w",
			errors.Join(supervisor.Wait(), err))
	}
	if err := answer.Fault.error(); err != nil {
		_ = supervisor.Wait() // it has said why it fails
		return "", err
	}
	tellNotes(log, answer.Notes, answer.Spared)
	return s.Name, supervisor.Process.Release()
}

// RunIn runs a command in a session. What it leaves running stays.
func RunIn(ctx context.Context, h Host, id string, c Command, s Streams) (sandbox.Status, error) {
	e := &errand{Command: c, Streams: s, log: h.Log}
	var joined connection
	return e.attended(ctx, joined.cut, func(ctx context.Context) (sandbox.Status, error) {
		return e.joinAndRun(ctx, h.StateDir, id, &joined)
	})
}

// connection is that of a guest to its jail. Whoever waits for an answer over it can be cut off.
type connection struct {
	mu   sync.Mutex
	jail *sandbox.Jail
	err  error
	left bool
}

// set is told the jail that was joined.
func (c *connection) set(jail *sandbox.Jail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jail = jail
}

// leave ends the connection, once.
func (c *connection) leave() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jail != nil && !c.left {
		c.left, c.err = true, c.jail.Leave()
	}
	return c.err
}

func (c *connection) cut() { _ = c.leave() } // whoever is cut off says why

func (e *errand) joinAndRun(ctx context.Context, state, id string, c *connection) (
	status sandbox.Status, err error) {
	e.attention.deadline(e.Timeout)
	joined, passed, err := ask(ctx, state, id, askJoin)
	if err != nil {
		return status, err
	}
	if passed == nil {
		return status, fmt.Errorf("session %s: its supervisor sent no descriptor", id)
	}
	jail, err := sandbox.Join(passed)
	if err != nil {
		return status, meanwhile(id, err)
	}
	c.set(jail)
	defer func() { err = errors.Join(err, c.leave()) }()
	e.chroot = called(joined.Info.Base, joined.Info.Root)
	e.network = joined.Info.Network
	e.throwaway = joined.Info.Base != "" && !joined.Info.ReadOnly
	if e.User == "" {
		e.User = joined.Info.User
	}
	if status, err = e.runIn(ctx, jail); err != nil {
		return status, meanwhile(id, err)
	}
	if joined.Info.MemoryLimit > 0 {
		now, _, err := ask(ctx, state, id, askMemory)
		if err != nil { // the command has ended as it has
			e.log.Warnf("whether memory ran out meanwhile is not known: %v", err)
			return status, nil
		}
		e.tellExhausted(now.Exhausted.Since(joined.Exhausted), status)
	}
	return status, nil
}

// meanwhile says what it means that a jail is gone that was there.
func meanwhile(id string, err error) error {
	if errors.Is(err, sandbox.ErrClosed) || errors.Is(err, syscall.ESHUTDOWN) {
		return fault.Wrap(fault.Internal, "nsbuild session list",
			fmt.Errorf("session %s has ended meanwhile: %w", id, err))
	}
	return err
}

// List lists the sessions, the oldest first. What dead ones have left is deleted; where that cannot
// be done, log is told. A session that does not answer is listed as one.
func List(ctx context.Context, state string, log logrus.FieldLogger) ([]Info, error) {
	all, err := ids(state)
	if err != nil {
		return nil, err
	}
	type answer struct {
		info Info
		err  error
	}
	answers := make([]answer, len(all))
	var asked sync.WaitGroup
	for i, id := range all {
		asked.Go(func() { answers[i].info, answers[i].err = Find(ctx, state, id) })
	}
	asked.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var infos []Info
	for i, a := range answers {
		switch {
		case a.err == nil:
			infos = append(infos, a.info)
		case errors.Is(a.err, errSilent):
			infos = append(infos, silentInfo(state, all[i]))
		case !errors.Is(a.err, ErrNone) && !errors.Is(a.err, errStale) &&
			!errors.Is(a.err, errNotReady):
			log.Warnf("session %s: %v", all[i], a.err)
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return a.Began.Compare(b.Began) })
	return infos, nil
}

// silentInfo is what can be known of a session whose supervisor does not answer.
func silentInfo(state, id string) Info {
	info := Info{ID: id, Silent: true}
	if st, err := os.Stat(filepath.Join(directory(state, id), socketName)); err == nil {
		info.Began = st.ModTime()
	}
	return info
}

// Find tells about one session.
func Find(ctx context.Context, state, id string) (Info, error) {
	r, _, err := ask(ctx, state, id, askUsage)
	return r.Info, err
}

// errSilent means that a supervisor lives and says nothing.
var errSilent = errors.New("its supervisor does not answer")

// End ends a session and everything in it. It returns what still ran, and what was killed because
// memory ran out, whenever that was; nil when nothing was.
func End(ctx context.Context, state, id string) ([]sandbox.Stray, *sandbox.Exhaustion, error) {
	r, _, err := ask(ctx, state, id, askEnd)
	return r.Strays, r.Exhausted, err
}

// answerTime is how long a supervisor may take. The end of a jail with very many processes takes
// the kernel some seconds.
func answerTime(r request) time.Duration {
	switch r {
	case askEnd:
		return 2 * time.Minute
	case askUsage: // of each that is listed
		return silence + 700*time.Millisecond
	}
	return 15 * time.Second
}

// ask asks the supervisor of a session.
func ask(ctx context.Context, state, id string, what request) (r reply, passed *os.File,
	err error) {
	c, err := dial(ctx, state, id)
	if err != nil {
		return r, nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })() // for who waits in it
	err = errors.Join(samePeer(c), c.SetDeadline(time.Now().Add(answerTime(what))))
	if err == nil {
		err = rawjson.NewEncoder(c).Encode(what)
	}
	if err == nil {
		passed, err = receive(c, &r)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		const hint = "when it is stopped, let it go on; when it is killed, the session dies with it"
		err = fault.Wrap(fault.Internal, hint, fmt.Errorf("session %s: %w%s", id, errSilent,
			peerOf(c)))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		err = fault.Wrap(fault.Internal, "nsbuild session begin",
			fmt.Errorf("session %s: %w", id, errStale))
	case err != nil:
		err = fmt.Errorf("session %s: %w", id, err)
	default:
		err = r.Fault.error()
	}
	if err != nil && passed != nil {
		err, passed = errors.Join(err, passed.Close()), nil
	}
	return r, passed, err
}

// receive is the other end of send.
func receive(c *net.UnixConn, r *reply) (*os.File, error) {
	head := make([]byte, 4096)
	n, files, err := fdpass.Read(c, head, 1)
	if err != nil {
		return nil, err
	}
	var passed *os.File
	if len(files) > 0 {
		passed = files[0]
	}
	return passed, rawjson.NewDecoder(io.MultiReader(bytes.NewReader(head[:n]), c)).Decode(r)
}

// peerOf says which process is at the other end.
func peerOf(c *net.UnixConn) string {
	peer, err := credentials(c)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", peer.Pid)
}

// Describe is one line about a process that still ran at the end.
func Describe(s sandbox.Stray) string {
	return strings.TrimSpace(fmt.Sprintf("still running at the end: pid %d (parent %d), for %v: %s",
		s.PID, s.PPID, s.Age, s.Command))
}
