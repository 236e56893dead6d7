package flock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "lock")
	if _, err := Open(name, os.O_RDWR, Shared); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	open := func(name string, flags int, mode Mode) *os.File {
		t.Helper()
		f, err := Open(name, flags, mode)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	closed := func(files ...*os.File) {
		t.Helper()
		for _, f := range files {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	one, two := open(name, os.O_RDWR|os.O_CREATE, Shared), open(name, os.O_RDWR, Shared)
	if _, err := Open(name, os.O_RDWR, Exclusive); !errors.Is(err, ErrHeld) {
		t.Errorf("a lock that two share: %v", err)
	}
	closed(one, two)
	all, whole := open(name, os.O_RDWR, Exclusive), open(dir, os.O_RDONLY, Exclusive)
	for name, flags := range map[string]int{name: os.O_RDWR, dir: os.O_RDONLY} {
		if _, err := Open(name, flags, Shared); !errors.Is(err, ErrHeld) {
			t.Errorf("%s is held: %v", name, err)
		}
	}
	closed(all, whole)
}

// TestWait has one wait for the other.
func TestWait(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := Open(name, os.O_RDWR|os.O_CREATE, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	released := make(chan struct{})
	go func() {
		err := Wait(second, Exclusive)
		select {
		case <-released:
		default:
			err = errors.Join(err, errors.New("it did not wait"))
		}
		got <- errors.Join(err, second.Close())
	}()
	close(released)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestReplaced locks under a name that leads to another file when the lock is had.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "lock"), filepath.Join(dir, "link")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	// The link is not the file that was opened through it, as a file is not that has taken its
	// place.
	if _, err := Open(link, os.O_RDWR, Exclusive); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
