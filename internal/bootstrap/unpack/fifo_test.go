package unpack

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/regular"
)

// TestPipeAsFile is about a tree that was imported with a FIFO as its /etc/passwd: nobody writes to
// it.
func TestPipeAsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "passwd")
	if err := syscall.Mkfifo(name, 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Line{Path: name, Text: "builder:x:1:"}.add() }()
	select {
	case err := <-done:
		if !errors.Is(err, regular.ErrNotRegular) {
			t.Errorf("%v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for who writes to the FIFO")
	}
}
