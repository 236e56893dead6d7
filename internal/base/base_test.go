package base

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main(nil)
	os.Exit(m.Run())
}

// start opens a store and a holder for its trees.
func start(t *testing.T) (*Store, jails.Holder) {
	t.Helper()
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	h, err := jails.Start(t.Context(), sandbox.HolderSpec{IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

// commit makes a generation with an empty tree.
func commit(t *testing.T, s *Store, h jails.Holder, name string) int {
	t.Helper()
	d, err := s.Begin(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.MakeRoot(t.Context(), d.Tree()); err != nil {
		t.Fatal(err)
	}
	n, err := d.Commit(Manifest{Suite: name, IDs: h.IDs(), Created: time.Unix(1700000000, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGenerations(t *testing.T) {
	s, h := start(t)
	ctx := t.Context()
	if _, err := s.Use("trixie"); !errors.Is(err, ErrNone) ||
		!strings.Contains(fault.HintOf(err), "nsbuild create trixie") {
		t.Errorf("a base that is not there: %v, hint %q", err, fault.HintOf(err))
	}
	if n := commit(t, s, h, "trixie"); n != 1 {
		t.Errorf("the first generation is %d", n)
	}
	old, err := s.Use("trixie")
	if err != nil {
		t.Fatal(err)
	}
	if old.Manifest.Suite != "trixie" || old.Number != 1 {
		t.Errorf("%+v", old)
	}
	if n := commit(t, s, h, "trixie"); n != 2 {
		t.Errorf("the second generation is %d", n)
	}
	// The old one is in use: neither swept nor removable.
	if err := s.Sweep(ctx, "trixie", h); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old.Tree()); err != nil {
		t.Errorf("a generation in use was deleted: %v", err)
	}
	current, err := s.Use("trixie")
	if err != nil {
		t.Fatal(err)
	}
	if current.Number != 2 {
		t.Errorf("the current generation is %d", current.Number)
	}
	if _, err := s.Remove(ctx, "trixie", h); err == nil {
		t.Error("a base in use was removed")
	}
	if err := errors.Join(old.Close(), current.Close()); err != nil {
		t.Fatal(err)
	}
	if stale, err := s.Stale(); err != nil || !slices.Equal(stale, []string{"trixie"}) {
		t.Errorf("stale: %q, %v", stale, err)
	}
	if err := s.Sweep(ctx, "trixie", h); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old.Tree()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a replaced generation is still there: %v", err)
	}
	size, err := h.TreeSize(ctx, filepath.Join(s.Dir(), "trixie", "gen-2"))
	if err != nil {
		t.Fatal(err)
	}
	if freed, err := s.Remove(ctx, "trixie", h); err != nil || freed != size || size == 0 {
		t.Errorf("%d bytes of %d were freed, %v", freed, size, err)
	}
	if left, err := os.ReadDir(s.Dir()); err != nil || len(left) > 0 {
		t.Errorf("left after remove: %v %v", left, err)
	}
}

func TestDraftsOfTheDead(t *testing.T) {
	s, h := start(t)
	ctx := t.Context()
	d, err := s.Begin(ctx, "sid", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.MakeRoot(ctx, d.Tree()); err != nil {
		t.Fatal(err)
	}
	// While its maker lives, nobody takes it away, and a second maker waits.
	if err := s.Sweep(ctx, "sid", h); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.Tree()); err != nil {
		t.Errorf("a draft being made was deleted: %v", err)
	}
	waited := false
	short, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	if _, err := s.Begin(short, "sid", func() { waited = true }); !errors.Is(err,
		context.DeadlineExceeded) || !waited {
		t.Errorf("the second maker: %v, waited: %v", err, waited)
	}
	// A maker's death frees its lock.
	if err := d.lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(ctx, "sid", h); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir()); err != nil || len(left) > 0 {
		t.Errorf("left after the sweep: %v %v", left, err)
	}
}

func TestDiscard(t *testing.T) {
	s, h := start(t)
	d, err := s.Begin(t.Context(), "sid", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.MakeRoot(t.Context(), d.Tree()); err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir()); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestBadNamesAndManifests(t *testing.T) {
	s, h := start(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", "-x", "a b",
		strings.Repeat("x", 200)} {
		if _, err := s.Use(name); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", name, err)
		}
	}
	commit(t, s, h, "x")
	manifest := filepath.Join(s.Dir(), "x", "gen-1", "manifest.json")
	for _, text := range []string{"", "{", `{"format": 99}`} {
		if err := os.WriteFile(manifest, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Use("x"); err == nil || !strings.Contains(err.Error(), "manifest.json") {
			t.Errorf("manifest %q: %v", text, err)
		}
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use("x"); err == nil ||
		!strings.Contains(fault.HintOf(err), "nsbuild remove x") {
		t.Errorf("no manifest: %v, hint %q", err, fault.HintOf(err))
	}
	if _, err := s.Remove(t.Context(), "x", h); err != nil {
		t.Errorf("a damaged base cannot be removed: %v", err)
	}
}

// TestLease keeps a generation that something lies on, through an update and a removal.
func TestLease(t *testing.T) {
	s, h := start(t)
	ctx := t.Context()
	commit(t, s, h, "trixie")
	g, err := s.Use("trixie")
	if err != nil {
		t.Fatal(err)
	}
	upon := filepath.Join(t.TempDir(), "hello-7c1e")
	if err := errors.Join(os.Mkdir(upon, 0o755),
		os.WriteFile(filepath.Join(upon, "lock"), nil, 0o600), g.Lease(upon),
		g.Close()); err != nil {
		t.Fatal(err)
	}
	commit(t, s, h, "trixie")
	if stale, err := s.Stale(); err != nil || len(stale) != 0 {
		t.Errorf("%q, %v: there is nothing to be swept", stale, err)
	}
	if err := s.Sweep(ctx, "trixie", h); err != nil {
		t.Error(err)
	}
	if _, err := s.Remove(ctx, "trixie", h); err == nil ||
		fault.HintOf(err) != "nsbuild forget hello-7c1e" {
		t.Errorf("it was removed: %v", err)
	}
	old, err := s.UseGeneration("trixie", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(old.Close(), os.RemoveAll(upon)); err != nil {
		t.Error(err)
	}
	if _, err := s.Remove(ctx, "trixie", h); err != nil {
		t.Error(err)
	}
	if _, err := s.UseGeneration("trixie", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
}
