package batch

import (
	"container/heap"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"nsbuild/internal/fault"
)

// Room is what builds may take together.
type Room struct {
	Builds int   // at a time
	Memory int64 // bytes; 0: as they like
	// Apart: the engine itself sees to it that what is to be built alone has a machine for itself;
	// others go on meanwhile.
	Apart bool
}

// Job is a try.
type Job struct {
	Item    int // from 0 on
	Spec    string
	Options []string // of its source alone
	Try     int
	Beside  int // how many builds may run at the same time, this one among them
	// Alone: it failed beside others, and nothing else is to run on its machine
	Alone  bool
	Result string
	// Memory is what it takes of memory, about, in bytes; 0: not known
	Memory int64
	// Packages are the .deb files of all that it needs, and of what that needs; and those of the
	// batch's change, unless it is a baseline.
	Packages []string
	// Of is how the source was built with the change; nil: this is no build without it
	Of *Ended
}

// Runner is how a batch is run.
type Runner struct {
	Room Room
	// MaxFailures ends the batch when so many builds have failed; 0: none does
	MaxFailures int
	Engine      Engine
	// Publish, when set, publishes .deb files. It is told of all that is built, several builds at a
	// time, and of the same again after a kill.
	Publish func(ctx context.Context, files []string) error
	// Changed, when set, is told after each thing that has happened, one call at a time.
	Changed func(*Batch)
	// Finished, when set, is told of each item that has ended, also of those that had before Run.
	// What it returns is built, too.
	Finished func(b *Batch, item int) []Source
}

// Run builds what is left to build, until everything has ended or the context has. The longest come
// first, so that in the end not one of them runs alone.
func (b *Batch) Run(ctx context.Context, r Runner) error {
	if b.Cancelled {
		return b.cancelled()
	}
	if err := b.append(record{Kind: kindResumed, PID: os.Getpid()}); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	x := &run{Batch: b, Runner: r, done: make(chan done), queue: newQueue(b.Items)}
	if err := x.block(); err != nil {
		return err
	}
	x.startPublisher()
	if err := x.followAll(); err != nil {
		return err
	}
	for {
		err := x.begin(ctx)
		if err == nil && x.running == 0 && (x.tooMany() || x.queue.len() == 0) {
			if x.publish(ctx, true); !x.publishing() {
				return x.enough()
			}
			err = x.unpublished()
		}
		if err == nil {
			err = x.wait(ctx)
		}
		if err != nil {
			stop(err)
			return errors.Join(err, x.drain(), x.drainPublisher(ctx))
		}
	}
}

// drain waits for what still runs, which ends with its context. What was built all the same counts.
func (x *run) drain() (err error) {
	for ; x.running > 0; x.running-- {
		if d := <-x.done; d.err == nil && d.ended != nil && d.ended.Good() && err == nil {
			err = x.append(record{Kind: kindEnded, Item: d.item + 1, Ended: d.ended})
		}
	}
	x.interrupt()
	return err
}

// tooMany tells whether so many builds have failed that no other is begun.
func (x *run) tooMany() bool { return x.MaxFailures > 0 && x.failures >= x.MaxFailures }

// enough is the error of a batch that ends before all is built.
func (x *run) enough() error {
	if !x.tooMany() || x.queue.len() == 0 {
		return nil
	}
	return fault.New(fault.Attempted, "nsbuild batch resume "+x.Name+" goes on all the same",
		"--max-failures %d: %s, and %d are left", x.MaxFailures,
		fault.Count(x.failures, "build has failed", "builds have failed"), x.queue.len())
}

// run is a batch that runs.
type run struct {
	*Batch
	Runner
	queue     *queue
	publisher publisher
	done      chan done
	running   int
	memory    int64 // of those that run
	alone     bool  // the one that runs is to be alone
	failures  int   // since it was begun
}

// done is a try that has ended.
type done struct {
	item   int
	memory int64
	ended  *Ended
	err    error // of the engine
}

