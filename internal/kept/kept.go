// Package kept keeps on disk what builds have written, most of them builds that failed: to be
// looked into, and gone on with, later. Each has an ID, and lies on a base and perhaps on layers,
// which stay as long as it does.
//
//	STATE/kept/ID/lock           shared by who looks into it, held alone by who writes to it
//	STATE/kept/ID/manifest.json
//	STATE/kept/ID/plan.json      what was to be built, and how
//	STATE/kept/ID/result.json    how it ended
//	STATE/kept/ID/log
//	STATE/kept/ID/source.dsc     of the source that was unpacked
//	STATE/kept/ID/tree/0, 1, …   upper directories, owned by mapped ids
//	STATE/kept/draft-…/          being written, or left by a process that was killed
//
// What is kept, and what is done with it, is internal/pkgbuild's. Trees are written and deleted by
// its holders.
package kept

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/store"
)

// Format is that of the manifests that this package writes; it reads no other.
const Format = 1

// Manifest is what is recorded about a kept build.
type Manifest struct {
	Format  int       `json:"format"`
	Program string    `json:"program"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Size    int64     `json:"size"` // bytes of its trees, on disk

	Source       string `json:"source"`
	Version      string `json:"version"`
	Distribution string `json:"distribution"`
	// Directory is the source directory; of another kind of source, where nsbuild was called.
	Directory string `json:"directory"`
	// Output is the directory of the results; "": it was one of nsbuild's own, which is gone.
	Output string `json:"output,omitempty"`
	Status string `json:"status"`          // sbuild's word
	Stage  string `json:"stage,omitempty"` // that failed
	Why    string `json:"why,omitempty"`   // in one line
	// RetryOf is the kept build that it went on with.
	RetryOf string `json:"retry_of,omitempty"`

	Base       string        `json:"base"`
	Generation int           `json:"generation"`
	IDs        sandbox.IDMap `json:"ids"`
	Lowers     []Lower       `json:"lowers"` // topmost first
	// Below is what the topmost lies on. It is the rest of Lowers, but where the topmost is a whole
	// root by itself.
	Below []Lower `json:"below,omitempty"`

	Dir         string      `json:"dir,omitempty"` // the unpacked source, in the jail
	DSC         string      `json:"dsc,omitempty"` // the name of its .dsc beside that
	Environment Environment `json:"environment"`
	// Check is of the jail of a failed check; nil: it is a build.
	Check *Check `json:"check,omitempty"`

	// Escaped is set while the manifest is in its file; see rawjson.Legible.
	Escaped []string `json:"escaped,omitempty"`
}

// Environment is what the environment of the build was made of; see buildroot.Environment.
type Environment struct {
	Options  []string `json:"deb_build_options,omitempty"`
	Profiles []string `json:"profiles,omitempty"`
	Cross    string   `json:"cross,omitempty"`
	Changed  []string `json:"changed,omitempty"`
	Whole    []string `json:"whole,omitzero"` // nil: it has what it has usually
}

// Check is how the command of a check ran that has failed.
type Check struct {
	Dir   string   `json:"dir,omitempty"`
	Root  bool     `json:"root,omitempty"` // it ran as root
	Env   []string `json:"env"`
	Again string   `json:"again,omitempty"` // what a person types there to repeat it; "": not known
	// Artifacts is the directory of what a test has left for people.
	Artifacts string `json:"artifacts,omitempty"`
	// Brought are files and directories that the check itself has not written.
	Brought []string `json:"brought,omitempty"`
}

// Lower is a layer of a kept build's root. Just one of these is set.
type Lower struct {
	Tree  string `json:"tree,omitempty"`  // the name of an upper directory that is kept
	Layer string `json:"layer,omitempty"` // the key of a dependency layer
	Base  bool   `json:"base,omitempty"`
}

// Whole tells whether the topmost layer is a whole root by itself.
func (m *Manifest) Whole() bool { return len(m.Lowers) == 1 && m.Lowers[0].Tree != "" }

// Under is what the topmost layer lies on.
func (m *Manifest) Under() []Lower {
	if m.Whole() {
		return m.Below
	}
	return m.Lowers[1:]
}

// Store is the directory of all kept builds.
type Store struct{ dir string }

// Open opens the store below a state directory and makes what is missing. Only its owner may enter
// it.
func Open(state string) (*Store, error) {
	s := &Store{filepath.Join(state, "kept")}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of kept builds: %w", err)
	}
	return s, nil
}

// Build is a kept build in use: it stays while it is not closed.
type Build struct {
	Manifest
	dir *store.Dir
}

// Plan is the file of what was to be built.
func (b *Build) Plan() string { return planFile(b.dir.Path()) }

// Result is the file of how the build ended.
func (b *Build) Result() string { return resultFile(b.dir.Path()) }

// Log is the file of the build's log.
func (b *Build) Log() string { return logFile(b.dir.Path()) }

// DSCText is the .dsc of the source that is unpacked there; it is not there where none is.
func (b *Build) DSCText() string { return dscFile(b.dir.Path()) }

func planFile(dir string) string   { return filepath.Join(dir, "plan.json") }
func resultFile(dir string) string { return filepath.Join(dir, "result.json") }
func logFile(dir string) string    { return filepath.Join(dir, "log") }
func dscFile(dir string) string    { return filepath.Join(dir, "source.dsc") }

// Tree is an upper directory that is kept.
func (b *Build) Tree(name string) string { return treeOf(b.dir.Path(), name) }

func treeOf(dir, name string) string { return filepath.Join(store.Tree(dir), name) }

// Close ends the use.
func (b *Build) Close() error { return b.dir.Close() }

// Note replaces what is recorded about a build that is held alone.
func (b *Build) Note(m Manifest) error {
	if err := m.write(b.dir.Path()); err != nil {
		return err
	}
	b.Manifest = m
	return nil
}

// Use takes a kept build into use, beside others.
func (s *Store) Use(id string) (*Build, error) { return s.open(id, store.Use) }

// ErrUsed means that a kept build cannot be used as others use it.
var ErrUsed = store.ErrUsed

// Own takes a kept build that nobody else may use meanwhile: ErrUsed when somebody does.
func (s *Store) Own(id string) (*Build, error) { return s.open(id, store.Own) }

func (s *Store) open(id string, take func(string) (*store.Dir, error)) (*Build, error) {
	if !validID(id) {
		return nil, s.none(id)
	}
	dir, err := take(filepath.Join(s.dir, id))
	if errors.Is(err, fs.ErrNotExist) && !store.Gone(filepath.Join(s.dir, id)) {
		err = ErrUsed
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.none(id)
	}
	if errors.Is(err, ErrUsed) {
		return nil, fault.Wrap(fault.Internal, "wait for it",
			fmt.Errorf("kept build %s is in use by a command that has to be alone with it: %w", id,
				err))
	}
	if err != nil {
		return nil, fmt.Errorf("kept build %s: %w", id, err)
	}
	b := &Build{dir: dir}
	if b.Manifest, err = read(dir.Path()); err != nil {
		return nil, errors.Join(fmt.Errorf("kept build %s: %w", id, err), dir.Close())
	}
	return b, nil
}

// later means that a manifest is of another format.
type later struct{ format int }

func (l later) Error() string {
	return fmt.Sprintf("it was kept by another version of nsbuild (format %d; this one knows %d)",
		l.format, Format)
}

func read(dir string) (m Manifest, err error) {
	data, err := os.ReadFile(store.Manifest(dir))
	if err != nil {
		return m, err
	}
	var number struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &number); err != nil {
		return m, hurt(dir, err)
	}
	if number.Format != Format {
		return m, fault.Wrap(fault.Internal, "use that nsbuild, or nsbuild forget "+
			filepath.Base(dir), later{number.Format})
	}
	err = json.Unmarshal(data, &m)
	if err == nil {
		err = rawjson.Exact(&m, m.Escaped)
	}
	if err == nil && len(m.Lowers) == 0 {
		err = errors.New("it names no trees")
	}
	if err != nil {
		return m, hurt(dir, err)
	}
	m.Escaped = nil
	return m, nil
}

// hurt is the error of a manifest that cannot be understood.
func hurt(dir string, err error) error {
	return fault.Wrap(fault.Internal, "nsbuild forget "+filepath.Base(dir),
		fmt.Errorf("reading %s: %w", store.Manifest(dir), err))
}

func (m Manifest) write(dir string) error {
	m.Format, m.Escaped = Format, nil
	m, m.Escaped = rawjson.Legible(m)
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(store.Manifest(dir), append(data, '\n'),
		atomicfile.Options{Mode: 0o600})
}

// Draft is a kept build that is being written. It ends with Commit or, when that is not reached,
// with the deletion of Dir and Close.
type Draft struct {
	store *Store
	dir   *store.Dir
	trees int
}

// Begin starts one.
func (s *Store) Begin() (*Draft, error) {
	dir, err := store.Begin(s.dir)
	if err != nil {
		return nil, fmt.Errorf("keeping the build: %w", err)
	}
	return &Draft{store: s, dir: dir}, os.Mkdir(store.Tree(dir.Path()), 0o700)
}

// NewTree is where the next upper directory is to be, and its name.
func (d *Draft) NewTree() (path, name string) {
	name = strconv.Itoa(d.trees)
	d.trees++
	return treeOf(d.Dir(), name), name
}

// Tree is where an upper directory is to be.
func (d *Draft) Tree(name string) string { return treeOf(d.Dir(), name) }

// Trees is where all upper directories are.
func (d *Draft) Trees() string { return store.Tree(d.Dir()) }

// Dir is the draft's directory.
func (d *Draft) Dir() string { return d.dir.Path() }

// Plan is where the plan is to be.
func (d *Draft) Plan() string { return planFile(d.Dir()) }

// Result is where the result is to be.
func (d *Draft) Result() string { return resultFile(d.Dir()) }

// Log is where the log is to be.
func (d *Draft) Log() string { return logFile(d.Dir()) }

// DSCText is where the .dsc of the source is to be that is unpacked there.
func (d *Draft) DSCText() string { return dscFile(d.Dir()) }

// Commit publishes the draft, which has reached the disk then, under an ID that it makes. lease has
// what it lies on stay; see store.Dir.Lease.
func (d *Draft) Commit(m Manifest, lease func(by string) error) (id string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keeping the build: %w", err)
		}
	}()
	for {
		if m.ID, err = newID(m.Source); err != nil {
			return "", err
		}
		if err := errors.Join(m.write(d.Dir()), lease(filepath.Join(d.store.dir, m.ID)),
			d.dir.Sync()); err != nil {
			return "", err
		}
		err = d.dir.Publish(m.ID)
		if !errors.Is(err, fs.ErrExist) {
			return m.ID, err
		}
	}
}

// Close ends the writing.
func (d *Draft) Close() error { return d.dir.Close() }

// newID makes up an ID: the name of the source, and something that tells builds of it apart.
func newID(source string) (string, error) {
	var b [2]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return source + "-" + hex.EncodeToString(b[:]), nil
}

// validID tells whether id can be one: a directory of the store, and no draft.
func validID(id string) bool {
	return id != "" && !strings.ContainsAny(id, "/\x00") && !strings.HasPrefix(id, ".") &&
		!strings.HasPrefix(id, store.DraftPrefix)
}

// Info is a kept build as List shows it.
type Info struct {
	Manifest
	Err error // why no more than its ID is known
}

// List lists the kept builds, the newest first.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing kept builds: %w", err)
	}
	var all []Info
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		if !validID(e.Name()) || store.Gone(dir) {
			continue
		}
		m, err := read(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // being forgotten
		}
		if err != nil {
			m = Manifest{}
			if used, usedErr := store.Used(dir); usedErr == nil {
				m.Created = used
			}
		}
		m.ID = e.Name()
		all = append(all, Info{m, err})
	}
	slices.SortFunc(all, func(a, b Info) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Find finds the ID that is meant: the one that a text is, or is the beginning of; for "" the
// newest one of the source that dir is or lies in, else the newest of all.
func (s *Store) Find(text, dir string) (string, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", fault.New(fault.Usage, "nsbuild build keeps what fails, unless it is given "+
			"--keep never", "no build is kept")
	}
	if text == "" {
		for _, i := range all {
			if i.Directory != "" && (dir == i.Directory ||
				strings.HasPrefix(dir, strings.TrimSuffix(i.Directory, "/")+"/")) {
				return i.ID, nil
			}
		}
		return all[0].ID, nil
	}
	var begun []string
	for _, i := range all {
		if i.ID == text {
			return text, nil
		}
		if strings.HasPrefix(i.ID, text) {
			begun = append(begun, i.ID)
		}
	}
	switch len(begun) {
	case 0:
		return "", s.none(text)
	case 1:
		return begun[0], nil
	}
	return "", fault.New(fault.Usage, "it may be "+strings.Join(begun, ", "),
		"%q is the beginning of several kept builds", text)
}

// none is the error of an ID that is none.
func (s *Store) none(id string) error {
	hint := "nsbuild kept lists them"
	all, err := s.List()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(all))
	for _, i := range all {
		names = append(names, i.ID)
	}
	if near := nearest.Names(id, names, 3); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fault.New(fault.Usage, hint, "no build is kept as %q", id)
}
