package main

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/lock"
	"nsbuild/internal/testenv"
)

// lockOfLibc is a lock with the one package libc6 of a tree made by smallSuite.
func lockOfLibc(tree *fakedebian.Tree, mirror string) *lock.File {
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	file := tree.Find("libc6_1.0-1_all.deb")
	data := tree.Read(file)
	return &lock.File{Suite: "bookworm", Arch: "amd64", Variant: "essential", Epoch: date,
		Repositories: []lock.Repository{{
			URI: mirror, Suite: "bookworm", Components: []string{"main"}, Date: date,
			Packages: []lock.Package{
				{Name: "libc6", Version: "1.0-1", Arch: "all", Required: true,
					Size: int64(len(data)), SHA256: fmt.Sprintf("%x", sha256.Sum256(data)),
					File: file},
			},
		}}}
}

// writeLock writes a lock into the directory where nsbuild is called.
func (w *world) writeLock(t *testing.T, name string, f *lock.File) {
	t.Helper()
	d, err := lock.Begin(filepath.Join(w.dir, name))
	check(t, err)
	check(t, d.Write(f))
	check(t, d.Commit())
}

// TestLock makes a base, and the same base again of its lock, without asking any mirror.
func TestLock(t *testing.T) {
	shared := realWorld(t)
	w := newWorld(t)
	testenv.HostState(t)
	w.cache = shared.cache
	// older than the suite's Release file, and than many of its packages' files
	epoch := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	w.env = []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix())}
	w.must(t, "create", "--variant=essential", "--include=ed", "--lock=one.lock", "--name=one",
		"bookworm")
	w.env = nil
	if got := w.files(t); len(got) != 1 {
		t.Errorf("beside the lock there is something: %q", got)
	}
	f, err := lock.Read(filepath.Join(w.dir, "one.lock"))
	check(t, err)
	names := map[string]bool{}
	for _, r := range f.Repositories {
		for _, p := range r.Packages {
			names[p.Name] = true
		}
		if len(r.Keys) == 0 || r.SHA256 == "" || r.Date.IsZero() {
			t.Errorf("repository %s %s: %+v", r.URI, r.Suite, r)
		}
	}
	if !f.Epoch.Equal(epoch) {
		t.Errorf("epoch %s", f.Epoch)
	}
	if !names["ed"] || !names["dpkg"] || !names["apt"] {
		t.Errorf("the lock lacks packages: %v", names)
	}
	w.must(t, "create", "--offline", "--locked=one.lock", "--name=two")
	for _, name := range []string{"one", "two"} {
		w.must(t, "export", "-o", name+".tar", name)
	}
	if sumOf(t, filepath.Join(w.dir, "one.tar"), epoch) != sumOf(t, filepath.Join(w.dir, "two.tar"),
		epoch) {
		t.Error("the base that was made of the lock is another")
	}
	if o := w.must(t, "info", "two"); !strings.Contains(o.stdout, "Lock: sha256 "+f.Digest+"\n") ||
		!strings.Contains(o.stdout, "Variant: essential\nIncluded: ed\n") ||
		!strings.Contains(o.stdout, "signed by ") {
		t.Error(o)
	}
	if o := w.must(t, "info", "one"); strings.Contains(o.stdout, "Lock:") {
		t.Error(o)
	}
	refusal{status: 1, says: []string{"base two: a lock file fixes its packages"},
		hint: "create --replace"}.check(t, w.run(t, "update", "two"))
	w.must(t, "remove", "one")
	if o := w.must(t, "update",
		"--all"); o.stdout != "two is fixed by a lock file (generation 1)\n" {
		t.Error(o)
	}
	// A base that is there already stays, and so does the lock.
	refusal{status: 2, says: []string{"base two exists already"}, hint: "--replace"}.check(t,
		w.run(t, "create", "--lock=one.lock", "--name=two", "bookworm"))
	again, err := lock.Read(filepath.Join(w.dir, "one.lock"))
	check(t, err)
	if again.Digest != f.Digest || len(w.files(t)) != 3 {
		t.Errorf("the lock was touched: %q", w.files(t))
	}
}

// sumOf is the digest of a tar archive, in which nothing may be younger than latest.
func sumOf(t *testing.T, file string, latest time.Time) string {
	t.Helper()
	f, err := os.Open(file)
	check(t, err)
	defer f.Close()
	sum := sha256.New()
	in := io.TeeReader(f, sum)
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		check(t, err)
		if h.ModTime.After(latest) {
			t.Errorf("%s in %s is of %s", h.Name, filepath.Base(file), h.ModTime)
		}
	}
	_, err = io.Copy(io.Discard, in)
	check(t, err)
	return fmt.Sprintf("%x", sum.Sum(nil))
}
