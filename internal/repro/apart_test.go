package repro

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestApart: of builds beside each other one begins at once, and the other a second later, if it is
// not ready later than that. The clock is the test's own.
func TestApart(t *testing.T) {
	for late, want := range map[time.Duration]time.Duration{0: time.Second,
		300 * time.Millisecond: time.Second, 5 * time.Second: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var a apart
			begin := time.Now()
			var first, second time.Duration
			var both sync.WaitGroup
			both.Go(func() {
				if err := a.hold(t.Context()); err != nil {
					t.Error(err)
				}
				first = time.Since(begin)
			})
			synctest.Wait()
			both.Go(func() {
				time.Sleep(late)
				if err := a.hold(t.Context()); err != nil {
					t.Error(err)
				}
				second = time.Since(begin)
			})
			both.Wait()
			if first != 0 || second != want {
				t.Errorf("ready %v later: they began after %v and %v, not %v", late, first, second,
					want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var a apart
		ctx, stop := context.WithCancelCause(t.Context())
		why := errors.New("the other one failed")
		stop(why)
		if err := a.hold(ctx); err != nil {
			t.Error(err)
		}
		if err := a.hold(ctx); !errors.Is(err, why) {
			t.Error(err)
		}
	})
}
