package onslurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
	"nsbuild/internal/slurm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// controller plays a Slurm of two nodes, each with one processor and 4 GiB.
type controller struct {
	t    *testing.T
	dir  string
	play func(*job) // what becomes of a job that has begun, with the controller held

	mu       sync.Mutex
	jobs     []*job
	commands [][]string // of sbatch
	away     int        // how often it does not answer
	deaf     int        // how often sbatch's answer is lost
	refuses  string     // what sbatch says
}

type job struct {
	slurm.Job
	try, exclude string
	memory       int // MiB
	gone         bool
}

var errStatus = errors.New("exit status 1")

func (c *controller) run(_ context.Context, _ string, command ...string) (out, messages string,
	err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away > 0 {
		c.away--
		return "", "x: error: Unable to contact slurm controller (connect failure)\n", errStatus
	}
	switch command[0] {
	case "sinfo":
		return "n1|1|4096|main*\nn2|1|4096|main*\n", "", nil
	case "squeue":
		for _, j := range c.jobs {
			if !j.gone {
				out += fmt.Sprintf("%s|%s|%s|%s|%s\n", j.ID, j.State, j.Node, j.Reason, j.Comment)
			}
		}
		return out, "", nil
	case "sacct":
		return "", "Slurm accounting storage is disabled\n", errStatus
	case "scancel":
		for _, j := range c.jobs {
			if j.End() == slurm.Goes && (len(command) > 2 || command[1] == j.ID) {
				j.State = "CANCELLED"
			}
		}
		return "", "", nil
	case "sbatch":
		return c.sbatch(command)
	}
	return "", "", fmt.Errorf("%q is no command", command)
}

func (c *controller) sbatch(command []string) (out, messages string, err error) {
	c.commands = append(c.commands, command)
	if c.refuses != "" {
		return "", "sbatch: error: Batch job submission failed: " + c.refuses + "\n", errStatus
	}
	j := &job{Job: slurm.Job{ID: strconv.Itoa(len(c.jobs) + 1), State: "PENDING",
		Reason: "Priority"}}
	for _, option := range command[1:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "--comment":
			j.Comment = value
			j.try, _, _ = strings.Cut(value, " ")
		case "--exclude":
			j.exclude = value
		case "--mem":
			j.memory, _ = strconv.Atoi(strings.TrimSuffix(value, "M"))
		}
	}
	c.jobs = append(c.jobs, j)
	time.AfterFunc(10*time.Second, func() { c.begin(j) })
	if c.deaf > 0 {
		c.deaf--
		return "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv " +
			"operation\n", errStatus
	}
	return j.ID + "\n", "", nil
}

// begin has a job run on a node that it does not exclude.
func (c *controller) begin(j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j.End() != slurm.Goes {
		return
	}
	for _, node := range []string{"n1", "n2"} {
		if j.Node == "" && !strings.Contains(j.exclude, node) {
			j.Node = node
		}
	}
	j.State = "RUNNING"
	c.write(j.try+".out", "node: "+j.Node+"\n")
	c.play(j)
}

func (c *controller) write(name, text string) {
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Error(err)
	}
}

// ends has a job end later, with a result or none.
func (c *controller) ends(j *job, state, status string, stages ...result.Stage) {
	time.AfterFunc(time.Minute, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if j.End() != slurm.Goes {
			return
		}
		j.State = state
		if status == "" {
			return
		}
		r := &result.Result{Source: result.Source{Name: "hello", Version: "1"}, Stages: stages,
			Outcome: result.Outcome{Status: status}, Artefacts: []result.Artefact{
				{Path: "/out/hello_1_all.deb"}}}
		if status != batch.Successful {
			r.Outcome.Error = status + " on " + j.Node + "\nreally"
		}
		if err := result.Write(filepath.Join(c.dir, j.try+".json"), r); err != nil {
			c.t.Error(err)
		}
	})
}

func (c *controller) submitted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.jobs)
}

// world is an engine over a controller.
type world struct {
	*controller
	engine *Engine
	warned []string
}

func newWorld(t *testing.T, play func(*controller, *job)) *world {
	t.Helper()
	c := &controller{t: t, dir: t.TempDir()}
	c.play = func(j *job) { play(c, j) }
	w := &world{controller: c}
	w.open(t)
	return w
}

