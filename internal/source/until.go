package source

import (
	"context"
	"io"

	"nsbuild/internal/dsc"
)

// Until reads until ctx ends: a file may be of any length, or be a hole.
func Until(ctx context.Context, r io.Reader) io.Reader { return &untilDone{ctx, r} }

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

// OpenUntil opens files that are read until ctx ends.
func OpenUntil(ctx context.Context, open dsc.Opener) dsc.Opener {
	return func(name string) (io.ReadCloser, error) {
		f, err := open(name)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{Until(ctx, f), f}, nil
	}
}
