package batch

import (
	"context"
	"path/filepath"
	"time"

	"nsbuild/internal/fault"
)

// publisher has what was built be published, all that waits for it at once.
type publisher struct {
	waiting   []int // items that are built
	under     []int // that are being published
	began     time.Time
	notBefore time.Time  // is the next one begun
	failures  int        // one after the other
	failed    error      // why the last one failed
	done      chan error // of the one under way; nil: there is none
}

// A publication writes the whole index: it is not to take more than a tenth of the time.
const (
	publishPause = 2 * time.Second // at least between two
	publishShare = 9               // so many times as long as the last one took
)

// publishable tells whether an item's packages are to be published, and are not yet.
func (it *Item) publishable() bool {
	return it.Phase == Finished && it.Last.Status == Successful && !it.Published &&
		it.Baseline == 0 && len(it.debs()) > 0
}

// debs are the packages that an item has built.
func (it *Item) debs() (files []string) {
	for _, file := range it.Last.Artefacts {
		if filepath.Ext(file) == ".deb" {
			files = append(files, file)
		}
	}
	return files
}

// startPublisher has what was built before be published, too.
func (x *run) startPublisher() {
	if x.Publish == nil {
		return
	}
	for i := range x.Items {
		x.toPublish(i)
	}
}

// toPublish has an item be published some time.
func (x *run) toPublish(item int) {
	if x.Publish != nil && x.Items[item].publishable() {
		x.publisher.waiting = append(x.publisher.waiting, item)
	}
}

// publish begins to publish what waits for that. last says that nothing is built any more.
func (x *run) publish(ctx context.Context, last bool) {
	p := &x.publisher
	if p.done != nil || len(p.waiting) == 0 || ctx.Err() != nil {
		return
	}
	now := time.Now()
	if now.Before(p.notBefore) && (!last || p.failures > 0) {
		return
	}
	var files []string
	for _, item := range p.waiting {
		files = append(files, x.Items[item].debs()...)
	}
	p.under, p.waiting, p.began = p.waiting, nil, now
	done := make(chan error, 1)
	p.done = done
	go func() { done <- x.Publish(ctx, files) }()
}

// published notes how a publication has ended.
func (x *run) published(ctx context.Context, err error) error {
	p := &x.publisher
	items := p.under
	p.under, p.done = nil, nil
	if err != nil {
		p.waiting = append(items, p.waiting...)
		if ctx.Err() == nil {
			p.failures, p.failed = p.failures+1, err
			p.notBefore = time.Now().Add(pause(min(p.failures, GivenBackTries)))
		}
		return nil
	}
	p.failures, p.failed = 0, nil
	now := time.Now()
	p.notBefore = now.Add(max(publishPause, publishShare*now.Sub(p.began)))
	numbers := make([]int, 0, len(items))
	for _, item := range items {
		numbers = append(numbers, item+1)
	}
	return x.append(record{Kind: kindPublished, Items: numbers})
}

// unpublished is the error of a batch whose packages cannot be published; nil while that is tried.
func (x *run) unpublished() error {
	p := &x.publisher
	if p.failures < GivenBackTries || p.done != nil {
		return nil
	}
	return fault.New(fault.Internal, "nsbuild batch resume "+x.Name+" publishes them", "%s: %w",
		fault.Count(len(p.waiting), "build is not published", "builds are not published"), p.failed)
}

// publishing tells whether something is being published, or is to be.
func (x *run) publishing() bool { return x.publisher.done != nil || len(x.publisher.waiting) > 0 }

// drainPublisher waits for the publication under way, which ends with its context.
func (x *run) drainPublisher(ctx context.Context) error {
	if x.publisher.done == nil {
		return nil
	}
	return x.published(ctx, <-x.publisher.done)
}
