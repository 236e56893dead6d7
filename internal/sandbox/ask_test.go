package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopHelper is a shell command that sends the jail's helper a signal.
func stopHelper(signal string) string {
	return `for p in /proc/[0-9]*; do read -r name <$p/comm; [ "$name" != nsbuild-helper ] || kill -` + signal + ` ${p#/proc/}; done`
}

// inTime runs what must not hang.
func inTime(t *testing.T, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(helperPatience / 2):
		t.Fatal("it hangs")
	}
}

// TestHelperStopped stops the helper from inside the jail, again and again. Commands start all the
// same, and the jail can be closed.
func TestHelperStopped(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	inTime(t, func() {
		for range 20 {
			if out, st := sh(t, j, stopHelper("STOP")+"; echo stopped"); out != "stopped\n" ||
				!st.Success() {
				t.Errorf("%q %v", out, st)
			}
		}
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestHelperKilled kills the helper from inside: the next command is refused with the reason, and
// the jail can be closed.
func TestHelperKilled(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	// The command may end the helper before that has answered.
	if p, err := j.Start(Command{Argv: []string{"/bin/sh", "-c", stopHelper("KILL")}}); err == nil {
		if _, err := p.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	inTime(t, func() {
		for range 2 {
			_, err := j.Start(Command{Argv: []string{"/bin/true"}})
			if err == nil ||
				!strings.Contains(err.Error(), "the jail's helper has ended: killed by signal 9") {
				t.Errorf("after the helper's death: %v", err)
			}
		}
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAskHeldUp asks a helper that neither answers nor reads.
func TestAskHeldUp(t *testing.T) {
	ours, theirs, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c, err := newConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	const patience = 50 * time.Millisecond
	free := func() bool { return false }
	// which fits into the socket's buffer, and which does not
	for _, size := range []int{1, 4 << 20} {
		m := &message{Op: opExec, Command: &Command{Argv: []string{strings.Repeat("x", size)}}}
		if _, _, err := ask(c, patience, free, m); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	// A reader that never answers; only where it is held is it given up early.
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	for _, held := range []bool{true, false} {
		const patience = 3 * time.Second
		begin := time.Now()
		_, _, err := ask(c, patience, func() bool { return held }, &message{Op: opExec})
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
	p := &pid1{commands: map[int]command{}, orphans: map[int]*Status{7: {}},
		helpers: map[int]bool{}}
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

// TestKillSame spares the process that has been given the number of one that has ended.
func TestKillSame(t *testing.T) {
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p, alive, err := readProcess(child.Process.Pid)
	if err != nil || !alive {
		t.Fatal(alive, err)
	}
	earlier := p
	earlier.start -= time.Second
	if err := earlier.kill(); err != nil {
		t.Error(err)
	}
	if _, alive, err := readProcess(p.pid); err != nil || !alive {
		t.Errorf("another process was killed: %v %v", alive, err)
	}
	if err := p.kill(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("%v", err)
	}
	if err := p.kill(); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
}

// TestEndGroup ends what a leader has left in its group, and reports only that. The leader stays to
// be waited for.
func TestEndGroup(t *testing.T) {
	for script, want := range map[string]bool{"exit 3": false, "sleep 100 & exit 3": true} {
		leader := exec.Command("/bin/sh", "-c", script)
		leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		left, err := EndGroup(leader.Process.Pid)
		if left != want || err != nil {
			t.Errorf("%s: left processes: %v, %v", script, left, err)
		}
		if err := leader.Wait(); err == nil || err.Error() != "exit status 3" {
			t.Errorf("%s: %v", script, err)
		}
		if err := syscall.Kill(-leader.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) &&
			want == false {
			t.Errorf("%s: the group is still there: %v", script, err)
		}
	}
	if _, err := EndGroup(1); err == nil {
		t.Error("a process that is no child has no end to be waited for")
	}
}
