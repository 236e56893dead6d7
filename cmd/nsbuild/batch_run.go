package main

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"nsbuild/internal/bases"
	"nsbuild/internal/batch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/config"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
	"nsbuild/internal/result"
	"nsbuild/internal/scratch"
)

// needs is what earlier builds have taken.
type needs struct{ scratch.Needs }

// batches are the batches of the state directory.
func (a *app) batches() (*batch.Store, needs, error) {
	dirs, err := config.FindDirs(a.stateDir, a.cacheDir)
	return batch.In(dirs.State), needs{scratch.NeedsIn(dirs.Cache)}, err
}

// source is one of a batch, with what is known of its last build. What is damaged is not known.
func (n needs) source(spec string) batch.Source {
	name := path.Base(strings.TrimSuffix(spec, ".dsc"))
	if i := strings.IndexAny(name, "_="); i > 0 {
		name = name[:i]
	}
	last, err := n.Last(name)
	if err != nil {
		last = scratch.Need{}
	}
	memory := last.Memory
	if memory > 0 {
		memory += last.Tree // on a tmpfs
	}
	return batch.Source{Spec: spec, Seconds: last.Seconds, Memory: memory}
}

// runBatch builds what is left of a batch.
func (a *app) runBatch(ctx context.Context, set *pflag.FlagSet, of *resumed) (err error) {
	b, o := of.batch, a.buildFlags
	if !of.checked {
		if err := a.checkBatch(set, specsOf(b)); err != nil {
			return err
		}
	}
	if o.Hooks, err = o.hooks.load(hook.Build); err != nil {
		return err
	}
	o.NewBase = func(asked bases.Options) (bases.Options, error) {
		return a.createFlags.completeFor(a, asked)
	}
	o.UpdateHooks = func() (bases.Hooks, error) {
		return a.updateFlags.loadForBase(a, hook.Update)
	}
	if a.planTo != "" {
		o.Output = ""
	} else if o.Output, err = outputOf(b, o.Output); err != nil {
		return err
	}
	if err := of.repository.begin(ctx); err != nil {
		return err
	}
	if of.order == orderNeeds {
		of.repository.use(&o.Request)
	}
	env, err := a.opened(ctx) // before, where sources were looked up
	if err != nil {
		return err
	}
	x := &batchRun{app: a, env: env, request: o.Request, begun: time.Now(), change: b.Change}
	if a.planTo != "" {
		return x.planAll(ctx, b, a.planTo)
	}
	finished, err := x.followChange(ctx, b)
	if err != nil {
		return err
	}
	x.phase = env.Progress.Phase("batch " + b.Name)
	x.phase.Unit("packages")
	x.builds = o.AtOnce
	engine, room, end, err := x.engineFor(ctx, b, of.engine, set)
	if err != nil {
		x.phase.Done(err)
		return err
	}
	x.look(b)
	x.phase.Detail(x.detail)
	err = b.Run(ctx, batch.Runner{Room: room, MaxFailures: of.maxFailures, Engine: engine,
		Changed: x.changed, Publish: of.repository.publisher(), Finished: finished})
	end()
	x.look(b)
	x.phase.Done(err)
	if !a.quiet && b.Change == nil {
		fmt.Fprint(env.Progress.Writer(), batchSummary(b, o.Output))
		of.repository.tell(env.Progress.Writer())
	}
	if fault.KindOf(err) == fault.Interrupted {
		fmt.Fprintf(env.Progress.Writer(), "nsbuild batch resume %s goes on\n", b.Name)
	}
	switch {
	case b.Change != nil:
		err = cmp.Or(err, a.tellEffects(b))
	case err == nil:
		err = b.Error()
	}
	return err
}

func specsOf(b *batch.Batch) (all []string) {
	for _, it := range b.Items {
		all = append(all, it.Spec)
	}
	return all
}

// batchRun is a batch that runs.
type batchRun struct {
	*app
	env     *pkgbuild.Env
	request pkgbuild.Request // what all have in common
	begun   time.Time
	builds  int
	phase   *progress.Phase
	change  *batch.Change // nil: there is none
	known   baselines     // how sources are built without it

	mu      sync.Mutex
	telling sync.Mutex // one build at a time
	counts  batch.Counts
	left    time.Duration
	ended   int
	looked  time.Time // at the batch
	total   int
}