// open makes an engine, as a process does which goes on with the batch.
func (w *world) open(t *testing.T) {
	t.Helper()
	w.engine = &Engine{Client: &slurm.Client{Run: w.run}, Options: Options{Name: "nsbuild-b-1",
		Dir: w.dir},
		Plan: func(context.Context, batch.Job, string) (Planned, *batch.Ended, error) {
			return Planned{CPUs: 1}, nil, nil
		},
		Command: func(_ batch.Job, p, r string) string { return "nsbuild build " + p + " --result=" + r },
		Warn: func(format string, args ...any) {
			w.warned = append(w.warned, fmt.Sprintf(format, args...))
		}}
	if err := w.engine.Open(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.engine.Close)
}

func (w *world) job(try int) batch.Job {
	return batch.Job{Item: 2, Try: try, Spec: "hello", Result: filepath.Join(w.dir, "r.json")}
}

func built() result.Stage { return result.Stage{Name: "build"} }

// TestClasses: each way in which a job can end is a way in which a try ends.
func TestClasses(t *testing.T) {
	for name, one := range map[string]struct {
		play func(*controller, *job)
		want batch.Ended
		says string
	}{
		"built": {func(c *controller, j *job) { c.ends(j, "COMPLETED", batch.Successful, built()) },
			batch.Ended{Status: batch.Successful}, ""},
		"failed": {func(c *controller, j *job) { c.ends(j, "FAILED", batch.Attempted, built()) },
			batch.Ended{Status: batch.Attempted}, "attempted on n1"},
		"given back": {func(c *controller, j *job) { c.ends(j, "FAILED", batch.GivenBack) },
			batch.Ended{Status: batch.GivenBack, Transient: true}, "given-back on n1"},
		"node lost": {func(c *controller, j *job) { c.ends(j, "NODE_FAIL", "") },
			batch.Ended{Status: batch.GivenBack, Transient: true}, "on the node n1: NODE_FAIL"},
		"preempted": {func(c *controller, j *job) { c.ends(j, "PREEMPTED", "") },
			batch.Ended{Status: batch.GivenBack, Transient: true}, "PREEMPTED"},
		"memory": {func(c *controller, j *job) { c.ends(j, "OUT_OF_MEMORY", "") },
			batch.Ended{Status: batch.GivenBack, Transient: true, Memory: 8 << 30},
			"more memory than 4 GiB"},
		"time": {func(c *controller, j *job) { c.ends(j, "TIMEOUT", "") },
			batch.Ended{Status: batch.Attempted}, "took longer than it may"},
		"cancelled": {func(c *controller, j *job) { c.ends(j, "CANCELLED", "") },
			batch.Ended{Status: batch.GivenBack}, "somebody has cancelled its job 1"},
		"built, and cancelled": {func(c *controller, j *job) {
			c.ends(j, "CANCELLED", batch.Successful, built())
		}, batch.Ended{Status: batch.Successful}, ""},
		"forgotten": {func(_ *controller, j *job) { j.gone = true },
			batch.Ended{Status: batch.GivenBack, Transient: true}, "does not know its job 1"},
		"cut": {func(c *controller, j *job) {
			j.State = "COMPLETED"
			c.write(j.try+".json", `{"schema": 1, "outcome": {"sta`)
		}, batch.Ended{Status: batch.GivenBack, Transient: true}, "it was cut"},
		"stuck": {func(_ *controller, j *job) { j.State, j.Reason = "PENDING", "PartitionTimeLimit" },
			batch.Ended{Status: batch.GivenBack}, "would never begin its job 1: PartitionTimeLimit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, one.play)
				e, err := w.engine.Build(t.Context(), w.job(1))
				w.engine.Close()
				if err != nil {
					t.Fatal(err)
				}
				got := batch.Ended{Status: e.Status, Transient: e.Transient, Memory: e.Memory}
				if diff := cmp.Diff(one.want, got); diff != "" {
					t.Errorf("it ended (-want +got):\n%s", diff)
				}
				if !strings.Contains(e.Error, one.says) {
					t.Errorf("it says %q", e.Error)
				}
				if w.submitted() != 1 {
					t.Errorf("%d jobs", w.submitted())
				}
			})
		})
	}
}

// TestElsewhere: what a node gave back is tried on another one.
func TestElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *controller, j *job) {
			if j.Node == "n1" {
				c.ends(j, "FAILED", batch.GivenBack)
				return
			}
			c.ends(j, "COMPLETED", batch.Successful, built())
		})
		for try, want := range []string{batch.GivenBack, batch.Successful} {
			e, err := w.engine.Build(t.Context(), w.job(try+1))
			if err != nil || e.Status != want {
				t.Errorf("try %d: %+v, %v", try+1, e, err)
			}
		}
	})
}

