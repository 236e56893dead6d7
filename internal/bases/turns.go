package bases

import (
	"context"
	"sync"
)

// Turns has builds of one command do one after the other what is to be done once: the first does
// it, and those after it find it done. The zero value is ready for use.
type Turns struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when it is done
}

// alone waits until no other build of this command does the same.
func (t *Turns) alone(ctx context.Context, what string) (release func(), err error) {
	for {
		t.mu.Lock()
		wait, taken := t.busy[what]
		if !taken {
			if t.busy == nil {
				t.busy = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			t.busy[what] = done
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				defer t.mu.Unlock()
				delete(t.busy, what)
				close(done)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-wait:
		}
	}
}