// requestOf is what a build is asked for with.
func (x *batchRun) requestOf(j batch.Job) (pkgbuild.Request, error) {
	r := x.request
	r.From = j.Spec
	r.Packages = slices.Concat(r.Packages, j.Packages)
	return r, withOwn(&r, j.Options)
}

// build does a build.
func (x *batchRun) build(ctx context.Context, j batch.Job) *batch.Ended {
	r, err := x.requestOf(j)
	if err != nil {
		return &batch.Ended{Status: batch.Failed, Error: err.Error()}
	}
	if j.Of != nil {
		if e := x.reuseBaseline(ctx, j); e != nil {
			return e
		}
		if err := apart(&r); err != nil {
			return &batch.Ended{Status: batch.Failed, Error: err.Error()}
		}
	}
	d := x.env.BuildOneOf(ctx, j.Beside, r, func(view *pkgbuild.Env, d *pkgbuild.Ended) {
		x.telling.Lock()
		defer x.telling.Unlock()
		x.tell(view, d)
	}, func(view *pkgbuild.Env, o *pkgbuild.Outcome) {
		x.telling.Lock()
		defer x.telling.Unlock()
		x.tellKept(view, o)
	})
	res := d.Outcome.Result
	e := batch.EndedAs(res)
	e.Stage, e.Log = d.Outcome.Stage, d.Outcome.LogPath
	e.Seconds, e.Kept, e.Transient = d.Time.Seconds(), d.Outcome.Kept, pkgbuild.Transient(d.Err)
	e.Status, e.Artefacts = string(d.Outcome.Status), d.Outcome.Artefacts
	if ctx.Err() != nil && d.Err != nil {
		return e
	}
	if err := result.Write(j.Result, res); err != nil {
		x.env.Log.Warn(err)
	} else {
		e.Result = j.Result
	}
	if x.change != nil {
		noteChange(e, res, x.change)
		x.compareBaseline(ctx, j, e)
	}
	return e
}

// tell tells of a build that has ended: of one that failed, why.
func (x *batchRun) tell(view *pkgbuild.Env, d *pkgbuild.Ended) {
	if x.events != nil {
		x.tellJSON(d.Outcome)
	}
	if d.Err == nil || fault.KindOf(d.Err) == fault.Interrupted {
		return
	}
	if x.events != nil {
		x.errorJSON(d.Name, d.Err)
	}
	out := view.Progress.Writer()
	fmt.Fprint(out, errorText(d.Name+": ", d.Err))
	for _, c := range d.Outcome.Causes[:min(1, len(d.Outcome.Causes))] {
		fmt.Fprintf(out, "%s: %s (line %d)\n", c.Label(), buildlog.VisibleString(c.Text),
			c.Line.Number)
	}
	if d.Outcome.LogPath != "" {
		fmt.Fprintln(out, ended(d.Outcome))
	}
}

// changed has the live line tell how far the batch is.
func (x *batchRun) changed(b *batch.Batch) {
	if len(b.Items) >= manyItems && time.Since(x.looked) < lookAgain {
		return
	}
	x.look(b)
}

// Of a batch of thousands not each thing that happens is looked at: all of them are counted.
const (
	manyItems = 1000
	lookAgain = 500 * time.Millisecond
)

// look has the live line tell how far the batch is now.
func (x *batchRun) look(b *batch.Batch) {
	x.looked = time.Now()
	c, left := b.Count(), b.Left(x.builds, time.Now())
	x.mu.Lock()
	defer x.mu.Unlock()
	x.phase.AddTotal(int64(c.Total - x.total)) // baselines are added meanwhile
	x.phase.Add(int64(c.Ended() - x.ended))
	x.counts, x.left, x.ended, x.total = c, left, c.Ended(), c.Total
}

// detail is what the live line says.
func (x *batchRun) detail() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Join(countsText(x.counts, x.left), ", ")
}

// countsText are the numbers of a batch that are not 0.
func countsText(c batch.Counts, left time.Duration) (all []string) {
	for _, n := range []struct {
		count int
		what  string
	}{{c.Successful, "successful"}, {c.Skipped, "skipped"}, {c.Failed, "failed"},
		{c.GivenBack, "given back"}, {c.Running, "running"}, {c.Waiting, "waiting"}} {
		if n.count > 0 {
			all = append(all, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if left > 0 && !c.Over() {
		all = append(all, "about "+left.Round(time.Second).String()+" left")
	}
	return all
}
