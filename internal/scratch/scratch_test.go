package scratch

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMemory: builds beside each other have a share each, and what one gives back another takes.
func TestMemory(t *testing.T) {
	m := Memory{Total: 1000}
	m.Divide(4)
	take := func(asked, most, want int64) func() {
		t.Helper()
		limit, give, err := m.Take(asked, most)
		if err != nil || limit != want {
			t.Errorf("asked for %d, at most %d: %d, %v; want %d", asked, most, limit, err, want)
		}
		return give
	}
	take(0, 0, 250)
	take(0, 100, 100)
	giveBack := take(600, 100, 600) // who asks for more knows why
	take(0, 0, 0)                   // 50 are left
	take(0, 50, 50)
	giveBack()
	giveBack() // the second time is none
	take(600, 0, 600)
	take(1, 0, 0)
}

// TestMemoryOfTheMachine: without a total, it is a part of what is free.
func TestMemoryOfTheMachine(t *testing.T) {
	var m Memory
	if limit, _, err := m.Take(0, 0); err != nil || limit <= 0 || limit != m.Total {
		t.Errorf("%d of %d, %v", limit, m.Total, err)
	}
}

// TestNeeds: what a build took is there for the next one, and damage is said, not taken for it.
func TestNeeds(t *testing.T) {
	dir := t.TempDir()
	needs := NeedsIn(dir)
	if last, err := needs.Last("hello"); err != nil || last != (Need{}) {
		t.Errorf("before the first build: %+v, %v", last, err)
	}
	want := Need{Version: "1-2", Date: time.Unix(1e9, 0).UTC(), Tree: 5 << 30, Dependencies: 7}
	if err := needs.Keep("hello", want); err != nil {
		t.Fatal(err)
	}
	got, err := needs.Last("hello")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	file := filepath.Join(dir, "needs", "hello.json")
	if err := os.Truncate(file, 10); err != nil {
		t.Fatal(err)
	}
	if last, err := needs.Last("hello"); err == nil || !strings.Contains(err.Error(), "hello") ||
		last != (Need{}) {
		t.Errorf("half a file: %+v, %v", last, err)
	}
	if err := needs.Keep("../../outside", want); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "needs", "outside.json")); err != nil {
		t.Error(err)
	}
}

// room is one whose use the test sets.
type room struct {
	jails.Holder
	mu   sync.Mutex
	used int64
}

const total = 1 << 30

func (r *room) use(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = n
}

func (r *room) Room() (jails.Room, error) { return r, nil }

func (r *room) Now() (sandbox.Space, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sandbox.Space{Total: total, Free: total - r.used}, nil
}

func (r *room) Close() error { return nil }

// TestWatch: that the room was used up is known after it is there again, and what was used before
// the build is told from what the build used at most.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &room{used: 10}
		w, err := NewWatch(r)
		if err != nil {
			t.Fatal(err)
		}
		use := func(n int64) { // long enough to be seen
			r.use(n)
			time.Sleep(sampled)
			synctest.Wait()
		}
		use(700) // while dependencies are installed
		use(300)
		w.Begin()
		use(500)
		use(900)
		use(400)
		if tree, before := w.Grown(); tree != 600 || before != 300 {
			t.Errorf("%d bytes beyond %d, want 600 beyond 300", tree, before)
		}
		if w.WasFull() {
			t.Error("full, with room left")
		}
		use(total)
		use(0)
		if !w.WasFull() {
			t.Error("not full, though it was")
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
