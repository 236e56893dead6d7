// Package ctxio reads until a context ends: a file may be of any length, or be a hole.
package ctxio

import (
	"context"
	"io"
)

// NewReader reads from r until ctx ends, whose cause is the error then. A Read that waits is not
// interrupted.
func NewReader(ctx context.Context, r io.Reader) io.Reader { return &reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
