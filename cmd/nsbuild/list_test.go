package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/base"
	"nsbuild/internal/testenv"
)

// TestListRemovedMeanwhile has a base that was removed after the names were read.
func TestListRemovedMeanwhile(t *testing.T) {
	store, err := base.Open(t.TempDir())
	check(t, err)
	var out strings.Builder
	if err := listBases(&out, store, []string{"removed"}); err != nil ||
		strings.Contains(out.String(), "removed") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// TestListNeedsNoArchive lists and shows bases where the host's apt is broken, without a cache.
func TestListNeedsNoArchive(t *testing.T) {
	testenv.RequireUserns(t)
	w := newWorld(t)
	broken := filepath.Join(w.dir, "apt.conf")
	check(t, os.WriteFile(broken, []byte("this is { not apt's"), 0o644))
	w.env = []string{"APT_CONFIG=" + broken}
	if o := w.run(t, "list"); o.status != 0 || strings.Contains(o.stderr, "apt") {
		t.Error(o)
	}
	refusal{status: 1, says: []string{"base bookworm: no such base"},
		hint: "nsbuild create bookworm"}.check(t, w.run(t, "info", "bookworm"))
	if _, err := os.Stat(w.cache); !os.IsNotExist(err) {
		t.Errorf("the cache was made: %v", err)
	}
}
