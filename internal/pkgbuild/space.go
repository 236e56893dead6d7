package pkgbuild

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// What How.Scratch may be.
const (
	// a tmpfs where what the build needs is likely to fit, and again on disk when it did not
	ScratchAuto  = "auto"
	ScratchTmpfs = "tmpfs" // a tmpfs, whatever is likely
	ScratchDisk  = "disk"  // below the state directory
	ScratchCopy  = "copy"  // as auto, and the tree that is built in is a plain copy, no overlay
)

// place is where a build's upper directories are kept.
type place struct {
	dir   string // on disk; "" for a tmpfs
	limit int64  // of the tmpfs, in bytes
	give  func() // the memory back that was set aside
}

// choosePlace decides where upper directories are kept: on a tmpfs when what the build needs is
// likely to fit into the memory that it may take, else on disk.
func (b *builder) choosePlace(how how) (place, error) {
	kind := b.o.Scratch
	if kind == ScratchDisk || how.disk {
		return b.diskScratch()
	}
	// a limit counts what is on the tmpfs, too
	limit, give, err := b.env.shared.memory.take(b.o.ScratchSize, b.o.Limits.Memory/2)
	if err != nil {
		return place{}, err
	}
	if kind == ScratchTmpfs && limit > 0 || b.expectedSpace(how.plain) <= limit {
		return place{limit: limit, give: give}, nil
	}
	give()
	if kind == ScratchTmpfs {
		return place{}, fault.New(fault.GivenBack, "use --scratch auto, or fewer builds at once",
			"there is no memory left for another tmpfs")
	}
	return b.diskScratch()
}

func (b *builder) diskScratch() (place, error) {
	dir, err := b.env.Work.Make("upper-")
	return place{dir: dir, give: func() {}}, err
}

// memory is what the tmpfs of all builds of this process may take together: half of what was free
// when the first began. The rest is for what runs in them.
type memory struct {
	mu     sync.Mutex
	shares int   // how many builds there may be at a time; 0 means one
	total  int64 // 0: not yet asked for
	taken  int64
}

// divide says how many builds share the memory.
func (m *memory) divide(shares int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = shares
}

// take sets memory aside for one tmpfs: as much as was asked for, else a share, which most bounds
// unless it is 0. It gives 0 when that is not there.
func (m *memory) take(asked, most int64) (limit int64, give func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.total == 0 {
		b, err := budget.Read()
		if err != nil {
			return 0, nil, err
		}
		m.total = b.Scratch()
	}
	limit = m.total / int64(max(1, m.shares))
	switch {
	case asked > 0:
		limit = asked
	case most > 0:
		limit = min(limit, most)
	}
	if limit > m.total-m.taken {
		return 0, func() {}, nil
	}
	m.taken += limit
	return limit, sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.taken -= limit
	}), nil
}

// need is what a build has taken, kept for the next one of the same source.
type need struct {
	Version      string    `json:"version"`
	Date         time.Time `json:"date"`
	Tree         int64     `json:"tree"`         // bytes at most, beyond the dependencies
	Dependencies int64     `json:"dependencies"` // bytes of the installed build dependencies
}

// needFile is where the need of a source is kept.
func (b *builder) needFile(name string) string {
	return filepath.Join(b.env.CacheDir, "needs", filepath.Base(name)+".json")
}

// lastNeed is what is known of the last build of this source; zero when nothing is.
func (b *builder) lastNeed(name string) (last need) {
	data, err := os.ReadFile(b.needFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return need{}
	}
	if err == nil {
		err = json.Unmarshal(data, &last)
	}
	if err != nil {
		b.env.Log.Debugf("what the last build of %s needed is not known: %v", name, err)
		return need{}
	}
	return last
}

// describeSpace says in the log where the build writes, and what it is likely to take there.
func (at *attempt) describeSpace() {
	at.log.Subsection("Check disk space")
	where := "The build writes to disk"
	if at.onTmpfs() {
		where = fmt.Sprintf("The build writes to a tmpfs of %d MiB", at.place.limit>>20)
	}
	at.log.Printf("%s; with its dependencies about %d MiB are expected.", where,
		at.expectedSpace(at.plain)>>20)
}

// expectedSpace is what a build is likely to write, in bytes: what the last one of this source did
// and a quarter more, else a guess. A compressed source grows tenfold when it is unpacked, and
// about as much again when it is built; dependencies come on top.
func (b *builder) expectedSpace(plain bool) int64 {
	const factor, dependencies, base = 40, 1 << 30, 512 << 20
	if plain {
		return b.expectedBesides(factor, dependencies) + base
	}
	return b.expectedBesides(factor, dependencies)
}

