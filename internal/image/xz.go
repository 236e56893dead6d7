package image

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"

	"github.com/ulikunitz/xz"
)

// xzBlock is how much input goes into one xz stream. xz(1) and all who read its format take several
// streams in a row as one file (The .xz File Format, section 2).
const xzBlock = 16 << 20

// xzPiece is how much of a block is compressed between two looks at the context: some 20 ms of
// work.
const xzPiece = 64 << 10

// xzWriter compresses blocks on all processors and writes them in order. When its context ends, so
// does the compression, with its cause as the error.
type xzWriter struct {
	ctx   context.Context
	block []byte
	queue chan chan result // in the order of the input; its length bounds what is under way
	done  chan error
}

type result struct {
	data []byte
	err  error
}

func newXZWriter(ctx context.Context, w io.Writer) *xzWriter {
	x := &xzWriter{ctx: ctx, queue: make(chan chan result, runtime.GOMAXPROCS(0)),
		done: make(chan error, 1)}
	go func() {
		var failed error
		for ch := range x.queue {
			r := <-ch
			if failed == nil {
				failed = r.err
			}
			if failed == nil {
				_, failed = w.Write(r.data)
			}
		}
		x.done <- failed
	}()
	return x
}

func (x *xzWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), xzBlock-len(x.block))
		x.block = append(x.block, p[:take]...)
		p = p[take:]
		if len(x.block) == xzBlock {
			x.flush()
		}
	}
	return n, nil
}

func (x *xzWriter) flush() {
	block, ch := x.block, make(chan result, 1)
	x.block = make([]byte, 0, xzBlock)
	x.queue <- ch
	go func() {
		data, err := x.compress(block)
		ch <- result{data, err}
	}()
}

func (x *xzWriter) compress(block []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := xz.NewWriter(&out)
	if err != nil {
		return nil, err
	}
	for piece := range slices.Chunk(block, xzPiece) {
		if x.ctx.Err() != nil {
			return nil, context.Cause(x.ctx)
		}
		if _, err := z.Write(piece); err != nil {
			return nil, err
		}
	}
	err = z.Close()
	return out.Bytes(), err
}

func (x *xzWriter) Close() error {
	if len(x.block) > 0 {
		x.flush()
	}
	close(x.queue)
	return <-x.done
}
