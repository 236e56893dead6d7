package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"nsbuild/internal/batch"
	"nsbuild/internal/batch/onslurm"
	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
	"nsbuild/internal/slurm"
)

// engineOptions are the flags that say what does the builds of a batch.
type engineOptions struct {
	engine                        string
	partition, constraint, shared string
	sbatch, node                  []string
	program                       string
}

// What --engine may be.
const (
	engineLocal = "local"
	engineSlurm = "slurm"
)

func (o *engineOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.engine, "engine", engineLocal, "have `ENGINE` do the builds: local (this "+
		"machine), or slurm (each is a job)")
	f.StringVar(&o.partition, "partition", "", "submit to the `PARTITION` of Slurm")
	f.StringVar(&o.constraint, "constraint", "", "build on nodes of Slurm with these `FEATURES`")
	f.StringArrayVar(&o.sbatch, "sbatch-option", nil, "give sbatch the `OPTION`, too, such as "+
		"--account=me")
	f.StringVar(&o.shared, "shared", "", "have plans and results in `DIR`, which this machine and "+
		"the nodes share (default: in the state directory)")
	f.StringVar(&o.program, "node-program", "", "run the nsbuild at `PATH` on nodes (default: this "+
		"one)")
	f.StringArrayVar(&o.node, "node-option", nil, "give nsbuild on nodes the `OPTION`, too, such as "+
		"--cache-dir=/var/tmp/me; the node's shell puts variables in")
}

// ofSlurm are the flags that mean something with Slurm alone.
func ofSlurm() []string {
	return []string{"partition", "constraint", "sbatch-option", "shared", "node-program",
		"node-option"}
}

// check finds what is wrong with the flags, before there is a batch.
func (o *engineOptions) check(set *pflag.FlagSet) error {
	switch o.engine {
	case engineLocal:
		for _, name := range ofSlurm() {
			if f := set.Lookup(name); f != nil && f.Changed && rankOf(f) == rankFlag {
				return usage("--engine slurm", "--%s is for Slurm", name)
			}
		}
		return nil
	case engineSlurm:
	default:
		return usage("local or slurm", "--engine %q", o.engine)
	}
	for _, name := range []string{"git", "run-lintian", "run-autopkgtest", "run-piuparts",
		"check-install", "compare", "shell-on-failure"} {
		if f := set.Lookup(name); f != nil && f.Changed && rankOf(f) == rankFlag {
			return usage("leave it out", "--%s contradicts --engine slurm: jobs build plans, which "+
				"have no part for it", name)
		}
	}
	return nil
}

// ready refuses what Slurm does not have, before there is a batch. A controller that is away may
// come back.
func (o *engineOptions) ready(ctx context.Context) error {
	if o.engine != engineSlurm {
		return nil
	}
	if o.shared != "" && !filepath.IsAbs(o.shared) {
		return usage("give its whole path", "--shared %s: nodes look for it elsewhere", o.shared)
	}
	_, err := slurm.Installed().Nodes(ctx, o.partition)
	if errors.Is(err, slurm.ErrAway) {
		return nil
	}
	return err
}

// slurmFor is the engine of a batch on Slurm, as far as it is needed to find its jobs.
func (o *engineOptions) slurmFor(b *batch.Batch) *onslurm.Engine {
	// batches of one name, from several machines or of several times, are several
	sum := sha256.Sum256([]byte(b.Path("") + b.Created.UTC().Format(time.RFC3339Nano)))
	name := "nsbuild-" + b.Name + "-" + hex.EncodeToString(sum[:3])
	dir := b.Path("slurm")
	if o.shared != "" {
		dir = filepath.Join(o.shared, name)
	}
	e := &onslurm.Engine{Client: slurm.Installed(),
		Options: onslurm.Options{Name: name, Dir: dir, Partition: o.partition}}
	for _, one := range []struct{ name, value string }{{"partition", o.partition},
		{"constraint", o.constraint}} {
		if one.value != "" {
			e.Sbatch = append(e.Sbatch, "--"+one.name+"="+one.value)
		}
	}
	e.Sbatch = append(e.Sbatch, o.sbatch...)
	return e
}

// engineFor is what does the builds of a batch, and how many at a time; end is called when the
// batch has ended, for now or for good.
func (x *batchRun) engineFor(ctx context.Context, b *batch.Batch, o *engineOptions,
	set *pflag.FlagSet) (engine batch.Engine, room batch.Room, end func(), err error) {
	if b.Engine != engineSlurm {
		have, err := budget.Read()
		return batch.InProcess(x.build), batch.Room{Builds: x.builds, Memory: have.Memory},
			func() {}, err
	}
	e := o.slurmFor(b)
	e.Warn = x.env.Log.Warnf
	if e.Command, err = x.nodeCommand(o, set); err != nil {
		return nil, room, nil, err
	}
	s := &slurmed{batchRun: x, engine: e}
	e.Plan, e.Ended = s.plan, s.ended
	have, err := budget.Read()
	if err == nil {
		err = e.Open(ctx, have.Builds())
	}
	if err != nil {
		return nil, room, nil, err
	}
	if x.buildFlags.jobsAtOnce == "auto" {
		x.builds = jobsInSlurm
	}
	return e, batch.Room{Builds: x.builds, Apart: true}, func() {
		e.Close()
		if n := e.Going(); n > 0 {
			x.env.Log.Warnf("%s in Slurm; nsbuild batch cancel %s ends that",
				fault.Count(n, "job goes on", "jobs go on"), b.Name)
		}
	}, nil
}