// begin begins what can be begun.
func (x *run) begin(ctx context.Context) error {
	for ctx.Err() == nil && !x.tooMany() && !x.alone && x.running < max(1, x.Room.Builds) {
		item := x.next(time.Now())
		if item < 0 {
			return nil
		}
		it := &x.Items[item]
		alone := it.Phase == Suspect
		need := it.memory()
		beside := min(max(1, x.Room.Builds), x.running+1+x.queue.len())
		if alone {
			beside = 1
		}
		if err := x.append(record{Kind: kindStarted, Item: item + 1}); err != nil {
			return err
		}
		x.running++
		x.alone = alone && !x.Room.Apart
		x.memory += need
		job := Job{Item: item, Spec: it.Spec, Options: it.Options, Try: it.Tries, Beside: beside,
			Alone: alone, Memory: need, Result: x.ResultFile(item, it.Tries),
			Packages: x.packages(item)}
		if it.Baseline > 0 {
			job.Of = x.Items[it.Baseline-1].Last
		}
		crowded := x.running > 1
		go func() {
			e, err := x.Engine.Build(ctx, job)
			if e != nil {
				e.Beside = e.Beside || crowded
			}
			x.done <- done{item, need, e, err}
		}()
		x.changed()
	}
	return nil
}

// next takes the item from the queue that is to be begun now; -1: none is.
func (x *run) next(now time.Time) int {
	fits := func(item int) bool {
		return x.running == 0 || x.Room.Memory == 0 ||
			x.memory+x.Items[item].memory() <= x.Room.Memory
	}
	if item := x.queue.take(now, fits); item >= 0 {
		return item
	}
	if x.running > 0 && !x.Room.Apart {
		return -1
	}
	return x.queue.takeSuspect(now)
}

// wait waits until something has happened: a try has ended, one may be begun again, or it is all to
// end.
func (x *run) wait(ctx context.Context) error {
	x.publish(ctx, false)
	var timer <-chan time.Time
	if at := x.wakeAt(); !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return fault.Interruption(ctx, context.Cause(ctx))
	case <-timer:
		return nil
	case err := <-x.publisher.done:
		return x.published(ctx, err)
	case d := <-x.done:
		return x.ended(ctx, d)
	}
}

// wakeAt is when something may be begun again, or published; zero: when a try has ended.
func (x *run) wakeAt() (at time.Time) {
	if !x.alone && !x.tooMany() && x.running < max(1, x.Room.Builds) {
		at = x.queue.soonest(x.running == 0 || x.Room.Apart)
	}
	p := &x.publisher
	if p.done == nil && len(p.waiting) > 0 && (at.IsZero() || p.notBefore.Before(at)) {
		at = p.notBefore
	}
	return at
}

func (x *run) ended(ctx context.Context, d done) error {
	x.running--
	x.alone = false
	it := &x.Items[d.item]
	x.memory -= d.memory
	if d.err != nil {
		return d.err
	}
	if ctx.Err() != nil && !d.ended.Good() {
		return fault.Interruption(ctx, context.Cause(ctx))
	}
	if x.running > 0 {
		d.ended.Beside = true // others have run at its end, if not before
	}
	if err := x.append(record{Kind: kindEnded, Item: d.item + 1, Ended: d.ended}); err != nil {
		return err
	}
	switch {
	case it.Phase != Finished:
		x.queue.add(d.item)
	case it.Last.Good():
		x.queue.release(d.item)
		x.toPublish(d.item)
	case it.Last.Status != GivenBack:
		x.failures++
	}
	if err := x.blockAfter(d.item); err != nil {
		return err
	}
	if err := x.follow(d.item); err != nil {
		return err
	}
	x.changed()
	return nil
}

func (x *run) changed() {
	if x.Changed != nil {
		x.Changed(x.Batch)
	}
}

// block gives back what needs something that has ended without being built, and what needs that.
func (x *run) block() error {
	for i := range x.Items {
		if err := x.blockAfter(i); err != nil {
			return err
		}
	}
	return nil
}

