// Package batch is what is known of builds of many sources: which ones there are, what has become
// of each, and what comes next. A journal on disk has all of it, so that a batch goes on after
// whoever ran it was killed.
//
// How a source is built is left to the caller, and so is what people are shown.
package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
)

// Schema is the number of the journal's format that this package writes.
const Schema = 1

// Head is a batch as it is asked for. It does not change.
type Head struct {
	Schema  int       `json:"schema"`
	Program string    `json:"program"` // "nsbuild 0.1.0"
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Dir     string    `json:"dir"`    // that paths start from
	Output  string    `json:"output"` // directory for results and logs, absolute
	Options []string  `json:"options,omitempty"`
	// Engine does the builds; "": this process
	Engine  string   `json:"engine,omitempty"`
	Sources []Source `json:"sources"`
	Change  *Change  `json:"change,omitempty"` // nil: the sources are built as they are
}

// Source is one that is to be built.
type Source struct {
	Spec string `json:"spec"` // as it was asked for
	// what its last build took, before the batch was begun; 0: not known
	Seconds float64 `json:"seconds,omitempty"`
	Memory  int64   `json:"memory,omitempty"` // bytes
	// Needs are the sources, from 0 on, with whose packages it is built: it comes after them.
	Needs []int `json:"needs,omitempty"`
	// Options are of this source alone, as its line in the list has them: --timeout=4h.
	Options []string `json:"options,omitempty"`
	// Skip is why it is not built; "": it is.
	Skip string `json:"skip,omitempty"`
	// Baseline is the source, from 1 on, that this one is, built without the batch's change; 0: it
	// is built with it.
	Baseline int `json:"baseline,omitempty"`
}

// Phase is how far a source has come.
type Phase string

// The phases.
const (
	Waiting  Phase = "waiting"
	Suspect  Phase = "suspect" // it failed beside others, and is to be built once more, alone
	Running  Phase = "running"
	Finished Phase = "finished"
)

// Item is a source of a batch, and what has become of it.
type Item struct {
	Source
	Phase     Phase
	Tries     int       // that were begun, without those that were interrupted
	suspected bool      // the last try is, or was, the one alone
	givenBack int       // tries, one after the other
	notBefore time.Time // is it tried again
	Began     time.Time // of the last try
	Last      *Ended    // of the tries that have ended; nil: there is none
	Published bool      // what it has built is in the repository
}

// newItem is a source of which nothing has become yet, unless it is left out.
func newItem(s Source) Item {
	if s.Skip != "" {
		return Item{Source: s, Phase: Finished, Last: &Ended{Status: Skipped, Error: s.Skip}}
	}
	return Item{Source: s, Phase: Waiting}
}

// Ended is how a try has ended.
type Ended struct {
	Status  string  `json:"status"` // sbuild's word
	Stage   string  `json:"stage,omitempty"`
	Error   string  `json:"error,omitempty"`
	Hint    string  `json:"hint,omitempty"`
	Name    string  `json:"name,omitempty"` // of the source package
	Version string  `json:"version,omitempty"`
	Seconds float64 `json:"seconds"`
	Memory  int64   `json:"memory,omitempty"` // bytes at most
	Log     string  `json:"log,omitempty"`
	Result  string  `json:"result,omitempty"` // file in the batch's directory
	Kept    string  `json:"kept,omitempty"`
	Beside  bool    `json:"beside,omitempty"` // others ran meanwhile
	// Artefacts are the paths of what was built.
	Artefacts []string `json:"artefacts,omitempty"`
	// Blocked: it was not begun, since something that it needs was not built.
	Blocked bool `json:"blocked,omitempty"`
	// Transient: what kept it from being begun may be over later.
	Transient bool   `json:"transient,omitempty"`
	Tests     string `json:"tests,omitempty"` // how the source's own tests have ended
	// Installed: build dependencies were installed; With are those of them that are the change's.
	Installed bool     `json:"installed,omitempty"`
	With      []string `json:"with,omitempty"`
	// Reused: it is how an earlier build has ended that is known, and nothing was built.
	Reused bool `json:"reused,omitempty"`
	// Compared is how the packages of a baseline differ from those that were built with the change.
	Compared *Comparison `json:"compared,omitempty"`
}

// The statuses, which are sbuild's.
const (
	Successful = "successful"
	Skipped    = "skipped"
	Attempted  = "attempted"
	GivenBack  = "given-back"
	Failed     = "failed"
)

// Good tells whether a try came to what was asked for.
func (e *Ended) Good() bool { return e.Status == Successful || e.Status == Skipped }

// Batch is one, as its journal tells of it.
type Batch struct {
	Head
	Items     []Item
	Cancelled bool
	PID       int // of the process that ran it last

	dir     string
	journal *journal // nil: it is only looked at
}

// Path is a place in the batch's directory.
func (b *Batch) Path(name string) string { return b.path(name) }

// path is a file of the batch.
func (b *Batch) path(name string) string { return filepath.Join(b.dir, name) }

// ResultFile is where the result of a try is to be written.
func (b *Batch) ResultFile(item, try int) string {
	return b.path(filepath.Join("results", fmt.Sprintf("%d-%d.json", item+1, try)))
}

// Counts are how many sources are how far.
type Counts struct {
	Total, Waiting, Running, Successful, Skipped, Failed, GivenBack int
}

