package onslurm

import (
	"context"
	"sync"
	"time"

	"nsbuild/internal/slurm"
)

// watch looks at all jobs of a batch, for all who wait for one.
type watch struct {
	mu    sync.Mutex
	jobs  map[string]slurm.Job // by their numbers
	asked time.Time            // when it was seen how they are
	err   error                // why it cannot be seen any more
	next  chan struct{}        // closed when they have been looked at again
	stop  func()
	over  sync.WaitGroup
}

// start begins to look, unless it has begun.
func (w *watch) start(look func(context.Context) ([]slurm.Job, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // it ends with the engine
	w.stop, w.next = stop, make(chan struct{})
	w.over.Go(func() { w.look(ctx, look) })
}

func (w *watch) look(ctx context.Context, look func(context.Context) ([]slurm.Job, error)) {
	for {
		asked := time.Now()
		jobs, err := look(ctx)
		w.mu.Lock()
		w.err = err
		if err == nil {
			w.jobs, w.asked = map[string]slurm.Job{}, asked
			for _, j := range jobs {
				w.jobs[j.ID] = j
			}
		}
		close(w.next)
		w.next = make(chan struct{})
		n := len(w.jobs)
		w.mu.Unlock()
		// many jobs are much work for the controller
		if err != nil || sleep(ctx, min(15*time.Second, time.Second+
			time.Duration(n)*20*time.Millisecond)) != nil {
			return
		}
	}
}

// wait waits until a job has ended, or is stuck, or is not known any more. Since says from when on
// it is to be known.
func (w *watch) wait(ctx context.Context, id string, since time.Time) (j slurm.Job, known bool,
	err error) {
	for {
		w.mu.Lock()
		j, known = w.jobs[id]
		asked, next, err := w.asked, w.next, w.err
		w.mu.Unlock()
		switch {
		case err != nil:
			return j, known, err
		case known && (j.End() != slurm.Goes || j.Stuck()):
			return j, true, nil
		case !known && asked.After(since):
			return j, false, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return j, known, context.Cause(ctx)
		}
	}
}

func (w *watch) close() {
	w.mu.Lock()
	stop := w.stop
	w.mu.Unlock()
	if stop != nil {
		stop()
		w.over.Wait()
	}
}
