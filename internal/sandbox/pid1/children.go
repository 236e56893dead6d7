package pid1

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/relay"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// children are the processes that PID 1 has started, or had started by a helper, in tables that
// requests share with the reaper.
type children struct {
	mu       sync.Mutex // of all that follows
	commands map[int]command
	pids     map[command]int
	// pids of commands that are session leaders of ours, see inside.spawnSession
	leaders map[int]bool
	// asking: a request is under way that starts one. What is reaped or stopped meanwhile is kept,
	// since the answer may name it.
	asking  bool
	orphans map[int]*wire.Status // reaped
	stopped map[int]bool
	helpers map[int]bool // pids of those that live
	// lostHelpers are those that have ended, for whoever asks one next.
	lostHelpers map[int]wire.Status
	watcher     int                        // pid of the living one; see shared
	watcherLost chan struct{}              // is told when it has ended
	streams     map[int]*relay.Streams     // by pid; of commands that have them by way of us
	draining    map[command]*relay.Streams // of those that have ended, until all is passed on
}

func newChildren() *children {
	return &children{
		commands: map[int]command{}, pids: map[command]int{}, leaders: map[int]bool{},
		orphans: map[int]*wire.Status{},
		stopped: map[int]bool{},
		helpers: map[int]bool{}, lostHelpers: map[int]wire.Status{},
		watcherLost: make(chan struct{}, 1),
		streams:     map[int]*relay.Streams{}, draining: map[command]*relay.Streams{},
	}
}

// fork has start start a process of our own that is a command; settle follows.
func (t *children) fork(start func() (int, error)) (int, error) {
	t.mu.Lock() // a child must be in the tables before it is reaped
	defer t.mu.Unlock()
	pid, err := start()
	if err == nil {
		t.asking = true
	}
	return pid, err
}

// forkHelper has start start a helper.
func (t *children) forkHelper(start func() (int, error)) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pid, err := start()
	if err == nil {
		t.helpers[pid] = true
		delete(t.lostHelpers, pid) // an earlier one of that number
	}
	return pid, err
}

// expect is told that a helper will be asked to start a command; answered follows.
func (t *children) expect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asking = true
}

// answered is told what became of it: a command that has its streams by way of us, or, if between
// is nil, has them itself. settle follows.
func (t *children) answered(pid int, between *relay.Streams, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.asking = false
		clear(t.orphans)
		clear(t.stopped)
	} else if between != nil {
		t.streams[pid] = between
	}
}

// sessionLeaders are the pids of those of ours that have started a command for somebody.
func (t *children) sessionLeaders() map[int]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.leaders)
}

// addCommands adds the pids of commands that have not ended.
func (t *children) addCommands(to map[int]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for pid := range t.commands {
		to[pid] = true
	}
}

// command is one that was started over a connection.
type command struct {
	from   *client
	handle int // by which the client knows it
}

// settle ties a started pid to its command, after the client has been told of it, so that its end
// is reported after its beginning.
func (t *children) settle(c command, pid int, leader bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asking = false
	if pid != 0 {
		if status := t.orphans[pid]; status != nil {
			t.report(pid, c, status)
		} else {
			t.commands[pid], t.pids[c] = c, pid
			if leader {
				t.leaders[pid] = true
			}
			if t.stopped[pid] {
				t.paused(pid)
			}
		}
	}
	clear(t.orphans)
	clear(t.stopped)
}

// reap waits for every child, adopted ones too, for ever.
func (t *children) reap() {
	runtime.LockOSThread()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for {
		var ws syscall.WaitStatus
		var ru syscall.Rusage
		t.mu.Lock() // a child must be in the tables before it is reaped
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED, &ru)
		if err == nil && pid > 0 {
			if ws.Stopped() {
				t.paused(pid)
			} else {
				t.reaped(pid, wire.StatusOf(ws, &ru))
			}
			t.mu.Unlock()
			continue
		}
		t.mu.Unlock()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		<-ended
	}
}

// reaped is called with mu held.
func (t *children) reaped(pid int, status wire.Status) {
	delete(t.leaders, pid)
	if t.helpers[pid] {
		delete(t.helpers, pid)
		t.lostHelpers[pid] = status
	}
	if pid == t.watcher {
		delete(t.lostHelpers, pid)
		t.watcher = 0
		select {
		case t.watcherLost <- struct{}{}:
		default:
		}
	}
	if c, ok := t.commands[pid]; ok {
		delete(t.commands, pid)
		delete(t.pids, c)
		t.report(pid, c, &status)
		return
	}
	if t.asking {
		t.orphans[pid] = &status
		return
	}
	t.abandon(pid) // of a guest that is gone
}

