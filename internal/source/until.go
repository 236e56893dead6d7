package source

import (
	"context"
	"io"

	"nsbuild/internal/ctxio"
	"nsbuild/internal/dsc"
)

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
		}{ctxio.NewReader(ctx, f), f}, nil
	}
}
