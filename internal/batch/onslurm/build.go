package onslurm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
	"nsbuild/internal/slurm"
)

// Build has a try be a job, or finds the one that it is.
func (e *Engine) Build(ctx context.Context, j batch.Job) (*batch.Ended, error) {
	e.watch.start(e.look)
	try := tryOf(j)
	id, asked := e.found[try], j.Memory
	if id != "" {
		e.count(1)
	} else {
		if r, _ := e.read(try); r != nil { // it has ended while nobody looked
			return e.finish(j, r)
		}
	}
	for {
		if id == "" {
			ended, given, number, err := e.begin(ctx, j)
			if ended != nil || err != nil {
				return ended, err
			}
			id, asked = number, given
		}
		ended, again, err := e.await(ctx, j, id, asked)
		if !again {
			return ended, err
		}
		id = "" // it was the node's fault, of which the source knows nothing
	}
}

// look is how the jobs are.
func (e *Engine) look(ctx context.Context) (jobs []slurm.Job, err error) {
	err = e.persist(ctx, patience, func() (err error) {
		jobs, err = e.Client.Jobs(ctx, e.Name)
		return err
	})
	return jobs, err
}

// begin plans and submits a try: either it has ended, or it is a job.
func (e *Engine) begin(ctx context.Context, j batch.Job) (ended *batch.Ended, memory int64,
	id string, err error) {
	try := tryOf(j)
	p, ended, err := e.plan(ctx, j)
	if ended != nil || err != nil {
		return ended, 0, "", err
	}
	out, err := e.exclude(j.Item)
	if err != nil {
		return nil, 0, "", err
	}
	for _, suffix := range []string{".json", ".out"} { // of an earlier job
		if err := os.Remove(e.file(try, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, "", err
		}
	}
	r := slurm.Request{Name: e.Name, Comment: try + " " + oneWord(j.Spec),
		Output: e.file(try, ".out"), Memory: e.memory(j, p), CPUs: p.CPUs, Time: p.Time,
		Alone: j.Alone, Exclude: out, Options: e.Sbatch,
		Script: "#!/bin/sh\necho \"" + nodeLine + "$SLURMD_NODENAME\"\nexec " +
			e.Command(j, e.file(try, planSuffix), e.file(try, ".json")) + "\n"}
	id, err = e.submit(ctx, try, r)
	if errors.Is(err, slurm.ErrUnfit) {
		return &batch.Ended{Status: batch.GivenBack, Error: err.Error(), Hint: fmt.Sprintf(
			"it was to have %s of memory and %s; --memory and --jobs say otherwise",
			fault.Size(r.Memory), fault.Count(r.CPUs, "processor", "processors"))}, 0, "", nil
	}
	if err == nil {
		e.count(1)
	}
	return nil, r.Memory, id, err
}

// planSuffix is that of all plans.
const planSuffix = ".plan.json"

// nodeLine begins the first line that a job writes.
const nodeLine = "node: "

// plan plans a try. As many are planned at a time as there is place for.
func (e *Engine) plan(ctx context.Context, j batch.Job) (Planned, *batch.Ended, error) {
	select {
	case e.planning <- struct{}{}:
	case <-ctx.Done():
		return Planned{}, nil, context.Cause(ctx)
	}
	defer func() { <-e.planning }()
	return e.Plan(ctx, j, e.file(tryOf(j), planSuffix))
}

// memory is what a job has of memory: what the build may take, else what it has taken the last time
// and some more, or its part of the smallest node, but not more than the largest node has.
func (e *Engine) memory(j batch.Job, p Planned) int64 {
	var part, largest int64
	for _, n := range e.nodes {
		own := n.Memory * int64(p.CPUs) / int64(max(1, n.CPUs))
		if part == 0 || own < part {
			part = own
		}
		largest = max(largest, n.Memory)
	}
	m := part
	switch {
	case p.Memory > 0: // which somebody has asked for
		return p.Memory + least
	case j.Memory > 0:
		m = max(least, j.Memory+j.Memory/4)
	}
	return min(m, largest)
}

// submit has Slurm take a job. It may have taken it although its answer was lost.
func (e *Engine) submit(ctx context.Context, try string, r slurm.Request) (id string, err error) {
	pause := time.Second
	for {
		id, err = e.Client.Submit(ctx, r)
		switch {
		case errors.Is(err, slurm.ErrAway):
			var jobs []slurm.Job
			e.once("away", "%v; asking again", err)
			if jobs, err = e.look(ctx); err != nil {
				return "", err
			}
			for _, j := range jobs {
				if of, _, _ := strings.Cut(j.Comment, " "); of == try && j.End() == slurm.Goes {
					return j.ID, nil
				}
			}
		case errors.Is(err, slurm.ErrFull):
			if e.Going() == 0 && pause > time.Minute {
				return "", fault.Wrap(fault.Usage, "look at the limits of your account", err)
			}
			e.once("full", "%v; trying again", err)
		default:
			return id, err
		}
		if err := sleep(ctx, pause); err != nil {
			return "", err
		}
		pause = min(2*pause, 2*time.Minute)
	}
}

// oneWord is a source as it can stand in a comment.
func oneWord(spec string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '|' || r == '\'' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, spec[max(0, len(spec)-200):])
}

