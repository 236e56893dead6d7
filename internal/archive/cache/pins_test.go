package cache_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/cache"
)

// TestPins: what is pinned stays, until it no longer is; what is gone is told, and while a pin
// cannot be read no package is deleted.
func TestPins(t *testing.T) {
	m := archivetest.New(t, nil)
	c := m.Client()
	_, debs, err := m.All(c)
	check(t, err)
	check(t, c.Close())
	c = m.Client()
	store := c.Cache
	var one string
	for p, path := range debs {
		if p.Package == "delta" {
			one = path
		}
	}
	digest := strings.TrimSuffix(filepath.Base(one), ".deb")
	st, err := os.Stat(one)
	check(t, err)
	files := []cache.Pinned{{Kind: cache.Debs, SHA256: digest, Size: st.Size(), Name: "delta 1"}}
	pin := &cache.Pin{Name: cache.PinName("x y/../z", files), What: "x 1", Files: files}
	check(t, store.Pin(pin))
	lost := append(files, cache.Pinned{Kind: cache.Sources, SHA256: strings.Repeat("0", 64),
		Size: 1, Name: "lost.tar"}, cache.Pinned{Kind: cache.Debs, SHA256: digest, Size: 1,
		Name: "of another size"})
	second := &cache.Pin{Name: "second", Files: lost}
	check(t, store.Pin(second))
	var gone []string
	for _, f := range second.Gone {
		gone = append(gone, f.Name)
	}
	if diff := cmp.Diff([]string{"lost.tar", "of another size"}, gone); diff != "" {
		t.Error(diff)
	}
	trim := func() (left []string) {
		t.Helper()
		entries, err := store.Entries(t.Context())
		check(t, err)
		_, _, err = store.Trim(entries)
		check(t, err)
		for _, path := range debs {
			if _, err := os.Stat(path); err == nil {
				left = append(left, path)
			}
		}
		return left
	}
	// one that cannot be read
	bad := filepath.Join(m.Options.CacheDir, "pins", "bad.json")
	for _, text := range []string{"{", `{"schema": 2}`,
		`{"schema": 1, "files": [{"kind": "debs", "sha256": "../../x"}]}`} {
		check(t, os.WriteFile(bad, []byte(text), 0o600))
		if left := trim(); len(left) != len(debs) {
			t.Fatalf("%s: %d packages are left", text, len(left))
		}
		all, err := store.Pins()
		check(t, err)
		if len(all) != 3 || all[0].Damaged == nil && all[1].Damaged == nil &&
			all[2].Damaged == nil {
			t.Errorf("%s: %+v", text, all)
		}
	}
	check(t, store.Unpin("bad"))
	if left := trim(); len(left) != 1 || left[0] != one {
		t.Errorf("left: %q", left)
	}
	check(t, errors.Join(store.Unpin("second"), store.Unpin(pin.Name)))
	if left := trim(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	for _, name := range []string{"second", "../clean.lock", ""} {
		if err := store.Unpin(name); !errors.Is(err, fs.ErrNotExist) && name != "" || err == nil {
			t.Errorf("unpin %q: %v", name, err)
		}
	}
	if err := store.Pin(&cache.Pin{Name: "x", Files: []cache.Pinned{{Kind: "lists"}}}); err == nil {
		t.Error("a pin of nothing is taken")
	}
}

// TestPinName: the name of a pin is that of a file, and tells what is pinned.
func TestPinName(t *testing.T) {
	a := cache.Pinned{Kind: cache.Debs, SHA256: strings.Repeat("a", 64)}
	b := cache.Pinned{Kind: cache.Debs, SHA256: strings.Repeat("b", 64)}
	one := cache.PinName("hello_1", []cache.Pinned{a, b})
	if one != cache.PinName("hello_1", []cache.Pinned{b, a, a}) ||
		one == cache.PinName("hello_1", []cache.Pinned{a}) {
		t.Error(one)
	}
	for _, what := range []string{"../../etc/x", ".hidden", "\x1b[31m", strings.Repeat("ä", 500),
		""} {
		name := cache.PinName(what, nil)
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") || len(name) > 120 ||
			strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.+-_~[") != "" {
			t.Errorf("%q", name)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
