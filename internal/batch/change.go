package batch

import (
	"errors"
	"fmt"
	"io/fs"

	"nsbuild/internal/fault"
)

// Change is what the sources of a batch are built with, to see what that does to them. A source
// that is not built with it may have a baseline: an item of its own, which is built without it.
type Change struct {
	Sources  []string  `json:"sources"` // whose packages these are
	Packages []Changed `json:"packages"`
	Compare  bool      `json:"compare,omitempty"` // each source has a baseline, to be compared with
	Tests    bool      `json:"tests,omitempty"`   // the sources' own tests count, too
}

// Changed is a package of a change.
type Changed struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"` // of its .deb file, absolute
	SHA256  string `json:"sha256"`
}

// Paths are those of the packages.
func (c *Change) Paths() (all []string) {
	for _, p := range c.Packages {
		all = append(all, p.Path)
	}
	return all
}

// Check refuses packages that are no longer those with which the batch was begun. digest is the
// SHA-256 of a file.
func (c *Change) Check(digest func(path string) (sum string, size int64, err error)) error {
	for _, p := range c.Packages {
		const hint = "put back the one that the batch was begun with, or begin another batch"
		got, _, err := digest(p.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fault.New(fault.Usage, hint, "there is no %s any more", p.Path)
		case err != nil:
			return fmt.Errorf("the changed package %s: %w", p.Path, err)
		case got != p.SHA256:
			return fault.New(fault.Usage, hint, "%s is another package by now", p.Path)
		}
	}
	return nil
}

// Comparison is how the packages of a baseline differ from those that were built with the change.
type Comparison struct {
	Status  string   `json:"status"` // same, differs, failed
	Summary []string `json:"summary,omitempty"`
}

// Verdict is what a change does to a source.
type Verdict string

// The verdicts.
const (
	Pending   Verdict = "pending"   // it is not known yet
	Fine      Verdict = "fine"      // it is built with the change
	Untouched Verdict = "untouched" // it is built, but none of the changed packages was installed
	Breaks    Verdict = "breaks"    // it is built without the change alone
	Before    Verdict = "before"    // it is built neither with the change nor without
	Mends     Verdict = "mends"     // it is built with the change alone
	Undecided Verdict = "undecided" // a build could not be begun, for other reasons than packages
	NotBuilt  Verdict = "skipped"   // it has nothing for this architecture
)

// Well tells whether a try came to all that was asked for, tests included.
func (e *Ended) Well() bool { return e.Good() && e.Tests != testsFailed }

// Decides tells whether it says something about the packages that a try was made with. A mirror
// that is away does not, nor does a failure of nsbuild's.
func (e *Ended) Decides() bool {
	return e.Good() || e.Status == Attempted ||
		e.Status == GivenBack && !e.Transient && e.Stage == stageDeps
}

// stageDeps is where a build is given back since its build dependencies cannot be installed.
const stageDeps = "install-deps"

// testsFailed is the outcome of a source's tests that counts as a failure.
const testsFailed = "fail"

// Verdicts are what the change does to each source that is built with it, by the items from 0 on.
// Those of the baselines are "".
func (b *Batch) Verdicts() []Verdict {
	all := make([]Verdict, len(b.Items))
	for i := range b.Items {
		if b.Items[i].Baseline == 0 {
			all[i] = b.verdict(i)
		}
	}
	return all
}

func (b *Batch) verdict(item int) Verdict {
	with := &b.Items[item]
	base := b.BaselineOf(item)
	known := base != nil && base.Phase == Finished
	switch {
	case with.Phase != Finished:
		return Pending
	case with.Last.Status == Skipped:
		return NotBuilt
	case !with.Last.Decides():
		return Undecided
	case with.Last.Well() && known && !base.Last.Well() && base.Last.Decides():
		return Mends
	case with.Last.Well() && with.Last.Installed && len(with.Last.With) == 0:
		return Untouched
	case with.Last.Well():
		return Fine
	case with.Last.Installed && len(with.Last.With) == 0:
		return Before // it is as without the change
	case base == nil || !known:
		return Pending
	case base.Last.Well():
		return Breaks
	case !base.Last.Decides():
		return Undecided
	}
	return Before
}

// BaselineOf is the item of a source's build without the change; nil: there is none.
func (b *Batch) BaselineOf(item int) *Item {
	for i := range b.Items {
		if b.Items[i].Baseline == item+1 {
			return &b.Items[i]
		}
	}
	return nil
}

// NeedsBaseline tells whether it has to be known how a source is built without the change: where it
// is not built with it, or both are to be compared.
func (b *Batch) NeedsBaseline(item int) bool {
	it := &b.Items[item]
	if b.Change == nil || it.Baseline != 0 || it.Phase != Finished || it.Last.Status == Skipped ||
		b.BaselineOf(item) != nil || !it.Last.Decides() {
		return false
	}
	if it.Last.Well() {
		return b.Change.Compare
	}
	return !it.Last.Installed || len(it.Last.With) > 0
}

// follow adds to the batch what has to be built since an item has ended: see Runner.Finished. Of
// the baselines it is the one place that begins any.
func (x *run) follow(item int) error {
	if x.Finished == nil || x.Items[item].Phase != Finished {
		return nil
	}
	added := x.Finished(x.Batch, item)
	if len(added) == 0 {
		return nil
	}
	if err := x.append(record{Kind: kindAdded, Sources: added}); err != nil {
		return err
	}
	x.queue = newQueue(x.Items)
	return nil
}

// followAll is follow for what had ended before the batch was gone on with.
func (x *run) followAll() error {
	for i := range len(x.Items) {
		if err := x.follow(i); err != nil {
			return err
		}
	}
	return nil
}

// add has sources become items of the batch.
func (b *Batch) add(sources []Source) error {
	for _, s := range sources {
		if s.Baseline < 0 || s.Baseline > len(b.Items) || len(s.Needs) > 0 {
			return fmt.Errorf("it is damaged: %s is the baseline of source %d", s.Spec, s.Baseline)
		}
		b.Items = append(b.Items, newItem(s))
	}
	return nil
}
