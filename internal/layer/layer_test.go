package layer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// add publishes a layer with one file.
func add(t *testing.T, s *Store, key string, size int64) {
	t.Helper()
	d, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Mkdir(d.Tree(), 0o755); err != nil {
		t.Fatal(err)
	}
	ok, err := d.Commit(key, Manifest{Base: "sid", Size: size, Packages: []string{"a 1 all"}})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
}

func TestRequests(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	request, key := Key("request"), Key("layer")
	if l, err := s.Request(request); l != nil || err != nil {
		t.Errorf("%v %v", l, err)
	}
	if err := s.Remember(request, key); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Request(request); l != nil || err != nil {
		t.Errorf("a layer that was evicted: %v %v", l, err)
	}
	add(t, s, key, 1)
	l, err := s.Request(request)
	if err != nil || l == nil || l.Key != key || l.Manifest.Base != "sid" {
		t.Fatalf("%+v %v", l, err)
	}
	if st, err := os.Stat(l.Tree()); err != nil || !st.IsDir() {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	// A note that a full disk cut short leads nowhere.
	if err := os.WriteFile(filepath.Join(s.dir, requests, request), []byte(key[:20]),
		0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Request(request); l != nil || err != nil {
		t.Errorf("half a key: %v %v", l, err)
	}
}

func TestTwoMakers(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := Key("x")
	late, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := os.Mkdir(late.Tree(), 0o755); err != nil {
		t.Fatal(err)
	}
	add(t, s, key, 1)
	if ok, err := late.Commit(key, Manifest{}); ok || err != nil {
		t.Errorf("the second maker published: %v %v", ok, err)
	}
	if l, err := s.Use(key); err != nil || l == nil || l.Manifest.Base != "sid" {
		t.Errorf("%+v %v", l, err)
	}
}

// TestBoot has layers meet the next boot of the machine: those that have reached the disk are
// there, the others are made again.
func TestBoot(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, other, above := Key("x"), Key("other"), Key("above")
	for _, k := range []string{key, other, above} {
		add(t, s, k, 1)
	}
	use := func(k string, want bool) {
		t.Helper()
		l, err := s.Use(k)
		if err != nil || (l != nil) != want {
			t.Fatalf("%.4s: %v %v", k, l, err)
		}
		if l == nil {
			return
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	change := func(k string, change func(*Manifest)) {
		t.Helper()
		l, err := s.Use(k)
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		change(&l.Manifest)
		if err := errors.Join(l.Manifest.write(l.dir.Path()), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	change(above, func(m *Manifest) { m.Below = key })
	use(above, true)
	if err := s.Settle(above); err != nil { // with what is below
		t.Fatal(err)
	}
	for _, k := range []string{key, above} {
		l, err := s.Use(k)
		if err != nil || l == nil || !l.Settled() {
			t.Errorf("%.4s has not settled: %v %v", k, l, err)
		}
	}
	change(other, func(m *Manifest) {
		if m.Boot == "" {
			t.Error("a new layer is taken for one that has reached the disk")
		}
		m.Boot = "the boot before"
	})
	use(other, false)
	add(t, s, other, 1) // in its place
	use(other, true)
}

func TestMake(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := Key("x")
	first, l, err := s.Make(t.Context(), key, 0)
	if first == nil || l != nil || err != nil {
		t.Fatal(first, l, err)
	}
	if m, l, err := s.Make(t.Context(), key, 0); m != nil || l != nil || err != nil {
		t.Errorf("without patience: %v %v %v", m, l, err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := s.Make(stopped, key, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if m, _, err := s.Make(t.Context(), Key("y"), 0); m == nil || err != nil {
		t.Errorf("another layer: %v %v", m, err)
	} else if err := m.Close(); err != nil {
		t.Error(err)
	}
	type answer struct {
		m   *Making
		l   *Layer
		err error
	}
	second := make(chan answer)
	go func() {
		m, l, err := s.Make(t.Context(), key, time.Hour)
		second <- answer{m, l, err}
	}()
	add(t, s, key, 1)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if a := <-second; a.err != nil || a.m != nil || a.l == nil || a.l.Key != key {
		t.Errorf("the second got %+v", a)
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "making-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %q %v", left, err)
	}
}

// TestBelow takes layers into use that lie upon others, and replaces those that have lost them.
func TestBelow(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	low, high := Key("low"), Key("high")
	publish := func(key, below string, size int64) bool {
		t.Helper()
		d, err := s.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := os.Mkdir(d.Tree(), 0o755); err != nil {
			t.Fatal(err)
		}
		ok, err := d.Commit(key, Manifest{Size: size, Below: below})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	publish(low, "", 3)
	publish(high, low, 4)
	l, err := s.Use(high)
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	if trees := l.Trees(); len(trees) != 2 || trees[0] != filepath.Join(s.dir, high, "tree") ||
		trees[1] != filepath.Join(s.dir, low, "tree") {
		t.Errorf("%q", trees)
	}
	if l.Size() != 7 {
		t.Errorf("size %d", l.Size())
	}
	// In use are both.
	if dirs, release, err := s.Take([]string{low, high}, false); err != nil || len(dirs) != 0 ||
		release() != nil {
		t.Errorf("%q %v", dirs, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if publish(high, "", 1) {
		t.Error("a layer that is good was replaced")
	}
	if err := os.RemoveAll(filepath.Join(s.dir, low)); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Use(high); l != nil || err != nil {
		t.Errorf("without the one below: %v %v", l, err)
	}
	if !publish(high, "", 5) {
		t.Error("what is of no use was not replaced")
	}
	if l, err = s.Use(high); err != nil || l == nil || l.Size() != 5 {
		t.Fatalf("%+v %v", l, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, high, "manifest.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Use(high); l != nil || err != nil {
		t.Errorf("hurt by a crash: %v %v", l, err)
	}
	if _, err := s.List(); err != nil {
		t.Error(err)
	}
	if !publish(high, "", 6) {
		t.Error("what a crash hurt was not replaced")
	}
}

func TestTake(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{Key("old"), Key("used"), Key("new")}
	for i, k := range keys {
		add(t, s, k, 10)
		when := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(s.dir, k, "lock"), when, when); err != nil {
			t.Fatal(err)
		}
	}
	draft, err := s.Begin() // of a living maker
	if err != nil {
		t.Fatal(err)
	}
	dead, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := s.Use(keys[1])
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	// A maker that was killed before it had a lock, and a note half written.
	early, half := filepath.Join(s.dir, "draft-early"),
		filepath.Join(s.dir, requests, newPrefix+"1")
	long := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Mkdir(early, 0o755), os.WriteFile(half, nil, 0o644),
		os.Chtimes(early, long, long), os.Chtimes(half, long, long)); err != nil {
		t.Fatal(err)
	}
	gone, kept := Key("request of what goes"), Key("request of what stays")
	if err := errors.Join(s.Remember(gone, keys[0]), s.Remember(kept, keys[1])); err != nil {
		t.Fatal(err)
	}
	dirs, release, err := s.Take(keys, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) != 4 || !slices.Contains(dirs, dead.Dir()) || !slices.Contains(dirs, early) {
		t.Errorf("%q", dirs)
	}
	for _, d := range dirs {
		if filepath.Base(d) == keys[1] || d == draft.Dir() {
			t.Errorf("%s is to be deleted", d)
		}
	}
	if err := s.Tidy(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, requests)); err != nil || len(left) != 1 ||
		left[0].Name() != kept {
		t.Errorf("%v %v", left, err)
	}
	// What is about to be deleted is nobody's to use.
	if l, err := s.Use(keys[0]); l != nil || err != nil {
		t.Errorf("%v %v", l, err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if err := draft.Close(); err != nil {
		t.Error(err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].Key != keys[1] {
		t.Errorf("%+v %v", all, err)
	}
}

func TestKey(t *testing.T) {
	if Key("ab", "c") == Key("a", "bc") || Key("a") == Key("a", "") {
		t.Error("different parts, one key")
	}
}
