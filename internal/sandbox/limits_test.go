package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/sandbox/limits"
	"nsbuild/internal/testenv"
)

// limited runs a script in a jail with limits.
func limited(t *testing.T, spec HolderSpec, script string) (*Holder, *Jail, string, Status) {
	t.Helper()
	var err error
	if spec.IDs, err = ResolveIDs(); err != nil {
		t.Fatal(err)
	}
	root := testRoot(t, startHolder(t))
	h, err := Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	j, err := h.NewJail(context.Background(), Spec{Root: Root{Lowers: []Lower{{Path: root}}},
		Mounts: programs()})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	status, err := j.RunTo(t.Context(), Command{Argv: []string{"/bin/sh", "-c", script}}, &out,
		&out)
	if err != nil {
		t.Fatal(err)
	}
	return h, j, out.String(), status
}

// forks begins more processes than it may and says how many it could. It kills these alone: the
// jail's helper, which jail root could kill, may not have answered yet.
const forks = `exec perl -e 'my @c; for my $n (0..500) { my $p = fork; if (!defined $p) { print $n; last } if (!$p) { $< = $> = 1 + $n % 3; sleep 100 } push @c, $p } kill 9, @c'`

// grows uses 200 MiB.
const grows = `exec perl -e 'my $x = "a" x (100<<20); $x .= $x; print length $x'`

func TestSpareLimits(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "perl", "nproc")
	_, _, out, _ := limited(t, HolderSpec{Spare: Limits{PIDs: 40}}, forks)
	if n := number(out); n < 40 || n > 40+2*limits.HelperTasks {
		t.Errorf("with a limit of 40 processes %q could begin", out)
	}
	_, _, out, status := limited(t, HolderSpec{Spare: Limits{Memory: 64 << 20, CPUs: 0.5}},
		"nproc; "+grows)
	if status.Success() || !strings.HasPrefix(out, "1\n") || strings.Contains(out, "209715200") {
		t.Errorf("with 64 MiB and half a processor: %v, %q", status, out)
	}
}

// TestSpareMemoryFromTheStart has commands say their limit first of all, while every processor is
// busy.
func TestSpareMemoryFromTheStart(t *testing.T) {
	testenv.RequireUserns(t)
	_, j, _, _ := limited(t, HolderSpec{Spare: Limits{Memory: 64 << 20}}, "true")
	// By processes: goroutines would have this one wait for the scheduler of Go, too.
	for range 2 * runtime.NumCPU() {
		busy := exec.CommandContext(t.Context(), "/bin/sh", "-c",
			"while kill -0 $PPID; do :; done")
		if err := busy.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = busy.Wait() }) // killed by the context
	}
	for range 50 {
		if out, st := sh(t, j, "ulimit -d; echo $0 $#"); !st.Success() ||
			out != "65536\n/bin/sh 0\n" {
			t.Fatalf("%q, %v", out, st)
		}
	}
	_, err := j.RunTo(t.Context(), Command{Argv: []string{"/no/such/program"}}, nil, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a program that does not exist: %v", err)
	}
}

// TestSpareMemoryOfMuchEnvironment has this program, which sets the limit, handle a megabyte and
// more of arguments and variables: more than the Go runtime has at hand when the limit is small.
func TestSpareMemoryOfMuchEnvironment(t *testing.T) {
	testenv.RequireUserns(t)
	_, j, _, _ := limited(t, HolderSpec{Spare: Limits{Memory: 16 << 20}}, "true")
	c := Command{Argv: []string{"/bin/sh", "-c", "ulimit -d; echo $#", "sh"}}
	for i := range 25000 {
		c.Argv = append(c.Argv, strings.Repeat("a", 24))
		c.Env = append(c.Env, fmt.Sprintf("V%d=%s", i, strings.Repeat("b", 16)))
	}
	var out strings.Builder
	st, err := j.RunTo(t.Context(), c, &out, &out)
	if err != nil || !st.Success() || out.String() != "16384\n25000\n" {
		t.Errorf("%v, %v, %.300q", st, err, out.String())
	}
}

func number(s string) int {
	n := 0
	for _, r := range strings.TrimSpace(s) {
		if r < '0' || r > '9' {
			return -1
		}
		n = 10*n + int(r-'0')
	}
	return n
}

func TestLimits(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireControllers(t, "memory", "cpu", "pids")
	testenv.RequireTool(t, "perl")
	h, j, out, status := limited(t,
		HolderSpec{Limits: Limits{Memory: 64 << 20, CPUs: 1.5, PIDs: 40}},
		"cat /proc/self/cgroup; "+grows)
	if len(j.Notes())+len(h.Spared()) > 0 {
		t.Error(j.Notes(), h.Spared())
	}
	if status.Signal != syscall.SIGKILL || out != "0::/\n" {
		t.Errorf("200 MiB with 64: %v, %q", status, out)
	}
	e, err := h.Exhausted()
	if err != nil || e == nil || e.Kills != 1 {
		t.Fatalf("%v, %v", e, err)
	}
	if e.Victims != nil && (len(e.Victims) != 1 || e.Victims[0].Command != "perl" ||
		e.Victims[0].Memory < 32<<20 || e.Victims[0].Memory > 64<<20) {
		t.Error(e)
	}
	t.Log(e)
	quota, err := os.ReadFile(filepath.Join(h.group.Jail(), "cpu.max"))
	if err != nil || string(quota) != "150000 100000\n" {
		t.Errorf("cpu.max is %q, %v", quota, err)
	}
	h, _, out, _ = limited(t, HolderSpec{Limits: Limits{PIDs: 40}}, forks)
	if n := number(out); n < 39 || n > 40+limits.HelperTasks {
		t.Errorf("with a limit of 40 processes %q could begin", out)
	}
	dir := filepath.Dir(h.group.Jail())
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
}
