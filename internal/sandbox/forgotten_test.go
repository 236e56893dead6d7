package sandbox

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"nsbuild/internal/testenv"
)

// TestClosedHolderIsForgotten has a context that outlives many holders keep none of them.
func TestClosedHolderIsForgotten(t *testing.T) {
	testenv.RequireUserns(t)
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := func() weak.Pointer[Holder] {
		h, err := Start(ctx, HolderSpec{IDs: ids})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		return weak.Make(h)
	}
	closed := begin()
	for deadline := time.Now().Add(10 * time.Second); closed.Value() != nil; time.Sleep(
		20 * time.Millisecond) {
		runtime.GC()
		if time.Now().After(deadline) {
			t.Fatal("the context still knows of a holder that was closed")
		}
	}
}
