package pid1

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/sandbox/wire"
)

// TestAskHeldUp asks a helper that neither answers nor reads.
func TestAskHeldUp(t *testing.T) {
	ours, theirs, err := wire.Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c, err := wire.New(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const patience = 50 * time.Millisecond
	free := func() bool { return false }
	// which fits into the socket's buffer, and which does not
	for _, size := range []int{1, 4 << 20} {
		m := &wire.Message{Op: wire.OpExec, Command: &wire.Command{Argv: []string{strings.Repeat("x", size)}}}
		if _, _, err := ask(c, patience, free, m); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	// A reader that never answers; only where it is held is it given up early.
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	for _, held := range []bool{true, false} {
		const patience = 3 * time.Second
		begin := time.Now()
		_, _, err := ask(c, patience, func() bool { return held }, &wire.Message{Op: wire.OpExec})
		early := time.Since(begin) < patience
		if !errors.Is(err, os.ErrDeadlineExceeded) || early != held {
			t.Errorf("held %v: %v after %v", held, err, time.Since(begin))
		}
	}
}

// TestMayBeStarted refuses pids that a helper must not pass off as a new command's.
func TestMayBeStarted(t *testing.T) {
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	pid := child.Process.Pid
	p := newChildren()
	p.orphans[7] = &wire.Status{}
	for _, good := range []int{pid, 7} {
		if err := p.mayBeStarted(good); err != nil {
			t.Error(err)
		}
	}
	p.commands[pid] = command{}
	for _, bad := range []int{-1, 0, 1, pid, os.Getpid(), os.Getppid()} {
		if err := p.mayBeStarted(bad); err == nil {
			t.Errorf("pid %d may be a new command", bad)
		}
	}
	delete(p.commands, pid)
	p.helpers[pid] = true
	if err := p.mayBeStarted(pid); err == nil {
		t.Error("a helper may be a new command")
	}
}