// blockAfter does so for what needs one item.
func (x *run) blockAfter(item int) error {
	for ended := []int{item}; len(ended) > 0; {
		j := ended[0]
		ended = ended[1:]
		if need := &x.Items[j]; need.Phase != Finished || need.built() {
			continue
		}
		for _, i := range x.queue.needed[j] {
			if x.Items[i].Phase != Waiting {
				continue
			}
			e := &Ended{Status: GivenBack, Blocked: true,
				Error: x.Items[j].Spec + ", which it needs, is not built"}
			if err := x.append(record{Kind: kindEnded, Item: i + 1, Ended: e}); err != nil {
				return err
			}
			ended = append(ended, i)
		}
	}
	return nil
}

// packages are the .deb files of all that an item needs, and of what that needs.
func (b *Batch) packages(item int) (files []string) {
	seen := map[int]bool{item: true}
	todo := slices.Clone(b.Items[item].Needs)
	for len(todo) > 0 {
		j := todo[0]
		if todo = todo[1:]; seen[j] {
			continue
		}
		seen[j] = true
		todo = append(todo, b.Items[j].Needs...)
		files = append(files, b.Items[j].debs()...)
	}
	slices.Sort(files)
	if b.Change != nil && b.Items[item].Baseline == 0 {
		files = append(files, b.Change.Paths()...)
	}
	return files
}

// built tells whether others can be built with its packages.
func (it *Item) built() bool { return it.Phase == Finished && it.Last.Good() }

// Again has items be tried again which are finished, or all of them that are wanted. What could not
// be begun without them is, too.
func (b *Batch) Again(wanted func(*Item) bool) (n int, err error) {
	var items []int
	for i := range b.Items {
		if it := &b.Items[i]; it.Phase == Finished && wanted(it) {
			items = append(items, i+1)
		}
	}
	for i := range b.Items {
		if it := &b.Items[i]; it.Phase == Finished && it.Last.Blocked && len(items) > 0 &&
			!wanted(it) {
			items = append(items, i+1)
		}
	}
	if len(items) == 0 && !b.Cancelled {
		return 0, nil
	}
	return len(items), b.append(record{Kind: kindAgain, Items: items})
}

// Cancel has nothing more of the batch be built.
func (b *Batch) Cancel() error { return b.append(record{Kind: kindCancelled}) }

// queue has the items that are to be built: the longest first.
type queue struct {
	items   []Item
	wait    []int     // how many of those that each needs are not built
	needed  [][]int   // which need each
	path    []float64 // seconds; see measure
	ready   []int     // a heap
	later   []int     // that are not to be tried before some time
	suspect []int
}

func newQueue(items []Item) *queue {
	q := &queue{items: items, wait: make([]int, len(items)), needed: make([][]int, len(items))}
	for i := range items {
		for _, j := range items[i].Needs {
			q.needed[j] = append(q.needed[j], i)
			if !items[j].built() {
				q.wait[i]++
			}
		}
	}
	q.measure()
	for i := range items {
		if p := items[i].Phase; (p == Waiting || p == Suspect) && q.wait[i] == 0 {
			q.add(i)
		}
	}
	return q
}

// measure finds out how long it takes from the begin of each build to the end of all that wait for
// it.
func (q *queue) measure() {
	expect := average(q.items)
	q.path = make([]float64, len(q.items))
	for i := range q.path {
		q.path[i] = -1
	}
	var from func(int) float64
	from = func(i int) float64 {
		if q.path[i] >= 0 {
			return q.path[i]
		}
		longest := 0.0
		for _, next := range q.needed[i] {
			longest = max(longest, from(next))
		}
		own := q.items[i].seconds()
		if own == 0 {
			own = expect
		}
		q.path[i] = own + longest
		return q.path[i]
	}
	for i := range q.items {
		from(i)
	}
}

// release has those begin that waited for an item which is built.
func (q *queue) release(item int) {
	for _, i := range q.needed[item] {
		if q.wait[i]--; q.wait[i] == 0 && q.items[i].Phase == Waiting {
			q.add(i)
		}
	}
}

// average is what the builds take of which that is known.
func average(items []Item) float64 {
	var known []float64
	for i := range items {
		if s := items[i].seconds(); s > 0 {
			known = append(known, s)
		}
	}
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[len(known)/2]
}

// seconds is what the last build of a source took; 0: not known.
func (it *Item) seconds() float64 {
	if it.Last != nil && it.Last.Good() {
		return it.Last.Seconds
	}
	return it.Seconds
}

