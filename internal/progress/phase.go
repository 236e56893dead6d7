package progress

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// Phase is one piece of work with a beginning and an end. Add, AddTotal, Note and Unit never wait
// for the terminal, so that a stopped one (Ctrl-S) does not stop the work.
type Phase struct {
	p     *Progress
	name  string
	began time.Time

	done, total atomic.Int64
	note        atomic.Pointer[string]
	unit        atomic.Pointer[string] // nil: bytes
	detail      atomic.Pointer[func() string]
	finished    atomic.Bool

	// Guarded by p.mu.
	inner    []*Phase  // of a task: the phases that its line shows, the last of them
	reported time.Time // when the last plain line was printed
	speed    speed
}

// Unit says what Add and AddTotal count, in the plural ("packages"). Without it they count bytes.
func (ph *Phase) Unit(name string) {
	name = printable(name)
	ph.unit.Store(&name)
}

// AddTotal makes the work n bytes (or units) larger. A phase without a total shows only what is
// done.
func (ph *Phase) AddTotal(n int64) { ph.total.Add(n) }

// Add counts n more bytes (or units) as done; a negative n takes back what has to be done again.
func (ph *Phase) Add(n int64) { ph.done.Add(n) }

// Note says what the phase is busy with; each note replaces the one before. The last one stays on
// the finished phase's line. Control characters are replaced.
func (ph *Phase) Note(text string) {
	text = printable(text)
	ph.note.Store(&text)
}

// Detail has the running phase's line end with what a function says, which is asked whenever the
// line is drawn, and not between: what changes often costs nothing so. The function must not wait
// for anybody who prints. The line that the phase leaves has no detail.
func (ph *Phase) Detail(ask func() string) { ph.detail.Store(&ask) }

// Write counts len(b) bytes as done, so that a phase can be one end of an io.TeeReader or
// io.MultiWriter.
func (ph *Phase) Write(b []byte) (int, error) {
	ph.Add(int64(len(b)))
	return len(b), nil
}

// Elapsed is the time since the phase began.
func (ph *Phase) Elapsed() time.Duration { return time.Since(ph.began) }

// Done ends the phase: with nil as finished, with context.Canceled as stopped, with any other error
// as failed. What the error says is left to the caller to print. Only the first call counts, so
// Done may be deferred with an error and called earlier without.
func (ph *Phase) Done(err error) {
	if ph.finished.Swap(true) {
		return
	}
	p := ph.p
	if p.events != nil {
		p.unwatch(ph, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.task != nil {
		if i := slices.Index(p.task.inner, ph); i >= 0 {
			p.task.inner = slices.Delete(p.task.inner, i, i+1)
			return // the task's line goes on
		}
	}
	i := slices.Index(p.running, ph)
	if i < 0 {
		return // quiet, or closed before
	}
	p.running = slices.Delete(p.running, i, i+1)
	p.say([]byte(p.finishedLine(ph, outcomeOf(err), time.Now())), false)
}

func outcomeOf(err error) outcome {
	switch {
	case errors.Is(err, context.Canceled):
		return outcomeStopped
	case err != nil:
		return outcomeFailed
	}
	return outcomeDone
}

// speed estimates how fast something grows, over the last few seconds.
type speed struct {
	at    [16]time.Time
	value [16]int64
	n     int // samples taken so far
}

const (
	speedEvery  = 200 * time.Millisecond
	speedWindow = 3 * time.Second
)

// sample records a value and returns the growth per second, or 0 while that is unknown.
func (s *speed) sample(now time.Time, value int64) float64 {
	size := len(s.at)
	if s.n == 0 || now.Sub(s.at[(s.n-1)%size]) >= speedEvery {
		s.at[s.n%size], s.value[s.n%size] = now, value
		s.n++
	}
	oldest := max(0, s.n-size)
	for oldest < s.n-1 && now.Sub(s.at[oldest%size]) > speedWindow {
		oldest++
	}
	took := now.Sub(s.at[oldest%size]).Seconds()
	if took < speedEvery.Seconds() {
		return 0
	}
	return float64(value-s.value[oldest%size]) / took
}
