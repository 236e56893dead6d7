package pkgbuild

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/kept"
)

// TestCopyLog keeps the beginning and the end of a log that is too long.
func TestCopyLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	text := "beginning, " + strings.Repeat("x", 1000) + ", end"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]string{2000: text, int64(len(text)): text,
		80: text[:10] + "\n[936 bytes are left out here: they are in " + file + "]\n" +
			text[len(text)-70:]} {
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		err = copyLog(t.Context(), &got, in, most)
		if err := errors.Join(err, in.Close()); err != nil || got.String() != want {
			t.Errorf("of %d: %q, want %q (%v)", most, got.String(), want, err)
		}
	}
}

// TestGiveWay forgets kept builds where their room is needed, and no others: not those in use, none
// while there is room, and none where there would not be enough without all of them.
func TestGiveWay(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	env := &Env{StateDir: t.TempDir(), Log: log}
	var err error
	if env.Kept, err = kept.Open(env.StateDir); err != nil {
		t.Fatal(err)
	}
	var ids []string // the oldest first
	for i := range 3 {
		d, err := env.Kept.Begin()
		if err != nil {
			t.Fatal(err)
		}
		path, name := d.NewTree()
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		id, err := d.Commit(kept.Manifest{Source: "hello", Size: 1 << 50,
			Created: time.Now().Add(time.Duration(i-3) * time.Hour),
			Lowers:  []kept.Lower{{Tree: name}, {Base: true}}}, func(string) error { return nil })
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	left := func(want int) {
		t.Helper()
		if all, err := env.Kept.List(); err != nil || len(all) != want {
			t.Errorf("%d are left, want %d: %v", len(all), want, err)
		}
	}
	if enough, err := env.giveWay(t.Context(), 1); err != nil || !enough {
		t.Errorf("%t, %v: there is room", enough, err)
	}
	left(3)
	used, err := env.Kept.Use(ids[1])
	if err != nil {
		t.Fatal(err)
	}
	if enough, err := env.giveWay(t.Context(), math.MaxInt64); err != nil || enough {
		t.Errorf("%t, %v: no disk has so much", enough, err)
	}
	left(3) // it would be in vain
	if enough, err := env.giveWay(t.Context(), 2<<50); err != nil || enough {
		t.Errorf("%t, %v: no more is free than before", enough, err)
	}
	left(1)
	if err := used.Close(); err != nil {
		t.Fatal(err)
	}
	if used, err := env.Forget(t.Context(), ids...); err != nil || len(used) != 0 {
		t.Errorf("%q, %v", used, err)
	}
	left(0)
}
