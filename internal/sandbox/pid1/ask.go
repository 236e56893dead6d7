package pid1

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// ask sends a helper a request and waits for its answer, for so long, and not where it is held.
func ask(helper *wire.Conn, patience time.Duration, held func() bool, m *wire.Message,
	files ...*os.File) (
	*wire.Message, []*os.File, error) {
	if err := helper.SendWithin(patience, m, files...); err != nil {
		return nil, nil, err
	}
	w := &watch{helper: helper, held: held, answered: make(chan struct{})}
	defer w.end()
	defer time.AfterFunc(heldPause, w.look).Stop()
	return helper.RecvWithin(patience)
}

// heldPause is how often a helper that has not answered yet is looked at, and heldTimes how often
// in turn it must have been held.
const (
	heldPause = 200 * time.Millisecond
	heldTimes = 5
)

// watch looks at a helper whose answer is waited for.
type watch struct {
	helper   *wire.Conn
	held     func() bool
	answered chan struct{}
	mu       sync.Mutex // held while the connection's deadline is this request's
}

// look ends the waiting when the helper is held for a while.
func (w *watch) look() {
	for times := 0; times < heldTimes; times++ {
		if !w.held() {
			times = -1
		}
		select {
		case <-w.answered:
			return
		case <-time.After(heldPause):
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.answered:
	default:
		_ = w.helper.GiveUp() // a connection that is closed needs none
	}
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.answered)
}

// heldInside tells whether a debugger holds a process, or a signal.
func heldInside(pid int) bool {
	p, _, err := procs.Read(pid)
	return err == nil && (p.State == "t" || p.State == "T")
}

// helperLost ends a helper that did not answer, so that its next answer is not taken for that to
// another request, and says what became of it.
func (p *pid1) helperLost(pid int, helper *wire.Conn, err error) error {
	helper.Close()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		if status, ended := p.reapedHelper(pid); ended {
			return fmt.Errorf("the jail's helper has ended: %s", status)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.helpers[pid] { // not reaped, so the number is still its own
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
func (p *pid1) reapedHelper(pid int) (status wire.Status, ended bool) {
	const moments = 100
	for range moments {
		p.mu.Lock()
		status, ended = p.lostHelpers[pid]
		p.mu.Unlock()
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
func (p *pid1) mayBeStarted(pid int) error {
	p.mu.Lock() // nothing is reaped meanwhile
	defer p.mu.Unlock()
	if _, ended := p.orphans[pid]; ended {
		return nil
	}
	_, taken := p.commands[pid]
	if pid > 1 && !taken && !p.helpers[pid] {
		if child, _, err := procs.Read(pid); err == nil && child.Parent == os.Getpid() {
			return nil
		}
	}
	return fmt.Errorf("the jail's helper answered with pid %d, which is no new command", pid)
}
