package ctxio

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReader(t *testing.T) {
	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(context.Background())
	r := NewReader(ctx, strings.NewReader("some text"))
	p := make([]byte, 4)
	if _, err := io.ReadFull(r, p); err != nil || string(p) != "some" {
		t.Fatalf("%q, %v", p, err)
	}
	cancel(over)
	if n, err := r.Read(p); n != 0 || !errors.Is(err, over) {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}
