package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// helperPatience is far more than a helper needs for an answer. It lives in the jail: jail root can
// hold it (with a debugger, or a file system of its own on the path of a command) while PID 1 serves
// nobody else.
const helperPatience = 20 * time.Second

// killPatience is how long processes may take to end that were killed. Some cannot end: they wait for
// a device.
const killPatience = time.Minute

// ask sends a helper a request and waits for its answer.
func ask(helper *conn, patience time.Duration, m *message, files ...*os.File) (*message, []*os.File, error) {
	if err := helper.sendWithin(patience, m, files...); err != nil {
		return nil, nil, err
	}
	return helper.recvWithin(patience)
}

// helperLost ends a helper that did not answer, so that its next answer is not taken for that to
// another request, and says what became of it.
func (p *pid1) helperLost(pid int, helper *conn, err error) error {
	helper.close()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		if status, ended := p.reapedHelper(pid); ended {
			return fmt.Errorf("the jail's helper has ended: %s", status)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.helpers[pid] { // not reaped, so the number is still its own
		if kill := syscall.Kill(pid, syscall.SIGKILL); kill != nil {
			err = errors.Join(err, sysErr("kill", "the jail's helper", kill))
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the jail's helper was held up from inside the jail: no answer for %v", helperPatience)
	}
	return fmt.Errorf("the jail's helper is gone: %w", err)
}

// reapedHelper is how a helper ended whose socket has closed: the reaper needs a moment more.
func (p *pid1) reapedHelper(pid int) (status Status, ended bool) {
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
	return Status{}, false
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
		if child, _, err := readProcess(pid); err == nil && child.parent == os.Getpid() {
			return nil
		}
	}
	return fmt.Errorf("the jail's helper answered with pid %d, which is no new command", pid)
}