// paused tells the client that a command was stopped. It is called with mu held.
func (t *children) paused(pid int) {
	if t.helpers[pid] {
		_ = syscall.Kill(pid, syscall.SIGCONT) // jail root can stop it; nobody is to wait for it
		return
	}
	if c, ok := t.commands[pid]; ok {
		c.from.tell(&wire.Message{Op: wire.OpPause, Handle: c.handle})
	} else if t.asking {
		t.stopped[pid] = true
	}
}

// signal sends to the process group of a command: each is a session of its own.
func (t *children) signal(c command, sig syscall.Signal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	pid, ok := t.pids[c]
	if t.hurry(c, pid, sig) {
		return nil
	}
	if !ok {
		return &syserr.Error{Op: "kill", Errno: syscall.ESRCH}
	}
	return syserr.Wrap("kill", strconv.Itoa(pid), syscall.Kill(-pid, sig))
}

// hurry is told that a command, or what it has written, is not to be waited for any longer. It is
// called with mu held.
func (t *children) hurry(c command, pid int, sig syscall.Signal) (ended bool) {
	if !ends(sig) {
		return false
	}
	if s := t.streams[pid]; s != nil && pid != 0 {
		s.Hurry()
	}
	s := t.draining[c]
	if s == nil {
		return false
	}
	s.Leave()
	delete(t.draining, c)
	return true
}

// report tells a client of the end of its command, once all that it wrote is where it belongs. It
// is called with mu held.
func (t *children) report(pid int, c command, status *wire.Status) {
	end := &wire.Message{Op: wire.OpExit, Handle: c.handle, Status: status}
	s := t.streams[pid]
	delete(t.streams, pid)
	if s == nil {
		c.from.tell(end)
		return
	}
	t.draining[c] = s
	go func() {
		end.Err = wire.ToWire(s.Wait())
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.draining[c] == s {
			delete(t.draining, c)
		}
		c.from.tell(end)
	}()
}

// abandon ends what was done for a command that nobody waits for. It is called with mu held.
func (t *children) abandon(pid int) {
	if s := t.streams[pid]; s != nil {
		delete(t.streams, pid)
		go func() { _ = s.Wait() }() // there is nobody to tell
	}
}

// ends tells whether a signal asks a command to end.
func ends(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGKILL:
		return true
	}
	return false
}

// forget takes a guest's commands out of the tables and returns their pids.
func (t *children) forget(guest *client) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	var pids []int
	for pid, c := range t.commands {
		if c.from == guest {
			pids = append(pids, pid)
			delete(t.commands, pid)
			delete(t.pids, c)
		}
	}
	return pids
}

// helperLost ends a helper that did not answer, so that its next answer is not taken for that to
// another request, and says what became of it.
func (t *children) helperLost(pid int, helper *wire.Conn, err error) error {
	helper.Close()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		if status, ended := t.reapedHelper(pid); ended {
			return fmt.Errorf("the jail's helper has ended: %s", status)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.helpers[pid] { // not reaped, so the number is still its own
		if kill := syscall.Kill(pid, syscall.SIGKILL); kill != nil {
			err = errors.Join(err, syserr.Wrap("kill", "the jail's helper", kill))
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the jail's helper was held up from inside the jail, and has been ended")
	}
	if errors.Is(err, net.ErrClosed) {
		return errors.New("the jail's helper has been ended")
	}
	return fmt.Errorf("the jail's helper is gone: %w", err)
}

// reapedHelper is how a helper ended whose socket has closed: the reaper needs a moment more.
func (t *children) reapedHelper(pid int) (status wire.Status, ended bool) {
	const moments = 100
	for range moments {
		t.mu.Lock()
		status, ended = t.lostHelpers[pid]
		t.mu.Unlock()
		if ended {
			return status, true
		}
		time.Sleep(time.Millisecond)
	}
	return wire.Status{}, false
}

// mayBeStarted checks a pid that a helper gave for that of a command. The helper lives in the jail:
// a pid that is not a child of ours would never be reported, and that of another command would be
// reported for the wrong one.
func (t *children) mayBeStarted(pid int) error {
	t.mu.Lock() // nothing is reaped meanwhile
	defer t.mu.Unlock()
	if _, ended := t.orphans[pid]; ended {
		return nil
	}
	_, taken := t.commands[pid]
	if pid > 1 && !taken && !t.helpers[pid] {
		if child, _, err := procs.Read(pid); err == nil && child.Parent == os.Getpid() {
			return nil
		}
	}
	return fmt.Errorf("the jail's helper answered with pid %d, which is no new command", pid)
}
