package cache_test

import (
	"slices"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/cache"
)

// TestVerify: what is damaged is found and deleted.
func TestVerify(t *testing.T) {
	m := archivetest.New(t, nil)
	c := m.Client()
	_, debs, err := m.All(c)
	if err != nil {
		t.Fatal(err)
	}
	before, bad, err := c.Cache.Verify(t.Context())
	if err != nil || len(bad) > 0 || before < 5 {
		t.Fatal(before, bad, err)
	}
	for p, path := range debs {
		if p.Package == "alpha" {
			archivetest.Flip(t, path)
		}
	}
	good, bad, err := c.Cache.Verify(t.Context())
	if err != nil || good != before-1 || len(bad) != 1 || bad[0].Kind != "debs" {
		t.Error(good, bad, err)
	}
	kinds := map[string]bool{}
	entries, err := c.Cache.Entries(t.Context())
	for _, e := range entries {
		kinds[e.Kind] = true
	}
	if err != nil || len(kinds) != 2 || slices.Contains(cache.Kinds(), "partial") {
		t.Error(kinds, err)
	}
}
