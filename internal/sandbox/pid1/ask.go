package pid1

import (
	"os"
	"sync"
	"time"

	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/wire"
)

// askAlive asks the helper that is process pid.
func askAlive(helper *wire.Conn, pid int, m *wire.Message, files ...*os.File) (*wire.Message,
	[]*os.File, error) {
	return ask(helper, wire.HelperPatience, func() bool { return heldInside(pid) }, m, files...)
}

// ask sends a helper a request and waits for its answer, for so long, and not where it is held.
func ask(helper *wire.Conn, patience time.Duration, held func() bool, m *wire.Message,
	files ...*os.File) (*wire.Message, []*os.File, error) {
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
