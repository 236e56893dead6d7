package sampler

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// table is a made-up proc(5).
type table struct {
	t   *testing.T
	dir string
}

func (p table) add(pid int, name string, parent, user, ofChildren, begun, pages int) {
	p.t.Helper()
	dir := filepath.Join(p.dir, fmt.Sprint(pid))
	line := fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194304 100 0 0 0 %d 0 %d 0 20 0 1 0 %d 4096 %d 9\n",
		pid, name, parent, user, ofChildren, begun, pages)
	if err := errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "stat"), []byte(line), 0o644)); err != nil {
		p.t.Fatal(err)
	}
}

// TestLook counts what descends from a process, whatever it is called, and nothing else.
func TestLook(t *testing.T) {
	p := table{t, t.TempDir()}
	page := int64(os.Getpagesize())
	p.add(1, "init", 0, 5000, 0, 1, 1000)
	p.add(40, "nsbuild-init", 1, 10, 300, 7, 1)
	p.add(41, "make", 40, 100, 0, 8, 10)
	p.add(900, "cc1", 41, 200, 0, 9, 100)
	p.add(30, "a) R 1 (b", 900, 50, 0, 9, 1000)
	p.add(31, "cc1", 1, 9999, 0, 9, 1000)
	p.add(32, "loop", 33, 9999, 0, 9, 1000)
	p.add(33, "loop", 32, 9999, 0, 9, 1000)
	l := looker{proc: p.dir}
	options := cmp.AllowUnexported(seen{})
	got, ok := l.at(40)
	want := seen{busy: 6600 * time.Millisecond, memory: 1111 * page, processes: 3, compilers: 1}
	if diff := cmp.Diff(want, got, options); diff != "" || !ok {
		t.Error(ok, diff)
	}
	// One that was foreign is so for a while, and then looked at again.
	p.add(31, "cc1", 41, 0, 0, 10, 1)
	for range refresh {
		got, _ = l.at(40)
	}
	want.compilers, want.processes, want.memory = 2, 4, want.memory+page
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Error(diff)
	}
	p.add(40, "another", 1, 0, 0, 99, 1) // has its number now
	if got, ok := l.at(40); ok {
		t.Errorf("another process was looked at: %+v", got)
	}
}

// TestBuckets keeps a series bounded, and what was seen in it.
func TestBuckets(t *testing.T) {
	var b buckets
	const second = time.Second
	b.add(10*second, 11*second, 2*second, seen{memory: 5, processes: 2, compilers: 1})
	b.add(11*second, 12*second, 0, seen{memory: 3, processes: 1})
	want := Series{Start: 10 * second, Every: soonest, CPU: []float64{2, 2, 2, 2, 0, 0, 0, 0},
		Memory: []int64{5, 5, 5, 5, 3, 3, 3, 3}, Processes: []int{2, 2, 2, 2, 1, 1, 1, 1},
		Compilers: []int{1, 1, 1, 1, 0, 0, 0, 0}}
	if diff := cmp.Diff(want, b.series()); diff != "" {
		t.Error(diff)
	}
	b.add(1000*second, 1001*second, second, seen{memory: 9, processes: 1})
	got := b.series()
	if len(got.CPU) > most || got.Every != 8*second || got.Memory[0] != 5 ||
		got.Memory[len(got.Memory)-1] != 9 {
		t.Errorf("%+v", got)
	}
	total := 0.0
	for _, one := range got.CPU {
		total += one * got.Every.Seconds()
	}
	if total < 2.9 || total > 3.1 {
		t.Errorf("%v seconds of processor time, 3 were", total)
	}
}

// TestSampler looks at a real process, which is busy.
func TestSampler(t *testing.T) {
	c := exec.Command("sh", "-c", "while :; do :; done & wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s := Start(time.Now())
	s.Watch(c.Process.Pid)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		s.mu.Lock()
		n := s.last.processes
		busy := s.last.busy
		s.mu.Unlock()
		if n > 0 && busy > 100*time.Millisecond {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Leave()
	got := s.Stop()
	if err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = c.Wait() // it was killed
	if len(got.CPU) == 0 || got.Memory[0] == 0 || got.Processes[0] != 1 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(got, s.Stop()); diff != "" {
		t.Error(diff)
	}
}
