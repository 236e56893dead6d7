package repro

import (
	"context"
	"sync"
	"time"
)

// apart has builds that run beside each other begin at least a second after one another: else what
// both do at the same time would have the same time stamp, to the second.
type apart struct {
	mu    sync.Mutex
	begun time.Time // when the first one began
}

// hold waits, in the one that is ready last.
func (a *apart) hold(ctx context.Context) error {
	a.mu.Lock()
	first := a.begun.IsZero()
	if first {
		a.begun = time.Now()
	}
	wait := time.Until(a.begun.Add(time.Second))
	a.mu.Unlock()
	if first || wait <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(wait):
		return nil
	}
}
