package cachedir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/hook"
	"nsbuild/internal/layer"
	"nsbuild/internal/workdir"
)

// filled is a cache directory with two lists, of ten bytes each, and two layers, of a hundred; each
// was last used an hour before the one that was put there after it.
func filled(t *testing.T) (*Dir, []string) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	dir := t.TempDir()
	files, err := cache.Open(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := layer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	work, err := workdir.Open(t.Context(), t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	work.Start = fakejail.New(t).Start
	t.Cleanup(func() {
		if err := errors.Join(files.Close(), work.Close(t.Context(), log)); err != nil {
			t.Error(err)
		}
	})
	hour := 4
	used := func(path string) {
		hour--
		when := time.Now().Add(-time.Duration(hour) * time.Hour)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"1234567890", "0987654321"} {
		path, err := files.Keep(cache.Lists, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		used(path)
	}
	var keys []string
	for _, name := range []string{"one", "two"} {
		key := layer.Key(name)
		d, err := layers.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(d.Tree(), 0o755); err != nil {
			t.Fatal(err)
		}
		if ok, err := d.Commit(key, layer.Manifest{Base: "sid", Size: 100}); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		used(filepath.Join(dir, "layers", key, "lock"))
		keys = append(keys, key)
	}
	// What this process has taken into use stays: the lists are those of a process before.
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if files, err = cache.Open(dir, log); err != nil {
		t.Fatal(err)
	}
	return &Dir{Files: files, Layers: layers, Hooks: hook.CachesIn(dir), Work: work, Log: log}, keys
}

// kinds are what is there, the last used first.
func kinds(t *testing.T, d *Dir) []string {
	t.Helper()
	items, err := d.Items(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, item := range items {
		out = append(out, item.Kind)
	}
	return out
}

// TestTrim: what was not used for longest goes first, and no more than has to.
func TestTrim(t *testing.T) {
	const all = 1 << 60
	for name, test := range map[string]struct {
		keep  Keep
		freed int64
		left  []string
	}{
		"nothing": {Keep{Bytes: all}, 0, []string{"layers", "layers", "lists", "lists"}},
		"by age": {Keep{Bytes: all, Age: 150 * time.Minute}, 10,
			[]string{"layers", "layers", "lists"}},
		"by size":      {Keep{Bytes: 205}, 20, []string{"layers", "layers"}},
		"a layer, too": {Keep{Bytes: 150}, 120, []string{"layers"}},
		"spared":       {Keep{Bytes: 150, Spare: 90 * time.Minute}, 20, []string{"layers", "layers"}},
		"everything":   {Keep{Bytes: -1}, 220, []string{}},
		"young or not": {Keep{Bytes: 150, Age: 90 * time.Minute}, 120, []string{"layers"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := filled(t)
			freed, err := d.Trim(t.Context(), test.keep)
			if err != nil || freed != test.freed {
				t.Errorf("%d bytes freed, %v; want %d", freed, err, test.freed)
			}
			if diff := gocmp.Diff(test.left, kinds(t, d)); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInUse: a layer that somebody uses stays, and is not counted as freed.
func TestInUse(t *testing.T) {
	d, keys := filled(t)
	l, err := d.Layers.Use(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if freed, err := d.Trim(t.Context(), Keep{Bytes: -1}); err != nil || freed != 120 {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	if diff := gocmp.Diff([]string{"layers"}, kinds(t, d)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := d.RemoveLayers(t.Context()); err != nil || freed != 100 {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	if diff := gocmp.Diff([]string{}, kinds(t, d)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

// TestMakeRoom: a limit is kept, but what a build that has begun may need stays.
func TestMakeRoom(t *testing.T) {
	d, _ := filled(t)
	d.Limit = 50
	d.MakeRoom(t.Context())
	if diff := gocmp.Diff([]string{"layers", "layers"}, kinds(t, d)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

// TestRemoveHooks: what hooks keep goes, and need not be there.
func TestRemoveHooks(t *testing.T) {
	d, _ := filled(t)
	if freed, err := d.RemoveHooks(t.Context()); err != nil || freed != 0 {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	mine := filepath.Join(string(d.Hooks), "mine")
	if err := os.MkdirAll(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mine, "x"), make([]byte, 9000), 0o644); err != nil {
		t.Fatal(err)
	}
	if freed, err := d.RemoveHooks(t.Context()); err != nil || freed == 0 {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	if _, err := os.Lstat(string(d.Hooks)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}