// TestBadNode: a node on which nsbuild cannot begin is named, once, and the others go on. No source
// has a try less for it. When no node is left, the batch ends.
func TestBadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := "n1"
		w := newWorld(t, func(c *controller, j *job) {
			switch {
			case strings.Contains(bad, j.Node) && j.try == "3-1":
				c.ends(j, "FAILED", batch.Failed) // its error has two lines
			case strings.Contains(bad, j.Node):
				c.write(j.try+".out", "node: "+j.Node+"\nscript: 3: exec: /x/nsbuild: not found\n")
				j.State = "FAILED"
			default:
				c.ends(j, "COMPLETED", batch.Successful, built())
			}
		})
		e, err := w.engine.Build(t.Context(), w.job(1))
		if err != nil || e.Status != batch.Successful {
			t.Errorf("%+v, %v", e, err)
		}
		if diff := cmp.Diff([]string{"the node n1 builds nothing more of this batch: failed on n1; " +
			"really"},
			w.warned); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		bad = "n1 n2"
		_, err = w.engine.Build(t.Context(), w.job(2))
		if err == nil || !strings.HasPrefix(err.Error(), "no node builds: n1: failed on n1") {
			t.Errorf("without a node: %v", err)
		}
		if !slices.ContainsFunc(w.warned, func(line string) bool {
			return strings.Contains(line, "n2") && strings.Contains(line, "/x/nsbuild: not found")
		}) {
			t.Errorf("told: %q", w.warned)
		}
	})
}

// TestFoundAgain: whoever goes on with a batch finds the job of a try, or what it has left; only
// what was stopped is begun anew.
func TestFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *controller, j *job) {
			c.ends(j, "COMPLETED", batch.Successful, built())
		})
		begin := func() {
			ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
			defer stop()
			if _, err := w.engine.Build(ctx, w.job(1)); err == nil {
				t.Error("it was not stopped")
			}
			w.engine.Close()
		}
		again := func(jobs int) {
			t.Helper()
			w.open(t)
			e, err := w.engine.Build(t.Context(), w.job(1))
			w.engine.Close()
			if err != nil || e.Status != batch.Successful || w.submitted() != jobs {
				t.Errorf("%+v, %v, %d jobs", e, err, w.submitted())
			}
		}
		begin()
		again(1) // it goes on
		again(1) // it has ended
		w.jobs[0].gone = true
		again(1) // and is forgotten
		if err := os.Remove(filepath.Join(w.dir, "3-1.json")); err != nil {
			t.Fatal(err)
		}
		w.open(t)
		begin()
		if err := w.engine.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.ends(w.jobs[1], "CANCELLED", batch.Failed)
		again(3) // it was cancelled
	})
}

// TestAway: while the controller is away it is asked again, and people are told once. A job whose
// number was lost is found.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *controller, j *job) {
			c.ends(j, "COMPLETED", batch.Successful, built())
		})
		w.deaf, w.away = 1, 7
		e, err := w.engine.Build(t.Context(), w.job(1))
		if err != nil || e.Status != batch.Successful {
			t.Errorf("%+v, %v", e, err)
		}
		if w.submitted() != 1 || len(w.warned) == 0 || len(w.warned) > 2 {
			t.Errorf("%d jobs, told %q", w.submitted(), w.warned)
		}
	})
}

// TestRefused: what no node can do is given back, in Slurm's words; what Slurm does not know ends
// the batch.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.refuses = "Requested node configuration is not available"
		e, err := w.engine.Build(t.Context(), w.job(1))
		if err != nil || e.Status != batch.GivenBack || e.Transient ||
			!strings.Contains(e.Error, w.refuses) {
			t.Errorf("unfit: %+v, %v", e, err)
		}
		w.refuses = "Invalid partition name specified"
		_, err = w.engine.Build(t.Context(), w.job(1))
		if fault.KindOf(err) != fault.Usage || err.Error() != "sbatch: "+w.refuses {
			t.Errorf("refused: %v", err)
		}
	})
}

// TestMemory: a job has what its build took the last time and some more, or its part of a node, and
// never more than a node has.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *controller, j *job) {
			c.ends(j, "COMPLETED", batch.Successful, built())
		})
		for memory, want := range map[int64]int{0: 4096, 1 << 30: 1280, 1 << 20: 256,
			100 << 30: 4096} {
			j := w.job(len(w.jobs) + 1)
			j.Memory = memory
			if _, err := w.engine.Build(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			if got := w.jobs[len(w.jobs)-1].memory; got != want {
				t.Errorf("%d: %d MiB", memory, got)
			}
		}
	})
}
