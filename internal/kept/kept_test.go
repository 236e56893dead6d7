package kept

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
	"nsbuild/internal/store"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keep keeps a build that is so old.
func keep(t *testing.T, s *Store, source, directory string, size int64, age time.Duration) string {
	t.Helper()
	d, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	tree, name := d.NewTree()
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	m := Manifest{Source: source, Directory: directory, Size: size,
		Created: time.Now().Add(-age).UTC(), Why: "no UTF-8: \xff",
		Lowers: []Lower{{Tree: name}, {Base: true}}}
	leased := ""
	id, err := d.Commit(m, func(by string) error { leased = by; return nil })
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	if filepath.Base(leased) != id || store.Gone(leased) {
		t.Errorf("what %s lies on stays for %s", id, leased)
	}
	b, err := s.Use(id)
	if err != nil {
		t.Fatal(err)
	}
	m.Format, m.ID = Format, id
	if diff := cmp.Diff(m, b.Manifest); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(b.Tree(name)); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFind(t *testing.T) {
	s := open(t)
	if _, err := s.Find("", "/"); fault.KindOf(err) != fault.Usage {
		t.Errorf("of none: %v", err)
	}
	old := keep(t, s, "hello", "/src/hello", 1, 2*time.Hour)
	mine := keep(t, s, "hello", "/src/hello", 1, time.Hour)
	newest := keep(t, s, "other", "/src/other", 1, 0)
	for _, c := range []struct{ text, dir, want, hint string }{
		{"", "/src/hello", mine, ""},
		{"", "/src/hello/debian", mine, ""},
		{"", "/src/hello2", newest, ""},
		{old, "/", old, ""},
		{"ot", "/", newest, ""},
		{"hello", "/", "", old},
		{newest + "x", "/", "", "did you mean " + newest},
		{"zzz", "/", "", "nsbuild kept"},
	} {
		got, err := s.Find(c.text, c.dir)
		if got != c.want || (err == nil) != (c.want != "") ||
			!strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%q in %s: %q, %v, hint %q", c.text, c.dir, got, err, fault.HintOf(err))
		}
	}
	for _, bad := range []string{"", "..", "../kept", "draft-1", "a/b"} {
		if _, err := s.Use(bad); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestLater lists what another version has kept, lets nobody use it, and has it forgotten.
func TestLater(t *testing.T) {
	s := open(t)
	id := keep(t, s, "hello", "", 1, 0)
	file := store.Manifest(filepath.Join(s.dir, id))
	if err := os.WriteFile(file, []byte(`{"format": 2, "lowers": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].ID != id || all[0].Err == nil {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := s.Use(id); err == nil || !strings.Contains(err.Error(), "another version") ||
		!strings.Contains(fault.HintOf(err), "nsbuild forget "+id) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, []byte(`{"format": 1`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use(id); err == nil || fault.HintOf(err) != "nsbuild forget "+id {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	dirs, used, release, err := s.Take([]string{id})
	if err := errors.Join(err, release()); err != nil || len(dirs) != 1 || len(used) != 0 {
		t.Errorf("%q, %q, %v", dirs, used, err)
	}
}

func TestExcess(t *testing.T) {
	s := open(t)
	var ids []string // the newest first
	for i := range 4 {
		ids = append(ids, keep(t, s, "hello", "", 10, time.Duration(i)*time.Hour))
	}
	for _, c := range []struct {
		limits Limits
		left   int
	}{
		{Limits{10, 100, 24 * time.Hour}, 4},
		{Limits{3, 100, 24 * time.Hour}, 3},
		{Limits{10, 29, 24 * time.Hour}, 2},
		{Limits{10, 100, 90 * time.Minute}, 2},
		{Limits{10, 5, 24 * time.Hour}, 0},
	} {
		excess, err := s.Excess(c.limits)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range excess {
			got = append(got, i.ID)
		}
		want := slices.Clone(ids[c.left:])
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %q go, want %q", c.limits, got, want)
		}
	}
}

// TestTake takes nothing away that somebody uses, and with all else what killed makers have left.
func TestTake(t *testing.T) {
	s := open(t)
	used, free := keep(t, s, "used", "", 1, 0), keep(t, s, "free", "", 1, 0)
	b, err := s.Use(used)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Own(used); !errors.Is(err, ErrUsed) {
		t.Errorf("what is used belongs to another: %v", err)
	}
	left, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Close(); err != nil { // as when its maker is killed
		t.Fatal(err)
	}
	making, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	dirs, busy, release, err := s.Take([]string{used, free, "gone-0000"})
	if err != nil || len(dirs) != 2 || dirs[0] != left.Dir() ||
		!slices.Equal(busy, []string{used}) {
		t.Errorf("%q, %q, %v", dirs, busy, err)
	}
	if _, err := s.Use(free); err == nil {
		t.Error("what was taken away can be used")
	}
	if err := errors.Join(release(), b.Close(), making.Close()); err != nil {
		t.Fatal(err)
	}
}
