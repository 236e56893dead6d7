package cache_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/cache"
)

// TestRemove: the longest unused is known by its time; what is in use, and what can be resumed,
// stays.
func TestRemove(t *testing.T) {
	m := archivetest.New(t, nil)
	c := m.Client()
	_, debs, err := m.All(c)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for p, path := range debs {
		used := now
		if p.Package == "delta" {
			used = now.Add(-time.Hour)
		}
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := c.Cache.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e cache.Entry) bool {
		return e.Kind != "debs" || now.Sub(e.Used) < time.Minute
	})
	if n, err := c.Cache.Remove(entries); n < 100000 || err != nil || len(entries) != 1 {
		t.Errorf("%d bytes, %v", n, err)
	}
	for p, path := range debs {
		if _, err := os.Stat(path); (err != nil) != (p.Package == "delta") {
			t.Errorf("%s: %v", p, err)
		}
	}

	long := now.Add(-30 * 24 * time.Hour)
	scratch, err := c.Cache.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	dead := filepath.Join(m.Options.CacheDir, "partial", "scratch-dead")
	part := filepath.Join(m.Options.CacheDir, "partial", "part")
	archivetest.Write(t, dead, []byte("x"))
	archivetest.Write(t, part, []byte("x"))
	for _, f := range []string{scratch.Name(), dead} {
		if err := os.Chtimes(f, long, long); err != nil {
			t.Fatal(err)
		}
	}
	lists, err := filepath.Glob(filepath.Join(m.Options.CacheDir, "lists", "??", "*"))
	if err != nil || len(lists) != 2 {
		t.Fatalf("%q %v", lists, err)
	}
	if err := os.Chtimes(lists[0], long, long); err != nil {
		t.Fatal(err)
	}
	if err := c.Cache.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lists[0]); err != nil {
		t.Errorf("it is in use: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Cache.Sweep(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{scratch.Name(): true, dead: false, part: true,
		lists[0]: false, lists[1]: true} {
		if _, err := os.Stat(file); (err == nil) != want {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, _, err := m.All(m.Client()); err != nil {
		t.Error(err)
	}
}
