package layers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestCacheAfterKill kills nsbuild at moments of chance while it fills its cache: packages, copies,
// layers, what apt has parsed. Whatever is left, the next build sees what it would have seen, and
// finds nothing damaged. NSBUILD_TEST_KILLS is how often, NSBUILD_TEST_SEED repeats a run.
func TestCacheAfterKill(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	rounds := 2
	if text := os.Getenv("NSBUILD_TEST_KILLS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		e2e.Check(t, err)
	}
	chance := e2e.Chance(t)

	own := e2e.NewWorld(t)
	own.State, own.Dir = w.State, w.Dir
	dsc := w.Seen(t)
	begin := time.Now()
	want, _ := own.Sees(t, dsc)
	whole := time.Since(begin)
	for i := range rounds {
		if i%2 == 0 { // otherwise what the last round left is built upon
			own.Must(t, "cache", "clean", "--all")
		} else {
			own.Must(t, "cache", "clean", "--max-size", fmt.Sprint(chance.Int64N(100<<20)))
		}
		wait := time.Duration(chance.Int64N(int64(whole)))
		t.Logf("round %d: killed after %s", i, wait)
		if _, o := own.At(t, e2e.AtStart, wait, syscall.SIGKILL, "build", "--keep=never", "-d",
			"bookworm", dsc); o.Status == 2 {
			t.Log("which was too late")
		}
		if got, log := own.Sees(t, dsc); got != want {
			t.Errorf("after a kill at %s the next build sees something else:\n%s", wait, log)
		}
		got, log := own.Sees(t, dsc)
		if got != want || !strings.Contains(log, "Dependency layer ") {
			t.Errorf(
				"after a kill at %s the second build sees something else, or has no layer:\n%s",
				wait, log)
		}
		if o := own.Must(t, "cache", "verify"); !strings.Contains(o.Stderr,
			" are as they should be, 0 were not") {
			t.Errorf("after a kill at %s: %s", wait, o)
		}
	}
}

// TestFlippedBits: a damaged package, copy or cache of apt's is noticed, and got anew.
func TestFlippedBits(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	own := e2e.NewWorld(t)
	own.State, own.Dir = w.State, w.Dir
	dsc := w.Seen(t)
	want, _ := own.Sees(t, dsc)
	own.Must(t, "cache", "copies")
	damaged := 0
	for _, pattern := range []string{"debs/*/*.deb", "copies/*/*.deb", "lists/*/*.parsed"} {
		files, err := filepath.Glob(filepath.Join(own.Cache, pattern))
		e2e.Check(t, err)
		if len(files) == 0 {
			t.Errorf("there are no %s", pattern)
		}
		for _, file := range files {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			e2e.Check(t, err)
			st, err := f.Stat()
			e2e.Check(t, err)
			var b [1]byte
			_, err = f.ReadAt(b[:], st.Size()/2)
			e2e.Check(t, err)
			b[0] ^= 1
			_, err = f.WriteAt(b[:], st.Size()/2)
			e2e.Check(t, err)
			e2e.Check(t, f.Close())
			damaged++
		}
	}
	o := own.Run(t, "build", "-d", "bookworm", "--no-layers", dsc)
	log := e2e.Read(t, filepath.Join(own.Dir, "seen_1.0_amd64.build"))
	if o.Status != 2 || e2e.WhatIsSeen(log) != want {
		t.Fatalf("%s\n%s", o, log)
	}
	if !strings.Contains(o.Stderr, "is damaged in the cache") {
		t.Errorf("it is not said that something was damaged: %s", o.Stderr)
	}
	if o := own.Must(t, "cache", "verify"); !strings.Contains(o.Stderr,
		" are as they should be, 0 were not") {
		t.Errorf("of %d damaged files: %s", damaged, o)
	}
}