// await waits for the end of a job, and says how the try has ended, or that it is to be a job once
// more.
func (e *Engine) await(ctx context.Context, j batch.Job, id string, memory int64) (
	ended *batch.Ended, again bool, err error) {
	job, known, err := e.watch.wait(ctx, id, time.Now())
	if err != nil {
		return nil, false, err
	}
	e.count(-1)
	try, how := tryOf(j), slurm.Own
	if known {
		how = job.End()
	}
	if how == slurm.Goes { // it is stuck
		if err := e.persist(ctx, patience, func() error {
			return e.Client.CancelJob(ctx, id)
		}); err != nil {
			return nil, false, err
		}
		return &batch.Ended{Status: batch.GivenBack, Error: fmt.Sprintf(
			"Slurm would never begin its job %s: %s", id, job.Reason), Hint: "look at --partition, " +
			"--timeout, --memory and --jobs"}, false, nil
	}
	r, cut, err := e.awaitResult(ctx, try, how == slurm.Own)
	switch {
	case err != nil:
		return nil, false, err
	case r != nil && e.nodeFailed(r):
		if node := e.node(try, job); node != "" {
			e.condemn(node, r.Outcome.Error)
			return nil, true, nil
		}
	}
	if r != nil {
		if r.Outcome.Status == batch.GivenBack {
			e.avoid(j.Item, e.node(try, job))
		}
		ended, err = e.finish(j, r)
		return ended, false, err
	}
	if !known {
		err := e.persist(ctx, patience, func() (err error) {
			job, known, err = e.Client.Account(ctx, id)
			return err
		})
		if err != nil {
			return nil, false, err
		}
		if known {
			how = job.End()
		}
	}
	node := e.node(try, job)
	e.avoid(j.Item, node)
	if why := e.unbegun(try); how == slurm.Own && known && cut == nil && node != "" && why != "" {
		e.condemn(node, why)
		return nil, true, nil
	}
	ended = classOf(how, job, id, memory)
	if cut != nil {
		ended.Error = fmt.Sprintf("its result cannot be used: %v", cut)
	}
	ended.Log = e.file(try, ".out")
	return ended, false, nil
}

