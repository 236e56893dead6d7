package bases

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

	"nsbuild/internal/e2e"
	"nsbuild/internal/lock"
	"nsbuild/internal/testenv"
)

// TestLock makes a base, and the same base again of its lock, without asking any mirror.
func TestLock(t *testing.T) {
	shared := e2e.RealWorld(t)
	w := e2e.NewWorld(t)
	testenv.HostState(t)
	w.Cache = shared.Cache
	// older than the suite's Release file, and than many of its packages' files
	epoch := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	w.Env = []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix())}
	w.Must(t, "create", "--variant=essential", "--include=ed", "--lock=one.lock", "--name=one",
		"bookworm")
	w.Env = nil
	if got := w.Files(t); len(got) != 1 {
		t.Errorf("beside the lock there is something: %q", got)
	}
	f, err := lock.Read(filepath.Join(w.Dir, "one.lock"))
	e2e.Check(t, err)
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
	w.Must(t, "create", "--offline", "--locked=one.lock", "--name=two")
	for _, name := range []string{"one", "two"} {
		w.Must(t, "export", "-o", name+".tar", name)
	}
	if sumOf(t, filepath.Join(w.Dir, "one.tar"), epoch) != sumOf(t, filepath.Join(w.Dir, "two.tar"),
		epoch) {
		t.Error("the base that was made of the lock is another")
	}
	if o := w.Must(t, "info", "two"); !strings.Contains(o.Stdout, "Lock: sha256 "+f.Digest+"\n") ||
		!strings.Contains(o.Stdout, "Variant: essential\nIncluded: ed\n") ||
		!strings.Contains(o.Stdout, "signed by ") {
		t.Error(o)
	}
	if o := w.Must(t, "info", "one"); strings.Contains(o.Stdout, "Lock:") {
		t.Error(o)
	}
	e2e.Refusal{Status: 1, Says: []string{"base two: a lock file fixes its packages"},
		Hint: "create --replace"}.Check(t, w.Run(t, "update", "two"))
	w.Must(t, "remove", "one")
	if o := w.Must(t, "update",
		"--all"); o.Stdout != "two is fixed by a lock file (generation 1)\n" {
		t.Error(o)
	}
	// A base that is there already stays, and so does the lock.
	e2e.Refusal{Status: 64, Says: []string{"base two exists already"}, Hint: "--replace"}.Check(t,
		w.Run(t, "create", "--lock=one.lock", "--name=two", "bookworm"))
	again, err := lock.Read(filepath.Join(w.Dir, "one.lock"))
	e2e.Check(t, err)
	if again.Digest != f.Digest || len(w.Files(t)) != 3 {
		t.Errorf("the lock was touched: %q", w.Files(t))
	}
}

// sumOf is the digest of a tar archive, in which nothing may be younger than latest.
func sumOf(t *testing.T, file string, latest time.Time) string {
	t.Helper()
	f, err := os.Open(file)
	e2e.Check(t, err)
	defer f.Close()
	sum := sha256.New()
	in := io.TeeReader(f, sum)
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		e2e.Check(t, err)
		if h.ModTime.After(latest) {
			t.Errorf("%s in %s is of %s", h.Name, filepath.Base(file), h.ModTime)
		}
	}
	_, err = io.Copy(io.Discard, in)
	e2e.Check(t, err)
	return fmt.Sprintf("%x", sum.Sum(nil))
}
