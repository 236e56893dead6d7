package image

import (
	"bytes"
	"io"
	"runtime"

	"github.com/ulikunitz/xz"
)

// xzBlock is how much input goes into one xz stream. xz(1) and all who read its format take several streams in a row as one file (The .xz File Format, section 2).
const xzBlock = 16 << 20

// xzWriter compresses blocks on all processors and writes them in order.
type xzWriter struct {
	w     io.Writer
	block []byte
	queue chan chan result // in the order of the input; its length bounds what is under way
	done  chan error
}

type result struct {
	data []byte
	err  error
}

func newXZWriter(w io.Writer) *xzWriter {
	x := &xzWriter{w: w, queue: make(chan chan result, runtime.GOMAXPROCS(0)), done: make(chan error, 1)}
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
		var out bytes.Buffer
		z, err := xz.NewWriter(&out)
		if err == nil {
			if _, err = z.Write(block); err == nil {
				err = z.Close()
			}
		}
		ch <- result{out.Bytes(), err}
	}()
}

func (x *xzWriter) Close() error {
	if len(x.block) > 0 {
		x.flush()
	}
	close(x.queue)
	return <-x.done
}
