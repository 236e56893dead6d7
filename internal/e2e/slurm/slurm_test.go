package slurm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestBatch: a batch on Slurm of which the submitter is killed, and a node with the build on it.
// The batch goes on with the jobs that it has; each source is one job. Cancelling ends the jobs.
func TestBatch(t *testing.T) {
	e2e.AsUserOnly(t, "who submits a job makes no difference to what becomes of it")
	testenv.RequireTool(t, "munged", "slurmctld", "slurmd", "sbatch")
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	c := start(t, w)
	slow := e2e.Small("slow")
	slow.Files = []fakedebian.File{{Path: "Makefile",
		Body: "install:\n\tsleep 3.0625\nall clean:\n"}}
	sources := []string{w.WriteSource(t, slow), w.WriteSource(t, e2e.Small("quick"))}
	batch := append([]string{"batch", "--engine", "slurm", "-d", "bookworm", "-o", "out",
		"--keep=never", "--name"}, append([]string{"b"}, sources...)...)
	_, o := w.At(t, e2e.Moment{Name: "the build", Come: func() bool {
		return slices.ContainsFunc(processes(t), func(pid int) bool {
			return strings.HasPrefix(commandOf(pid), "sleep\x003.0625")
		})
	}}, 0, syscall.SIGKILL, batch...)
	if o.Status != 128+int(syscall.SIGKILL) {
		t.Fatal(o)
	}
	id, _, node := c.job(t, "slow")
	c.loses(t, node, id)
	o = w.Must(t, "batch", "resume", "b")
	again, state, other := c.job(t, "slow")
	if again != id || state != "COMPLETED" || other == node {
		t.Errorf("job %s on %s became %s, %s, on %s", id, node, again, state, other)
	}
	if jobs := c.jobs(t); len(jobs) != 2 {
		t.Errorf("the jobs: %q", jobs)
	}
	for _, name := range []string{"slow", "quick"} {
		if _, err := os.Stat(filepath.Join(w.Dir, "out", name+"_1.0_amd64.changes")); err != nil {
			t.Errorf("%v\n%s", err, o)
		}
	}
	o = w.Run(t, "batch", "--name", "x", "--engine", "slurm", "--partition", "nope", "-d",
		"bookworm", sources[0])
	e2e.Refusal{Status: 64, Says: []string{"no partition nope"},
		Hint: "sinfo shows the partitions"}.Check(t, o)

	_, o = w.At(t, e2e.Moment{Name: "a job", Come: func() bool {
		again, _, _ := c.job(t, "slow")
		return again != id
	}}, 0, syscall.SIGINT, "batch", "--engine", "slurm", "-d", "bookworm", "--name", "c",
		sources[0])
	if o.Status != 130 ||
		!strings.Contains(o.Stderr, "1 job goes on in Slurm; nsbuild batch cancel c") {
		t.Errorf("interrupted: %s", o)
	}
	w.Must(t, "batch", "cancel", "c")
	testenv.Eventually(t, "the job is cancelled", func() bool {
		_, state, _ := c.job(t, "slow")
		return state == "CANCELLED"
	})
}
