package pool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
)

func TestEachDebStops(t *testing.T) {
	m := archivetest.New(t, nil)
	c := m.Client()
	r, err := c.Release(t.Context(), m.Repo)
	if err != nil {
		t.Fatal(err)
	}
	var list []*index.Package
	if err := c.Packages(t.Context(), r, "main", "amd64", func(p *index.Package) error {
		list = append(list, p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if err := c.EachDeb(t.Context(), list, func(*index.Package, string) error {
		return enough
	}); !errors.Is(err, enough) {
		t.Error(err)
	}
	m.Options.CacheDir = t.TempDir()
	c = m.Client()
	m.Server.ResetCounts()
	m.Server.Fault("/delta", fakedebian.Fault{Hang: true})
	ctx, cancel := context.WithCancelCause(t.Context())
	start := make(chan time.Time, 1)
	go func() {
		for m.Server.Count("/delta") == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		start <- time.Now()
		cancel(enough)
	}()
	if _, err := c.Debs(ctx, list); !errors.Is(err, enough) {
		t.Error(err)
	}
	cancel(nil) // should it not have asked
	// By itself the client would give up after five.
	if took := time.Since(<-start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}
