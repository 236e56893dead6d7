package procs

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestKillSame spares the process that has been given the number of one that has ended.
func TestKillSame(t *testing.T) {
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p, alive, err := Read(child.Process.Pid)
	if err != nil || !alive {
		t.Fatal(alive, err)
	}
	earlier := p
	earlier.Start -= time.Second
	if err := earlier.Kill(); err != nil {
		t.Error(err)
	}
	if _, alive, err := Read(p.PID); err != nil || !alive {
		t.Errorf("another process was killed: %v %v", alive, err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("%v", err)
	}
	if err := p.Kill(); err != nil {
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
