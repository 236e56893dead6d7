package pkgbuild

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"nsbuild/internal/dsc"
	"nsbuild/internal/flock"
)

// until reads until ctx ends: a file may be of any length, or be a hole.
func until(ctx context.Context, r io.Reader) io.Reader { return &untilDone{ctx, r} }

type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// openUntil opens files that are read until ctx ends.
func openUntil(ctx context.Context, open dsc.Opener) dsc.Opener {
	return func(name string) (io.ReadCloser, error) {
		f, err := open(name)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{until(ctx, f), f}, nil
	}
}

// lockUntil locks an open file when nobody else holds it any more, unless ctx ends before.
func lockUntil(ctx context.Context, f *os.File) error {
	for {
		err := flock.Try(f, flock.Exclusive)
		if !errors.Is(err, flock.ErrHeld) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
