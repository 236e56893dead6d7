package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// kept makes a directory with a name, that nobody uses.
func kept(t *testing.T, parent, name string) string {
	t.Helper()
	d, err := Begin(parent)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(parent, name)
	if err := errors.Join(os.Mkdir(Tree(d.Path()), 0o755), os.Rename(d.Path(), path),
		d.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is used by one may be used by others, but not deleted; what is being deleted is gone for
// all.
func TestUse(t *testing.T) {
	path := kept(t, t.TempDir(), "a")
	one, err := Use(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Use(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Dir{one, two} {
		if _, err := Claim(path); !errors.Is(err, ErrUsed) {
			t.Errorf("what is used can be deleted: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	claimed, err := Claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Use(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is being deleted can be used: %v", err)
	}
	draft, err := claimed.Retire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(Tree(draft)); err != nil || !Gone(path) || Gone(draft) {
		t.Errorf("it was not retired: %v", err)
	}
	if _, err := Claim(draft); !errors.Is(err, ErrUsed) {
		t.Errorf("another can delete it, too: %v", err)
	}
	if err := claimed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
	again, err := Claim(draft)
	if err != nil {
		t.Fatalf("what a killed deleter left: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCloseBesideFork closes a directory while another descriptor of its lock is open, as a child
// has that was forked meanwhile.
func TestCloseBesideFork(t *testing.T) {
	d, err := Begin(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(d.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Close(child); err != nil {
			t.Error(err)
		}
	}()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	again, err := Own(d.Path())
	if err != nil {
		t.Fatalf("it is still in use: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestDrafts(t *testing.T) {
	parent := t.TempDir()
	kept(t, parent, "a")
	d, err := Begin(parent)
	if err != nil {
		t.Fatal(err)
	}
	drafts, err := Drafts(parent)
	if err != nil || len(drafts) != 1 || drafts[0] != d.Path() {
		t.Errorf("%q, %v; want %s", drafts, err, d.Path())
	}
	if _, err := Claim(d.Path()); !errors.Is(err, ErrUsed) {
		t.Errorf("a draft that is being made can be deleted: %v", err)
	}
	if err := os.Remove(filepath.Join(d.Path(), lockName)); err != nil {
		t.Fatal(err)
	}
	if Abandoned(d.Path()) {
		t.Error("a draft without lock is abandoned at once: its maker may be about to make it")
	}
	old := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(d.Path(), old, old); err != nil {
		t.Fatal(err)
	}
	if !Abandoned(d.Path()) {
		t.Error("an old draft without lock is not abandoned")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTouch(t *testing.T) {
	path := kept(t, t.TempDir(), "a")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(path, lockName), old, old); err != nil {
		t.Fatal(err)
	}
	d, err := Use(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	before, err := Used(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Touch(), d.Sync()); err != nil {
		t.Fatal(err)
	}
	if after, err := Used(path); err != nil || after.Sub(before) < time.Minute {
		t.Errorf("used at %v, then at %v: %v", before, after, err)
	}
}

// What another lies upon is not deleted before that, whoever lives or not.
func TestLease(t *testing.T) {
	parent := t.TempDir()
	below, above := kept(t, parent, "below"), filepath.Join(parent, "above")
	d, err := Use(below)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Lease(above); err != nil {
		t.Fatal(err)
	}
	kept(t, parent, "above")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(below); !errors.Is(err, ErrUsed) {
		t.Errorf("what something lies upon can be deleted: %v", err)
	}
	if all, err := Lessees(below); err != nil || len(all) != 1 || all[0] != above {
		t.Errorf("%q, %v", all, err)
	}
	gone, err := Claim(above)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Retire(); err != nil {
		t.Fatal(err)
	}
	d, err = Claim(below)
	if err != nil {
		t.Fatalf("what nothing lies upon any more: %v", err)
	}
	if err := errors.Join(d.Close(), gone.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPublish(t *testing.T) {
	parent := t.TempDir()
	kept(t, parent, "a")
	d, err := Begin(parent)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Publish("a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("what has the name was replaced: %v", err)
	}
	if err := d.Publish("b"); err != nil {
		t.Fatal(err)
	}
	if d.Path() != filepath.Join(parent, "b") || Gone(d.Path()) {
		t.Errorf("it is not at %s", d.Path())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
