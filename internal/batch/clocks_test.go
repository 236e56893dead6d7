package batch

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nsbuild/internal/fault"
)

// TestClocksApart: what a machine whose clock was a year ahead had put off is tried again soon.
func TestClocksApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "a")
		ahead := time.Now().Add(365 * 24 * time.Hour)
		for _, r := range []*record{{Time: ahead, Kind: kindStarted, Item: 1},
			{Time: ahead, Kind: kindEnded, Item: 1, Ended: &Ended{Status: GivenBack,
				Transient: true}}} {
			if err := b.apply(r); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		if err := b.Run(t.Context(), newWorld().runner(Room{Builds: 1})); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > pause(1) {
			t.Errorf("it has waited %v", took)
		}
	})
}

// TestOtherFormat: a batch of another version of nsbuild is refused, with the version's name.
func TestOtherFormat(t *testing.T) {
	s := In(t.TempDir())
	b := create(t, s, "a")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	file := b.path(journalName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(string(text), `"schema":1,"program":""`,
		`"schema":0,"program":"nsbuild 0.0.1"`, 1)
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Open("b")
	if err == nil || !strings.Contains(err.Error(), "its format is 0") ||
		!strings.Contains(fault.HintOf(err), "nsbuild 0.0.1") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// TestFullDisk: a journal that cannot be written ends the batch, with the way to go on; nothing has
// happened that it does not tell.
func TestFullDisk(t *testing.T) {
	b := create(t, In(t.TempDir()), "a", "b")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	w := newWorld()
	r := w.runner(Room{Builds: 1})
	journal := b.journal.file
	r.Changed = func(b *Batch) { b.journal.file = full }
	err = b.Run(t.Context(), r)
	b.journal.file = journal
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(fault.HintOf(err), "batch resume b") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	if c := b.Count(); c.Successful != 0 || len(w.order) != 1 {
		t.Errorf("%+v, begun: %v", c, w.order)
	}
	err = b.Run(t.Context(), w.runner(Room{Builds: 1}))
	if err != nil || b.Count().Successful != 2 {
		t.Errorf("gone on with: %v, %+v", err, b.Count())
	}
}
