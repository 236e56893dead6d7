package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// seen is a source whose build says what it sees of its root: which files there are, and what they
// hold. Then it fails, as it makes no package.
func (w *world) seen(t *testing.T) string {
	t.Helper()
	return w.writeSource(t, fakedebian.Source{
		Name: "seen", Version: "1.0", BuildDepends: "file, gettext-base",
		Rules: badRules("\t@dpkg --audit\n\t@dpkg --verify\n" +
			"\t@echo seen: `find /usr/bin /usr/lib/*-linux-gnu* /var/lib/dpkg -xdev -type f " +
			"-readable -exec sha256sum {} + | sort -k 2 | sha256sum`\n\texit 7\n"),
	})
}

var seenLine = regexp.MustCompile(`(?m)^seen: ([0-9a-f]{64}) `)

// sees builds it and returns what it saw, and the log.
func (w *world) sees(t *testing.T, dsc string) (string, string) {
	t.Helper()
	o := w.run(t, "build", "-d", "bookworm", dsc)
	log := read(t, filepath.Join(w.dir, "seen_1.0_amd64.build"))
	m := seenLine.FindStringSubmatch(log)
	if o.status != 2 || m == nil {
		t.Fatalf("%s\n%s", o, log)
	}
	return m[1], log
}

// TestCacheAfterKill kills nsbuild at moments of chance while it fills its cache: packages, copies,
// layers, what apt has parsed. Whatever is left, the next build sees what it would have seen, and
// finds nothing damaged. NSBUILD_TEST_KILLS is how often, NSBUILD_TEST_SEED repeats a run.
func TestCacheAfterKill(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	rounds, seed := 2, uint64(time.Now().UnixNano())
	var err error
	if text := os.Getenv("NSBUILD_TEST_KILLS"); text != "" {
		rounds, err = strconv.Atoi(text)
		check(t, err)
	}
	if text := os.Getenv("NSBUILD_TEST_SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
		check(t, err)
	}
	t.Logf("NSBUILD_TEST_SEED=%d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))

	own := newWorld(t)
	own.state, own.dir = w.state, w.dir
	dsc := w.seen(t)
	begin := time.Now()
	want, _ := own.sees(t, dsc)
	whole := time.Since(begin)
	for i := range rounds {
		if i%2 == 0 { // otherwise what the last round left is built upon
			own.must(t, "cache", "clean", "--all")
		} else {
			own.must(t, "cache", "clean", "--max-size", fmt.Sprint(chance.Int64N(100<<20)))
		}
		wait := time.Duration(chance.Int64N(int64(whole)))
		t.Logf("round %d: killed after %s", i, wait)
		if _, o := own.at(t, atStart, wait, syscall.SIGKILL, "build", "-d", "bookworm",
			dsc); o.status == 2 {
			t.Log("which was too late")
		}
		if got, log := own.sees(t, dsc); got != want {
			t.Errorf("after a kill at %s the next build sees something else:\n%s", wait, log)
		}
		got, log := own.sees(t, dsc)
		if got != want || !strings.Contains(log, "Dependency layer ") {
			t.Errorf(
				"after a kill at %s the second build sees something else, or has no layer:\n%s",
				wait, log)
		}
		if o := own.must(t, "cache", "verify"); !strings.Contains(o.stderr,
			" are as they should be, 0 were not") {
			t.Errorf("after a kill at %s: %s", wait, o)
		}
	}
}

// TestFlippedBits: a damaged package, copy or cache of apt's is noticed, and got anew.
func TestFlippedBits(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	own := newWorld(t)
	own.state, own.dir = w.state, w.dir
	dsc := w.seen(t)
	want, _ := own.sees(t, dsc)
	own.must(t, "cache", "copies")
	damaged := 0
	for _, pattern := range []string{"debs/*/*.deb", "copies/*/*.deb", "lists/*/*.parsed"} {
		files, err := filepath.Glob(filepath.Join(own.cache, pattern))
		check(t, err)
		if len(files) == 0 {
			t.Errorf("there are no %s", pattern)
		}
		for _, file := range files {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			check(t, err)
			st, err := f.Stat()
			check(t, err)
			var b [1]byte
			_, err = f.ReadAt(b[:], st.Size()/2)
			check(t, err)
			b[0] ^= 1
			_, err = f.WriteAt(b[:], st.Size()/2)
			check(t, err)
			check(t, f.Close())
			damaged++
		}
	}
	o := own.run(t, "build", "-d", "bookworm", "--no-layers", dsc)
	log := read(t, filepath.Join(own.dir, "seen_1.0_amd64.build"))
	if m := seenLine.FindStringSubmatch(log); o.status != 2 || m == nil || m[1] != want {
		t.Fatalf("%s\n%s", o, log)
	}
	if !strings.Contains(o.stderr, "is damaged in the cache") {
		t.Errorf("it is not said that something was damaged: %s", o.stderr)
	}
	if o := own.must(t, "cache", "verify"); !strings.Contains(o.stderr,
		" are as they should be, 0 were not") {
		t.Errorf("of %d damaged files: %s", damaged, o)
	}
}