// expectedBesides is what is expected besides a copy of the base.
func (b *builder) expectedBesides(factor, dependencies int64) int64 {
	name, _ := b.in.Identity()
	if last := b.lastNeed(name); last.Tree > 0 {
		return last.Tree + last.Tree/4 + last.Dependencies
	}
	if b.in.DSC == nil {
		return dependencies
	}
	var size int64
	for _, f := range b.in.DSC.Files {
		size += f.Size
	}
	return size*factor + dependencies
}

// rememberNeed keeps what this build has taken. That it cannot be kept does not harm the build.
func (b *builder) rememberNeed(n need) {
	if n.Tree <= 0 {
		return
	}
	n.Version, n.Date = b.header.Version, time.Now().UTC().Truncate(time.Second)
	file := b.needFile(b.header.Package)
	data, err := json.Marshal(n)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = atomicfile.Write(file, data, atomicfile.Options{Prefix: ".new-"})
	}
	if err != nil {
		b.env.Log.Debugf("remembering what the build needed: %v", err)
	}
}

// sampled is how often a watch looks: what fills a scratch and empties it again within less is
// betrayed by the log.
const sampled = 200 * time.Millisecond

// watch looks at the room that a build's scratch has, all the time: a compiler that met the end
// deletes what it has written, and afterwards there is room again.
type watch struct {
	space jails.Room
	stop  chan struct{}
	ended chan struct{}

	mu     sync.Mutex
	full   bool
	before int64 // used when the build jail began
	peak   int64 // used at most since then
	total  int64
	err    error
}

func watchSpace(h jails.Holder) (*watch, error) {
	space, err := h.Room()
	if err != nil {
		return nil, err
	}
	w := &watch{space: space, stop: make(chan struct{}), ended: make(chan struct{})}
	w.look()
	go func() {
		defer close(w.ended)
		t := time.NewTicker(sampled)
		defer t.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-t.C:
				w.look()
			}
		}
	}()
	return w, nil
}

func (w *watch) look() {
	now, err := w.space.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
		return
	}
	w.total = now.Total
	w.full = w.full || now.Full()
	w.peak = max(w.peak, now.Used())
}

// begin sets off what was used before from what is used from now on.
func (w *watch) begin() {
	now, err := w.space.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
	w.before, w.peak = now.Used(), now.Used()
}

// wasFull tells whether the scratch was ever full.
func (w *watch) wasFull() bool {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full
}

// grown is how much was written at most since begin, and how much was there before.
func (w *watch) grown() (tree, before int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak - w.before, w.before
}

func (w *watch) close() error {
	close(w.stop)
	<-w.ended
	return errors.Join(w.err, w.space.Close())
}

// errFull means that a build failed because its scratch was full.
var errFull = errors.New("the scratch is full")

// spaceRanOut tells whether a failed stage failed for want of space: the scratch was seen full, or
// the log says so. What the log says once the package is built, it says of that.
func (at *attempt) spaceRanOut(s stage) bool {
	if at.watch == nil {
		return false
	}
	if at.watch.wasFull() {
		return true
	}
	if s.after {
		return false
	}
	for _, c := range at.log.Explain() {
		// A test of how a program bears a full disk says so, too; on disk it is told from ours by
		// the room there is.
		if c.Kind == buildlog.KindDiskFull && c.Line.Number > at.begun && at.onTmpfs() {
			return true
		}
	}
	return false
}

func (at *attempt) onTmpfs() bool {
	return at.place.dir == "" && at.holder.Scratch() != sandbox.ScratchDisk
}

// fullScratch is the error that stands for a scratch that filled up.
func (at *attempt) fullScratch(failed error) error {
	hint := fmt.Sprintf("free some space under %s, or choose another place with --state-dir",
		at.env.StateDir)
	where := "the disk of " + at.env.StateDir
	if at.onTmpfs() {
		hint = "use --scratch auto or --scratch disk, or a larger --scratch-size"
		where = fmt.Sprintf("the tmpfs of %d MiB", at.place.limit>>20)
	}
	return &stageError{buildlog.StageCheckSpace,
		fault.Wrap(fault.GivenBack, hint, fmt.Errorf("%w: %s: %w", errFull, where, failed))}
}

// noteNeed remembers what this build took, for the choice of the next one's scratch. On disk only
// what is left at the end is known, which may be much less than the most there was: then the last
// need stays where it was larger.
func (at *attempt) noteNeed() {
	n := need{Tree: at.summary.Space << 10}
	if at.watch != nil && at.onTmpfs() {
		var before int64
		if n.Tree, before = at.watch.grown(); at.deps.Layer == nil {
			n.Dependencies = before
		}
	} else {
		n.Tree = max(n.Tree, at.overflowed, at.lastNeed(at.header.Package).Tree)
	}
	if size := at.deps.Size(); size > 0 {
		n.Dependencies = size
	}
	at.rememberNeed(n)
}
