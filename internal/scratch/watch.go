package scratch

import (
	"errors"
	"sync"
	"time"

	"nsbuild/internal/jails"
)

// sampled is how often a watch looks: what fills a scratch and empties it again within less is
// betrayed by the log.
const sampled = 200 * time.Millisecond

// Watch looks at the room that a build's scratch has, all the time: a compiler that met the end
// deletes what it has written, and afterwards there is room again.
type Watch struct {
	space jails.Room
	stop  chan struct{}
	ended chan struct{}

	mu     sync.Mutex
	full   bool
	before int64 // used when the build jail began
	peak   int64 // used at most since then
	total  int64
	err    error
}

// NewWatch begins to look at the scratch of a holder.
func NewWatch(h jails.Holder) (*Watch, error) {
	space, err := h.Room()
	if err != nil {
		return nil, err
	}
	w := &Watch{space: space, stop: make(chan struct{}), ended: make(chan struct{})}
	w.look()
	go func() {
		defer close(w.ended)
		t := time.NewTicker(sampled)
		defer t.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-t.C:
				w.look()
			}
		}
	}()
	return w, nil
}

func (w *Watch) look() {
	now, err := w.space.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
		return
	}
	w.total = now.Total
	w.full = w.full || now.Full()
	w.peak = max(w.peak, now.Used())
}

// Begin sets off what was used before from what is used from now on.
func (w *Watch) Begin() {
	now, err := w.space.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
	w.before, w.peak = now.Used(), now.Used()
}

// WasFull tells whether the scratch was ever full.
func (w *Watch) WasFull() bool {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full
}

// Grown is how much was written at most since Begin, and how much was there before.
func (w *Watch) Grown() (tree, before int64) {
	w.look() // much may have come since it looked last
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak - w.before, w.before
}

// Close ends the looking, and returns what went wrong with it.
func (w *Watch) Close() error {
	close(w.stop)
	<-w.ended
	return errors.Join(w.err, w.space.Close())
}
