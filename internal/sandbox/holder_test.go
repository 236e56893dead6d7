package sandbox

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// begun is a sandbox whose PID 1 has not been told yet what it is for.
func begun(t *testing.T) (*Beginning, IDMap) {
	t.Helper()
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Begin()
	if err != nil {
		t.Fatal(err)
	}
	return b, ids
}

// TestPID1DiesAtStart kills PID 1 before it is told what for it is: the start fails at once, with
// the reason.
func TestPID1DiesAtStart(t *testing.T) {
	b, ids := begun(t)
	if err := syscall.Kill(b.h.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-b.h.done
	inTime(t, func() {
		_, err := b.Start(context.Background(), HolderSpec{IDs: ids})
		if err == nil || !strings.Contains(err.Error(), "PID 1 ended: killed by signal 9") {
			t.Errorf("%v", err)
		}
	})
}

// TestPID1HangsAtStart stops PID 1 before it is told what for it is: the start ends with its
// context.
func TestPID1HangsAtStart(t *testing.T) {
	b, ids := begun(t)
	if err := syscall.Kill(b.h.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := errors.New("stopped by the test")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 200*time.Millisecond, stopped)
	defer cancel()
	inTime(t, func() {
		if _, err := b.Start(ctx, HolderSpec{IDs: ids}); !errors.Is(err, stopped) {
			t.Errorf("%v", err)
		}
	})
}

// TestCloseAfterDeath closes a holder whose PID 1 has ended: no signal goes to its number.
func TestCloseAfterDeath(t *testing.T) {
	h := startHolder(t)
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-h.Done()
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}