// classOf is how a try has ended whose job has left no result.
func classOf(how slurm.End, job slurm.Job, id string, memory int64) *batch.Ended {
	on := ""
	if job.Node != "" {
		on = " on the node " + job.Node
	}
	e := &batch.Ended{Status: batch.GivenBack, Transient: true}
	switch how {
	case slurm.Lost:
		e.Error = fmt.Sprintf("Slurm has lost its job %s%s: %s", id, on, job.State)
	case slurm.OutOfMemory:
		e.Error = fmt.Sprintf("Slurm has ended its job %s%s, which took more memory", id, on)
		if memory > 0 {
			e.Error += " than " + fault.Size(memory)
		}
		e.Memory = 2 * memory // the next time
	case slurm.OutOfTime:
		e.Status, e.Transient = batch.Attempted, false
		e.Error = fmt.Sprintf("Slurm has ended its job %s%s, which took longer than it may", id, on)
		e.Hint = "--timeout, or another --partition"
	case slurm.Cancelled:
		e.Transient = false
		e.Error = fmt.Sprintf("somebody has cancelled its job %s%s", id, on)
	default:
		e.Error = fmt.Sprintf("Slurm does not know its job %s any more, and it has left no result",
			id)
	}
	return e
}

// nodeFailed tells whether a build has failed before it had begun, through no fault of its own: it
// is planned, so its node is not as it must be.
func (e *Engine) nodeFailed(r *result.Result) bool {
	return r.Outcome.Status == batch.Failed && len(r.Stages) == 0
}

// node is where a job ran, by Slurm or by itself.
func (e *Engine) node(try string, j slurm.Job) string {
	text, err := regular.ReadFile(e.file(try, ".out"), maxOut)
	if err != nil {
		return j.Node
	}
	node := j.Node
	for line := range strings.Lines(string(text)) { // of a job that was requeued the last counts
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), nodeLine); ok && e.isNode(name) {
			node = name
		}
	}
	return node
}

func (e *Engine) isNode(name string) bool {
	for _, n := range e.nodes {
		if n.Name == name {
			return true
		}
	}
	return false
}

// maxOut is more than a job writes, in bytes: the log of a build is a file of its own.
const maxOut = 64 << 20

// unbegun is why a job has ended without nsbuild having begun: it wrote nothing, or a refusal last.
// "": it was killed, which is not the node's fault.
func (e *Engine) unbegun(try string) string {
	text, err := regular.ReadFile(e.file(try, ".out"), maxOut)
	if err != nil {
		return "its jobs leave nothing in " + e.Dir + ", which nodes are to share (--shared)"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range slices.Backward(lines) {
		switch {
		case strings.HasPrefix(line, "hint: "):
			continue
		case strings.HasPrefix(line, "nsbuild: "), strings.Contains(line, ": exec: "):
			return line
		}
		break
	}
	return ""
}

// finish takes over the result of a try.
func (e *Engine) finish(j batch.Job, r *result.Result) (*batch.Ended, error) {
	ended := batch.EndedAs(r)
	// what is wrong with a source was found when it was planned
	ended.Transient = ended.Status == batch.GivenBack
	if err := result.Write(j.Result, r); err != nil {
		return nil, err
	}
	ended.Result = j.Result
	if e.Ended != nil {
		e.Ended(j, r)
	}
	return ended, nil
}

// awaitResult is the result of a try whose job has ended; nil: it has left none, or what is wrong
// with it. What a job has written is seen here a while after its end.
func (e *Engine) awaitResult(ctx context.Context, try string, long bool) (r *result.Result,
	cut error, err error) {
	deadline := time.Now()
	if long {
		deadline = deadline.Add(grace)
	}
	pause := 100 * time.Millisecond
	for {
		if r, cut = e.read(try); r != nil || !time.Now().Before(deadline) {
			return r, cut, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, nil, err
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// read is the result of a try; nil: there is none, or what is wrong with it. That of a build which
// was stopped is none.
func (e *Engine) read(try string) (r *result.Result, wrong error) {
	// NFS asks its server for a file that was not there when the directory is opened again
	if _, err := os.ReadDir(e.Dir); err != nil {
		return nil, err
	}
	r, err := result.Read(e.file(try, ".json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case batch.Stopped(r):
		return nil, nil
	}
	return r, nil
}
