package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
)

// journalName is the file of a batch that tells of it: a line of JSON for each thing that has
// happened, appended and synced. Who works on the batch has it locked.
const journalName = "journal.jsonl"

var errHeld = flock.ErrHeld

// record is a line of the journal.
type record struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	PID     int       `json:"pid,omitempty"`     // of a batch that is begun, or gone on with
	Head    *Head     `json:"head,omitempty"`    // of a batch that is begun
	Item    int       `json:"item,omitempty"`    // from 1 on
	Ended   *Ended    `json:"ended,omitempty"`   // of a try
	Items   []int     `json:"items,omitempty"`   // that are to be tried again, or are published
	Sources []Source  `json:"sources,omitempty"` // that are added
}

// The kinds.
const (
	kindBatch     = "batch"
	kindResumed   = "resumed"
	kindStarted   = "started"
	kindEnded     = "ended"
	kindAgain     = "again"
	kindCancelled = "cancelled"
	kindAdded     = "added"
	kindPublished = "published"
)

// journal is one that is open for appending.
type journal struct {
	file  *os.File
	whole int64 // bytes of lines that are whole
}

func createJournal(path string) (*journal, error) {
	f, err := flock.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, flock.Exclusive)
	if err != nil {
		return nil, err
	}
	return &journal{file: f}, nil
}

func openJournal(path string) (*journal, error) {
	f, err := flock.Open(path, os.O_RDWR, flock.Exclusive)
	if err != nil {
		return nil, err
	}
	return &journal{file: f}, nil
}

func held(path string) (bool, error) {
	f, err := flock.Open(path, os.O_RDONLY, flock.Shared)
	if errors.Is(err, errHeld) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, flock.Close(f)
}

// toEnd cuts off half a line, which a kill has left, and goes where the next one comes.
func (j *journal) toEnd() error {
	if err := j.file.Truncate(j.whole); err != nil {
		return err
	}
	_, err := j.file.Seek(j.whole, io.SeekStart)
	return err
}

func (j *journal) append(line []byte) error {
	n, err := j.file.Write(line)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil && n > 0 { // a full disk: half a line is none
		err = errors.Join(err, j.toEnd())
	}
	if err == nil {
		j.whole += int64(n)
	}
	return err
}

func (j *journal) close() error { return flock.Close(j.file) }

// append has something happen.
func (b *Batch) append(r record) error {
	if r.Time.IsZero() {
		r.Time = time.Now().UTC()
	}
	if b.journal != nil {
		line, err := json.Marshal(r)
		if err == nil {
			err = b.journal.append(append(line, '\n'))
		}
		if err != nil {
			return fault.Wrap(fault.Internal, "make room, or have the directory be there again; then "+
				"nsbuild batch resume "+b.Name+" goes on",
				fmt.Errorf("writing the journal of the batch: %w", err))
		}
	}
	return b.apply(&r)
}

// maxLine is more than a line has: that of a batch of all of Debian has some MiB.
const maxLine = 256 << 20

// replay has everything happen that the journal tells.
func (b *Batch) replay(f *os.File) error {
	in := bufio.NewReaderSize(f, 1<<20)
	var whole int64
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // of half a line nothing has happened
		}
		if err == nil && len(line) > maxLine {
			err = errors.New("it is longer than any line of a journal")
		}
		if err == nil {
			err = b.replayLine(n, bytes.TrimSpace(line))
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", f.Name(), n, err)
		}
		whole += int64(len(line))
	}
	if b.journal != nil {
		b.journal.whole = whole
	}
	if b.Items == nil {
		return fmt.Errorf("%s: it has no batch", f.Name())
	}
	return nil
}

func (b *Batch) replayLine(n int, line []byte) error {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	if (n == 1) != (r.Kind == kindBatch) {
		return errors.New("it is damaged: the batch is its first line")
	}
	return b.apply(&r)
}

// apply is what follows from a line of the journal.
func (b *Batch) apply(r *record) error {
	switch r.Kind {
	case kindBatch:
		if r.Head == nil {
			return errors.New("it is damaged: it does not say what is to be built")
		}
		if r.Head.Schema != Schema {
			return fault.New(fault.Internal, "go on with it by "+r.Head.Program+", which has begun it; "+
				"or begin another batch", "its format is %d, and this nsbuild has %d",
				r.Head.Schema, Schema)
		}
		b.Head, b.PID = *r.Head, r.PID
		b.Items = make([]Item, len(r.Head.Sources))
		for i, s := range r.Head.Sources {
			b.Items[i] = newItem(s)
		}
		return b.checkOrder()
	case kindResumed:
		b.PID = r.PID
		b.interrupt()
		b.trustClock(r.Time)
		return nil
	case kindCancelled:
		b.Cancelled = true
		return nil
	case kindAdded:
		return b.add(r.Sources)
	case kindAgain:
		b.Cancelled = false
		return b.each(r.Items, func(it *Item) {
			it.Phase, it.givenBack, it.notBefore = Waiting, 0, time.Time{}
		})
	case kindPublished:
		return b.each(r.Items, func(it *Item) { it.Published = true })
	case kindStarted:
		return b.each([]int{r.Item}, func(it *Item) {
			it.Began, it.Tries = r.Time, it.Tries+1
			it.suspected = it.Phase == Suspect
			it.Phase = Running
		})
	case kindEnded:
		if r.Ended == nil {
			return errors.New("it is damaged: it does not say how the try has ended")
		}
		return b.each([]int{r.Item}, func(it *Item) { it.ended(r.Time, r.Ended) })
	}
	return fmt.Errorf("%q is not known: a later version of nsbuild has written it", r.Kind)
}

// checkOrder refuses sources that need each other, or none that there is: they would wait for ever.
func (b *Batch) checkOrder() error {
	after := make([][]int, len(b.Items))
	for i := range b.Items {
		it := &b.Items[i]
		for _, j := range it.Needs {
			if j < 0 || j >= len(b.Items) || j == i {
				return fmt.Errorf("it is damaged: %s needs source %d", it.Spec, j)
			}
		}
		after[i] = it.Needs
	}
	if found := cycles(after); len(found) > 0 {
		return fmt.Errorf("it is damaged: %s needs itself", b.Items[found[0][0]].Spec)
	}
	return nil
}

// each has something happen to items, which are counted from 1 on.
func (b *Batch) each(items []int, do func(*Item)) error {
	for _, n := range items {
		if n < 1 || n > len(b.Items) {
			return fmt.Errorf("it is damaged: there is no source %d", n)
		}
		do(&b.Items[n-1])
	}
	return nil
}
