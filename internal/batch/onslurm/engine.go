// Package onslurm has the tries of a batch be jobs of Slurm. The batch keeps order and journal; a
// job builds one plan, and leaves its result in a directory that this machine and the nodes share.
//
// A job carries the batch in its name, and the try in its comment. So whoever goes on with a batch
// finds the jobs of the tries that were begun, and what those left that have ended meanwhile.
package onslurm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
	"nsbuild/internal/slurm"
)

// Options are what is the same for all jobs of a batch.
type Options struct {
	Name string // of the jobs
	// Dir is for plans, results, and what jobs write; nodes have it under the same path
	Dir       string
	Partition string   // "": the usual one
	Sbatch    []string // further options of sbatch
}

// Planned is what is known of a build once it is planned.
type Planned struct {
	CPUs   int           // that it can use
	Memory int64         // bytes that it may take at most; 0: not known
	Time   time.Duration // that its job may take; 0: as the partition has it
}

// Engine is a batch.Engine. Its functions are set before it is used.
type Engine struct {
	Options
	Client *slurm.Client
	// Plan writes the plan of a try to a file; where it cannot, it says how the try has ended. An
	// error is an interruption.
	Plan func(ctx context.Context, j batch.Job, file string) (Planned, *batch.Ended, error)
	// Command are the words of the job's shell that build a plan.
	Command func(j batch.Job, planFile, resultFile string) string
	// Warn tells people of something, a line.
	Warn func(format string, args ...any)
	// Ended, when set, is told of each result before its try has ended, from several goroutines.
	Ended func(batch.Job, *result.Result)

	nodes    []slurm.Node
	found    map[string]string // numbers of jobs that go on, by their tries
	planning chan struct{}     // a place for each plan that is made
	watch    watch

	mu      sync.Mutex
	told    map[string]bool   // what people know
	bad     map[string]string // nodes that build nothing, and why
	avoided map[int]string    // by items, the node that had no luck with it
	going   int               // jobs whose end was not seen
}

// Open finds out what Slurm there is, and which jobs of the batch go on.
func (e *Engine) Open(ctx context.Context, planners int) error {
	e.told, e.bad, e.avoided = map[string]bool{}, map[string]string{}, map[int]string{}
	e.planning = make(chan struct{}, max(1, planners))
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return fault.Wrap(fault.Usage, "choose another with --shared",
			fmt.Errorf("the directory that nodes share: %w", err))
	}
	err := e.persist(ctx, firstPatience, func() (err error) {
		e.nodes, err = e.Client.Nodes(ctx, e.Partition)
		return err
	})
	if err != nil {
		return err
	}
	return e.find(ctx)
}

// find has found be the jobs that go on.
func (e *Engine) find(ctx context.Context) error {
	return e.persist(ctx, firstPatience, func() error {
		jobs, err := e.Client.Jobs(ctx, e.Name)
		e.found = map[string]string{}
		for _, j := range jobs {
			if try, _, _ := strings.Cut(j.Comment, " "); j.End() == slurm.Goes {
				e.found[try] = j.ID
			}
		}
		return err
	})
}

// Close stops looking at jobs, which go on.
func (e *Engine) Close() { e.watch.close() }

// Going is how many jobs there are whose end was not seen.
func (e *Engine) Going() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.going
}

func (e *Engine) count(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.going += n
}

// CPUs is how many processors a build has of which nobody has said that: some, and not more than
// each node has.
func (e *Engine) CPUs() int {
	n := usualCPUs
	for _, node := range e.nodes {
		n = min(n, node.CPUs)
	}
	return max(1, n)
}

const (
	usualCPUs = 4
	// firstPatience is how long the controller may be away when a batch begins, patience when it
	// is under way.
	firstPatience = 2 * time.Minute
	patience      = 2 * time.Hour
	// grace is how long a result may take to be seen here after its job has ended: NFS asks its
	// server anew for a directory after a minute (acdirmax of nfs(5)).
	grace = 75 * time.Second
	// least is what a job has of memory at least
	least = 256 << 20
)

// Cancel ends the jobs of the batch.
func (e *Engine) Cancel(ctx context.Context) error {
	return e.persist(ctx, firstPatience, func() error { return e.Client.Cancel(ctx, e.Name) })
}

// persist does something again while the controller is away, and says so once.
func (e *Engine) persist(ctx context.Context, most time.Duration, do func() error) error {
	begin, pause := time.Now(), time.Second
	for {
		err := do()
		if !errors.Is(err, slurm.ErrAway) {
			if err == nil {
				e.back()
			}
			return err
		}
		if time.Since(begin) > most {
			return fault.Wrap(fault.Internal, "look at slurmctld; nsbuild batch resume goes on", err)
		}
		e.once("away", "%v; asking again", err)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// once tells people something that they have not been told.
func (e *Engine) once(what, format string, args ...any) {
	e.mu.Lock()
	told := e.told[what]
	e.told[what] = true
	e.mu.Unlock()
	if !told {
		e.Warn(format, args...)
	}
}

// back has people be told again when the controller is away another time.
func (e *Engine) back() {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.told, "away")
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// file is one of the files of a try.
func (e *Engine) file(try, suffix string) string { return filepath.Join(e.Dir, try+suffix) }

// tryOf is how a try is called.
func tryOf(j batch.Job) string { return fmt.Sprintf("%d-%d", j.Item+1, j.Try) }

// exclude are the nodes on which an item is not to be built; an error says that none is left.
func (e *Engine) exclude(item int) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := slices.Sorted(maps.Keys(e.bad))
	left := len(e.nodes) - len(out)
	if left <= 0 {
		return nil, fault.New(fault.Internal, "nsbuild doctor says on a node what it lacks",
			"no node builds: %s: %s", out[0], e.bad[out[0]])
	}
	if node := e.avoided[item]; node != "" && left > 1 && e.bad[node] == "" {
		out = append(out, node)
	}
	return out, nil
}

// avoid has an item be tried elsewhere the next time.
func (e *Engine) avoid(item int, node string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.avoided[item] = node
}

// condemn has a node build nothing more of this batch.
func (e *Engine) condemn(node, why string) {
	why = strings.ReplaceAll(strings.TrimSpace(why), "\n", "; ")
	e.mu.Lock()
	e.bad[node] = why
	e.mu.Unlock()
	e.once("node "+node, "the node %s builds nothing more of this batch: %s", node, why)
}