// memory is what the last build of a source took, in bytes; 0: not known.
func (it *Item) memory() int64 {
	if it.Last != nil && it.Last.Memory > 0 {
		return it.Last.Memory
	}
	return it.Memory
}

func (q *queue) add(item int) {
	switch it := &q.items[item]; {
	case it.Phase == Suspect:
		q.suspect = append(q.suspect, item)
	case !it.notBefore.IsZero():
		q.later = append(q.later, item)
	default:
		heap.Push(q, item)
	}
}

func (q *queue) len() int { return len(q.ready) + len(q.later) + len(q.suspect) }

// looked is how many are looked at for one that fits into memory: who waits for its memory must not
// be overtaken by all others.
const looked = 32

// take takes the first one that fits; -1: there is none.
func (q *queue) take(now time.Time, fits func(int) bool) int {
	q.later = slices.DeleteFunc(q.later, func(item int) bool {
		if q.items[item].notBefore.After(now) {
			return false
		}
		heap.Push(q, item)
		return true
	})
	var passed []int
	found := -1
	for len(q.ready) > 0 && len(passed) < looked {
		item, _ := heap.Pop(q).(int)
		if fits(item) {
			found = item
			break
		}
		passed = append(passed, item)
	}
	for _, item := range passed {
		heap.Push(q, item)
	}
	return found
}

// takeSuspect takes the first of those that are to be built alone; -1: there is none.
func (q *queue) takeSuspect(now time.Time) int {
	for i, item := range q.suspect {
		if !q.items[item].notBefore.After(now) {
			q.suspect = slices.Delete(q.suspect, i, i+1)
			return item
		}
	}
	return -1
}

// soonest is when the first of those may be tried again that have to wait, those that are to be
// built alone among them or not; zero: there is none.
func (q *queue) soonest(suspects bool) (at time.Time) {
	all := q.later
	if suspects {
		all = slices.Concat(all, q.suspect)
	}
	for _, item := range all {
		if t := q.items[item].notBefore; at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// The methods of heap.Interface.

func (q *queue) Len() int { return len(q.ready) }

func (q *queue) Less(i, j int) bool {
	a, b := q.ready[i], q.ready[j]
	if q.path[a] != q.path[b] {
		return q.path[a] > q.path[b]
	}
	return a < b
}

func (q *queue) Swap(i, j int) { q.ready[i], q.ready[j] = q.ready[j], q.ready[i] }
func (q *queue) Push(x any) {
	if item, ok := x.(int); ok {
		q.ready = append(q.ready, item)
	}
}

func (q *queue) Pop() any {
	last := len(q.ready) - 1
	item := q.ready[last]
	q.ready = q.ready[:last]
	return item
}

// Left is how long the rest takes, about, as long as so many builds run at a time; 0: not known.
func (b *Batch) Left(builds int, now time.Time) time.Duration {
	expect, sum := average(b.Items), 0.0
	if expect == 0 {
		return 0
	}
	for i := range b.Items {
		it := &b.Items[i]
		s := it.seconds()
		if s == 0 {
			s = expect
		}
		switch it.Phase {
		case Waiting, Suspect:
			sum += s
		case Running:
			sum += max(0, s-now.Sub(it.Began).Seconds())
		}
	}
	return time.Duration(sum / float64(max(1, builds)) * float64(time.Second))
}

// Error is what stands for all that has become of a batch: nil when everything is built.
func (b *Batch) Error() error {
	c := b.Count()
	what := func(kind fault.Kind, n int, how string) error {
		return fault.New(kind, "nsbuild batch retry "+b.Name+" tries them again",
			"%d of %d %s", n, c.Total, how)
	}
	switch {
	case c.Failed > 0 && slices.ContainsFunc(b.Items, func(it Item) bool {
		return it.Phase == Finished && it.Last.Status == Failed
	}):
		return what(fault.Internal, c.Failed, "have failed")
	case c.Failed > 0:
		return what(fault.Attempted, c.Failed, "have failed")
	case c.GivenBack > 0:
		return what(fault.GivenBack, c.GivenBack, "could not be begun")
	}
	return nil
}
