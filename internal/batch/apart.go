package batch

import (
	"os"
	"time"

	"nsbuild/internal/fault"
)

// Ready are the tries that can be begun now, whoever does them; none of them has begun for it. What
// was under way is so no more.
func (b *Batch) Ready() ([]Job, error) {
	if b.Cancelled {
		return nil, b.cancelled()
	}
	if err := b.append(record{Kind: kindResumed, PID: os.Getpid()}); err != nil {
		return nil, err
	}
	x := &run{Batch: b}
	if err := x.block(); err != nil {
		return nil, err
	}
	var all []Job
	q := newQueue(b.Items)
	for i := range b.Items {
		it := &b.Items[i]
		if (it.Phase == Waiting || it.Phase == Suspect) && q.wait[i] == 0 {
			all = append(all, Job{Item: i, Spec: it.Spec, Try: it.Tries + 1,
				Alone: it.Phase == Suspect, Result: b.ResultFile(i, it.Tries+1),
				Memory: it.memory(), Packages: b.packages(i),
				Options: it.Options})
		}
	}
	return all, nil
}

// cancelled is the error of who goes on with a batch that was cancelled.
func (b *Batch) cancelled() error {
	return fault.New(fault.Usage, "nsbuild batch retry "+b.Name+" begins again what is not built",
		"the batch %s was cancelled", b.Name)
}

// Record has a try have been done, by somebody else, from a time until another. One that the
// journal has already is left, and so is one that is not the next.
func (b *Batch) Record(j Job, began, ended time.Time, e *Ended) (taken bool, err error) {
	if j.Item < 0 || j.Item >= len(b.Items) {
		return false, nil
	}
	it := &b.Items[j.Item]
	if it.Phase == Finished || it.Phase == Running || j.Try != it.Tries+1 {
		return false, nil
	}
	err = b.append(record{Time: began.UTC(), Kind: kindStarted, Item: j.Item + 1})
	if err == nil {
		err = b.append(record{Time: ended.UTC(), Kind: kindEnded, Item: j.Item + 1, Ended: e})
	}
	if err == nil {
		err = (&run{Batch: b}).block()
	}
	return err == nil, err
}
