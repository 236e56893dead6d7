package batch

import "context"

// Engine does the builds of a batch, in this process or elsewhere.
type Engine interface {
	// Build does a try, and returns how it has ended. An error ends the batch.
	//
	// When its context has ended it returns soon, and what it returns is of no account unless it
	// is good. A try may go on without this process. The same try is begun again by whoever goes on
	// with the batch: the engine then finds what has become of it.
	Build(context.Context, Job) (*Ended, error)
	// Cancel ends what goes on without this process, of a batch that nobody works on.
	Cancel(context.Context) error
}

// InProcess is the engine whose builds end with this process.
type InProcess func(context.Context, Job) *Ended

// Build does a try.
func (f InProcess) Build(ctx context.Context, j Job) (*Ended, error) { return f(ctx, j), nil }

// Cancel has nothing to end.
func (InProcess) Cancel(context.Context) error { return nil }