// Count counts.
func (b *Batch) Count() Counts {
	c := Counts{Total: len(b.Items)}
	for i := range b.Items {
		switch it := &b.Items[i]; {
		case it.Phase == Running:
			c.Running++
		case it.Phase != Finished:
			c.Waiting++
		case it.Last.Status == Successful:
			c.Successful++
		case it.Last.Status == Skipped:
			c.Skipped++
		case it.Last.Status == GivenBack:
			c.GivenBack++
		default:
			c.Failed++
		}
	}
	return c
}

// Over tells whether nothing is left to be done.
func (c Counts) Over() bool { return c.Waiting+c.Running == 0 }

// Ended is how many are finished.
func (c Counts) Ended() int { return c.Total - c.Waiting - c.Running }

// Store is the directory of batches.
type Store struct{ dir string }

// In is the store's place in the state directory.
func In(stateDir string) *Store { return &Store{filepath.Join(stateDir, "batches")} }

// goodName is a regular expression: what a batch may be called is a file's name, and no option.
var goodName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)
})

// Free refuses a name that no new batch can have; "" is none.
func (s *Store) Free(name string) error {
	if name == "" {
		return nil
	}
	if !goodName().MatchString(name) {
		return fault.New(fault.Usage, "use letters, digits and . _ + ~ -",
			"%q is no name for a batch", name)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, name)); err == nil {
		return taken(name)
	}
	return nil
}

func taken(name string) error {
	return fault.New(fault.Usage, "nsbuild batch resume "+name+" goes on with it; or choose "+
		"another --name", "there is a batch %s", name)
}

// Create begins a batch, which is open for this process alone. Without a name it gets one.
func (s *Store) Create(h Head) (*Batch, error) {
	if err := s.Free(h.Name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	name, err := s.take(h.Name)
	if err != nil {
		return nil, err
	}
	h.Name, h.Schema = name, Schema
	b := &Batch{dir: filepath.Join(s.dir, name)}
	if b.journal, err = createJournal(b.path(journalName)); err == nil {
		if err = os.Mkdir(b.path("results"), 0o700); err == nil {
			err = b.append(record{Kind: kindBatch, Head: &h, PID: os.Getpid()})
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("beginning the batch %s: %w", name, err), b.Close(),
			os.RemoveAll(b.dir))
	}
	return b, nil
}

// take makes the directory of a new batch. Without a name it is today's date, with a number.
func (s *Store) take(name string) (string, error) {
	today := time.Now().Format("2006-01-02")
	for n := 1; ; n++ {
		try := name
		if name == "" {
			try = today
			if n > 1 {
				try += "." + strconv.Itoa(n)
			}
		}
		err := os.Mkdir(filepath.Join(s.dir, try), 0o700)
		switch {
		case err == nil:
			return try, nil
		case !errors.Is(err, fs.ErrExist):
			return "", err
		case name != "":
			return "", taken(name)
		}
	}
}

// Open opens a batch for this process alone, to go on with it.
func (s *Store) Open(name string) (*Batch, error) {
	if err := s.find(name); err != nil {
		return nil, err
	}
	b := &Batch{dir: filepath.Join(s.dir, name)}
	var err error
	if b.journal, err = openJournal(b.path(journalName)); err != nil {
		if errors.Is(err, errHeld) {
			return nil, fault.New(fault.Internal, "nsbuild batch status "+name+" --watch shows it",
				"another process works on the batch %s", name)
		}
		return nil, err
	}
	if err := b.replay(b.journal.file); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := b.journal.toEnd(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Read looks at a batch, which somebody else may be working on.
func (s *Store) Read(name string) (*Batch, error) {
	if err := s.find(name); err != nil {
		return nil, err
	}
	b := &Batch{dir: filepath.Join(s.dir, name)}
	f, err := os.Open(b.path(journalName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return b, b.replay(f)
}

// find tells whether there is a batch of a name.
func (s *Store) find(name string) error {
	names, err := s.Names()
	if err != nil || slices.Contains(names, name) {
		return err
	}
	hint := "nsbuild batch list shows those there are"
	if like := nearest.Names(name, names, 3); len(like) > 0 {
		hint = "did you mean " + like[0] + "?"
	}
	return fault.New(fault.Usage, hint, "there is no batch %s", name)
}

// Names lists the batches, the one that was begun last first.
func (s *Store) Names() (names []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	began := map[string]time.Time{}
	for _, e := range entries {
		// one without a journal is just being made, or was not made to the end
		if st, err := os.Stat(filepath.Join(s.dir, e.Name(), "results")); err == nil {
			names, began[e.Name()] = append(names, e.Name()), st.ModTime()
		}
	}
	slices.SortFunc(names, func(a, b string) int { return began[b].Compare(began[a]) })
	return names, err
}

// Held tells whether a process works on a batch.
func (s *Store) Held(name string) (bool, error) {
	return held(filepath.Join(s.dir, name, journalName))
}

// Remove deletes a batch that nobody works on: its journal and its results, not what it has built.
func (s *Store) Remove(name string) error {
	b, err := s.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(b.dir), b.Close())
}

// Close gives up the right to go on with it.
func (b *Batch) Close() error {
	if b.journal == nil {
		return nil
	}
	return b.journal.close()
}
