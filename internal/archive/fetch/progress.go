package fetch

import "context"

// Progress tells of a transfer. Total and Done are bytes to add to what was told before; Done is
// negative when a transfer starts over.
type Progress struct {
	What  string // "lists", "debs" or "sources"
	Name  string // the file's
	Total int64
	Done  int64
}

type progressKey struct{}

// WithProgress has transfers that are made with this context tell f instead of Options.Progress:
// for one of several users of a Client. f is called from several goroutines.
func WithProgress(ctx context.Context, f func(Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, f)
}

// Tell passes on how far a transfer is: to whom the context names, else to Options.Progress.
func (f *Fetcher) Tell(ctx context.Context, p Progress) {
	if told, ok := ctx.Value(progressKey{}).(func(Progress)); ok {
		told(p)
		return
	}
	f.progress(p)
}