const (
	// jobsInSlurm is how many jobs of a batch are submitted at a time, those that run among them.
	jobsInSlurm = 1000
	// timeBeside is what a job may take beyond --timeout: to fetch and to install.
	timeBeside = 30 * time.Minute
)

// nodeCommand are the words of a job's shell that build a plan.
func (x *batchRun) nodeCommand(o *engineOptions, set *pflag.FlagSet) (
	func(j batch.Job, planFile, resultFile string) string, error) {
	program := o.program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	options := []string{"--quiet", "--output=" + x.request.Output}
	for _, option := range typed(set) {
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "--"), "=")
		switch {
		case slices.Contains([]string{"output", "jobs-at-once", "verbose", "debug", "quiet"}, name):
		case pkgbuild.BesidePlan(name):
			options = append(options, option)
		}
	}
	for _, one := range []struct{ name, value string }{{"state-dir", x.stateDir},
		{"cache-dir", x.cacheDir}, {"cache-limit", x.cacheLimit}} {
		if one.value != "" {
			options = append(options, "--"+one.name+"="+one.value)
		}
	}
	return func(j batch.Job, planFile, resultFile string) string {
		words := []string{quoted(program), "build", quoted(planFile),
			quoted("--result=" + resultFile)}
		for _, option := range options {
			words = append(words, quoted(option))
		}
		for _, option := range j.Options { // of this source alone
			name, _, _ := strings.Cut(strings.TrimPrefix(option, "--"), "=")
			if pkgbuild.BesidePlan(name) {
				words = append(words, quoted(option))
			}
		}
		for _, option := range o.node {
			words = append(words, expanded(option))
		}
		return strings.Join(words, " ")
	}, nil
}

// quoted is a word as a shell takes it.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// expanded is a word in which a shell puts in variables.
func expanded(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`").Replace(word) + `"`
}

// slurmed is a batch that runs on Slurm.
type slurmed struct {
	*batchRun
	engine *onslurm.Engine
}

// plan plans a build. What cannot be planned has ended.
func (s *slurmed) plan(ctx context.Context, j batch.Job, file string) (p onslurm.Planned,
	ended *batch.Ended, err error) {
	made, ended, err := s.planOf(ctx, j, s.engine.CPUs())
	if made == nil {
		return p, ended, err
	}
	if err := plan.Write(file, made); err != nil {
		return p, nil, err
	}
	p = onslurm.Planned{CPUs: 1, Memory: made.Limits.Memory}
	if r, err := s.requestOf(j); err == nil && r.Timeout > 0 {
		p.Time = r.Timeout + timeBeside
	}
	for _, option := range made.Target.Options {
		if n, ok := strings.CutPrefix(option, "parallel="); ok {
			if p.CPUs, err = strconv.Atoi(n); err != nil || p.CPUs < 1 {
				p.CPUs = 1
			}
		}
	}
	return p, nil, nil
}

// planOf is the plan of a build. One that cannot be made is how the try has ended. Where nobody has
// said how many processes the build has, it has so many jobs; 0: as this machine has them.
func (x *batchRun) planOf(ctx context.Context, j batch.Job, jobs int) (*plan.Plan, *batch.Ended,
	error) {
	r, err := x.requestOf(j)
	if err != nil {
		return nil, nil, err
	}
	if r.Jobs == 0 && jobs > 0 && !slices.ContainsFunc(r.Options, func(word string) bool {
		return strings.HasPrefix(word, "parallel=")
	}) {
		r.Jobs = jobs
	}
	p, err := x.env.PlanOneOf(ctx, r)
	if err == nil {
		return p, nil, nil
	}
	if ctx.Err() != nil {
		return nil, nil, err
	}
	out := pkgbuild.Unbegun(program(), r, err).Result
	e := batch.EndedAs(out)
	e.Transient = pkgbuild.Transient(err)
	if err := result.Write(j.Result, out); err != nil {
		return nil, nil, err
	}
	e.Result = j.Result
	x.tellResult(j, out)
	return nil, e, nil
}

// ended tells of a build that has ended on a node.
func (s *slurmed) ended(j batch.Job, r *result.Result) { s.tellResult(j, r) }

// tellResult tells of a build by its result: of one that failed, why.
func (x *batchRun) tellResult(j batch.Job, r *result.Result) {
	x.telling.Lock()
	defer x.telling.Unlock()
	if x.events != nil {
		x.tellJSON(&pkgbuild.Outcome{Result: r})
	}
	e := batch.EndedAs(r)
	if e.Good() {
		return
	}
	err := fault.Wrap(fault.Attempted, e.Hint, errors.New(e.Error))
	if x.events != nil {
		x.errorJSON(j.Spec, err)
	}
	out := x.env.Progress.Writer()
	fmt.Fprint(out, errorText(j.Spec+": ", err))
	for _, c := range r.Outcome.Causes[:min(1, len(r.Outcome.Causes))] {
		fmt.Fprintf(out, "%s: %s (line %d)\n", buildlog.VisibleString(c.Kind),
			buildlog.VisibleString(c.Text), c.Line)
	}
}

// cancelEngine ends what goes on of a batch without any process here.
func cancelEngine(ctx context.Context, b *batch.Batch) error {
	if b.Engine != engineSlurm {
		return nil
	}
	e := (&engineOptions{}).slurmFor(b)
	e.Warn = func(string, ...any) {}
	return e.Cancel(ctx)
}
