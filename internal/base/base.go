// Package base keeps bases on disk: names, generations, locks and what is recorded about each.
//
// A base is a directory tree owned by mapped ids, never written to once it is there. A change makes
// a new generation beside it, which one rename makes the current one; builds that use an older
// generation keep it until they end. What a tree contains, and how it is made, is left to
// internal/bootstrap and internal/bases.
//
//	STATE/bases/NAME/lock           held by who makes a generation
//	STATE/bases/NAME/current        a symbolic link to the generation in use
//	STATE/bases/NAME/gen-3/lock     shared by the generation's users
//	STATE/bases/NAME/gen-3/lessees/ links to the kept builds that lie on it
//	STATE/bases/NAME/gen-3/manifest.json
//	STATE/bases/NAME/gen-3/tree/    the root directory
//	STATE/bases/NAME/draft-…/       being made, or left by a maker that was killed
package base

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
	"nsbuild/internal/jails"
	"nsbuild/internal/nearest"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/store"
)

// ManifestVersion is the format of manifest.json that this package writes; it reads no other.
const ManifestVersion = 1

// Manifest is what is recorded about a generation.
type Manifest struct {
	Format       int           `json:"format"`
	Suite        string        `json:"suite"`
	Distribution string        `json:"distribution"`
	Arch         string        `json:"architecture"`
	Variant      string        `json:"variant"`
	Bootstrapper string        `json:"bootstrapper"` // "native", "debootstrap" or "mmdebstrap"
	Include      []string      `json:"include,omitempty"`
	Exclude      []string      `json:"exclude,omitempty"`
	Components   []string      `json:"components,omitempty"` // as the user gave them
	Mirror       string        `json:"mirror,omitempty"`     // as given; empty when it was found
	Unverified   bool          `json:"unverified,omitempty"` // whether no signature was asked for
	Keyring      string        `json:"keyring,omitempty"`    // as the user gave it
	IDs          sandbox.IDMap `json:"ids"`
	Created      time.Time     `json:"created"`
	Releases     []Release     `json:"releases"`
	Packages     []Package     `json:"packages"`
	// Digest tells apart trees that the packages alone do not: it is set where somebody else than
	// dpkg has written to the tree. Of an imported tree it is its content's; what a shell has left
	// gets one that is made up.
	Digest string `json:"digest,omitempty"`
	// Lock is the SHA-256 of the lock file that fixed the packages; such a base is not brought up
	// to date.
	Lock string `json:"lock,omitempty"`
	// Escaped is set while the manifest is in its file; see rawjson.Legible.
	Escaped []string `json:"escaped,omitempty"`
}

// Release is a suite's Release file that the generation was made from, or last compared with.
type Release struct {
	URI    string    `json:"uri"`
	Suite  string    `json:"suite"`
	Date   time.Time `json:"date"`
	SHA256 string    `json:"sha256"`
	Keys   []string  `json:"keys,omitempty"` // fingerprints that signed it
}

// Package is an installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"architecture"`
}

// Store is the directory of all bases.
type Store struct{ dir string }

// Open opens the store below a state directory and makes what is missing. Only its owner may enter
// it.
func Open(state string) (*Store, error) {
	dir := filepath.Join(state, "bases")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil,
			fault.Wrap(fault.Internal, "set NSBUILD_STATE to a directory that can be written",
				fmt.Errorf("making the state directory: %w", err))
	}
	return &Store{dir}, nil
}

// Dir is where the bases are.
func (s *Store) Dir() string { return s.dir }

// CheckName tells whether name can name a base.
func CheckName(name string) error {
	const alphanumeric, longest = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
		100
	if name == "" || len(name) > longest || !strings.Contains(alphanumeric, name[:1]) ||
		strings.Trim(name, alphanumeric+"._+-") != "" {
		return fault.New(fault.Usage,
			"use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit",
			"%q cannot be the name of a base", name)
	}
	return nil
}

// Generation is a generation in use: it stays while it is not closed.
type Generation struct {
	Name     string
	Number   int
	Manifest Manifest
	dir      *store.Dir
}

// Tree is the generation's root directory.
func (g *Generation) Tree() string { return store.Tree(g.dir.Path()) }

// Lease has the generation stay while another directory is there; see store.Dir.Lease.
func (g *Generation) Lease(by string) error { return g.dir.Lease(by) }

// Close ends the use.
func (g *Generation) Close() error { return g.dir.Close() }

// ErrNone means that there is no base of this name.
var ErrNone = errors.New("no such base")

// Use takes the current generation of a base into use.
func (s *Store) Use(name string) (*Generation, error) {
	g, err := s.Look(name)
	if err != nil {
		return nil, err
	}
	if err := g.dir.Touch(); err != nil && !errors.Is(err, syscall.EROFS) {
		return nil, errors.Join(fmt.Errorf("base %s: noting its use: %w", name, err), g.Close())
	}
	return g, nil
}

// Used is when the generation was last used.
func (g *Generation) Used() (time.Time, error) { return store.Used(g.dir.Path()) }

// Look is Use for who only wants to know what a base is: that is no use of it that is noted.
func (s *Store) Look(name string) (*Generation, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	for {
		target, err := os.Readlink(filepath.Join(s.dir, name, "current"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, s.none(name)
		}
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		g, err := s.open(name, target)
		if errors.Is(err, fs.ErrNotExist) {
			// Replaced and deleted between the two looks, or damaged: then the link still says the
			// same.
			if again, _ := os.Readlink(filepath.Join(s.dir, name, "current")); again == target {
				return nil, fault.Wrap(fault.Internal, "nsbuild remove "+name+" && nsbuild create "+
					name, fmt.Errorf("base %s is damaged: %w", name, err))
			}
			continue
		}
		return g, err
	}
}

// UseGeneration takes a generation of a base into use, be it the current one or not. Where it is
// not there any more, the error is fs.ErrNotExist.
func (s *Store) UseGeneration(name string, number int) (*Generation, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	g, err := s.open(name, generationName(number))
	if err != nil {
		return nil, fmt.Errorf("generation %d of base %s: %w", number, name, err)
	}
	return g, nil
}

func generationName(number int) string { return "gen-" + strconv.Itoa(number) }

func (s *Store) none(name string) error {
	names, err := s.Names()
	if err != nil {
		return err
	}
	hint := "nsbuild create " + name
	if len(names) > 0 {
		hint += "   (there are: " + strings.Join(names, ", ") + ")"
	}
	if like := nearest.Names(name, names, 1); len(like) > 0 {
		hint = "did you mean " + like[0] + "? or " + hint
	}
	return fault.Wrap(fault.Internal, hint, fmt.Errorf("base %s: %w", name, ErrNone))
}

func (s *Store) open(name, generation string) (*Generation, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(generation, "gen-"))
	if err != nil {
		return nil, fmt.Errorf("base %s: its current generation is called %q", name, generation)
	}
	g := &Generation{Name: name, Number: number}
	if g.dir, err = store.Use(filepath.Join(s.dir, name, generation)); err != nil {
		return nil, err
	}
	if g.Manifest, err = readManifest(g.dir.Path()); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func readManifest(dir string) (Manifest, error) {
	var m Manifest
	name := store.Manifest(dir)
	data, err := os.ReadFile(name)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("reading %s: %w", name, err)
	}
	if m.Format != ManifestVersion {
		return m, fmt.Errorf("%s has format %d; this nsbuild reads format %d", name, m.Format,
			ManifestVersion)
	}
	if err := rawjson.Exact(&m, m.Escaped); err != nil {
		return m, fmt.Errorf("reading %s: %w", name, err)
	}
	m.Escaped = nil
	return m, nil
}

// UpdateManifest replaces what is recorded about a generation, for a Release that was compared with
// it and changes nothing in it.
func (g *Generation) UpdateManifest(m Manifest) error {
	if err := writeManifest(g.dir.Path(), m); err != nil {
		return err
	}
	g.Manifest = m
	return nil
}

func writeManifest(dir string, m Manifest) error {
	m.Format, m.Escaped = ManifestVersion, nil
	m, m.Escaped = rawjson.Legible(m)
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	err = atomicfile.Write(store.Manifest(dir), append(data, '\n'),
		atomicfile.Options{Mode: 0o644})
	if err != nil {
		return fmt.Errorf("recording the base: %w", err)
	}
	return nil
}

// Names lists the bases, sorted.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing bases: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Readlink(filepath.Join(s.dir, e.Name(), "current")); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Draft is a generation being made. It ends with Commit or Discard.
type Draft struct {
	store *Store
	name  string
	dir   string
	lock  *os.File
}

// Begin starts a generation of a base. There is one maker at a time: when another is at work,
// waiting is called once and Begin waits for its end.
func (s *Store) Begin(ctx context.Context, name string, waiting func()) (*Draft, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	lock, err := s.lockBase(ctx, name, waiting)
	if err != nil {
		return nil, err
	}
	draft, err := store.Begin(filepath.Join(s.dir, name))
	if err == nil {
		err = draft.Close() // the base's own lock holds it
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("base %s: %w", name, err), lock.Close())
	}
	return &Draft{store: s, name: name, dir: draft.Path(), lock: lock}, nil
}

func (s *Store) lockBase(ctx context.Context, name string, waiting func()) (*os.File, error) {
	for {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		lock, err := flock.Open(filepath.Join(s.dir, name, "lock"), os.O_RDWR|os.O_CREATE,
			flock.Exclusive)
		switch {
		case err == nil:
			return lock, nil
		case errors.Is(err, fs.ErrNotExist): // removed under our hands
			continue
		case !errors.Is(err, flock.ErrHeld):
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Tree is where the draft's root directory is to be made.
func (d *Draft) Tree() string { return store.Tree(d.dir) }

// Commit makes the draft the current generation.
func (d *Draft) Commit(m Manifest) (int, error) {
	defer d.lock.Close()
	if err := writeManifest(d.dir, m); err != nil {
		return 0, err
	}
	// The lock file of the base itself is what others wait for.
	root := filepath.Join(d.store.dir, d.name)
	number, err := nextGeneration(root)
	if err != nil {
		return 0, err
	}
	generation := generationName(number)
	if err := os.Rename(d.dir, filepath.Join(root, generation)); err != nil {
		return 0, fmt.Errorf("base %s: %w", d.name, err)
	}
	link := filepath.Join(root, "current")
	// The lock keeps others from the name beside it.
	if err := atomicfile.Symlink(generation, link, link+".new"); err != nil {
		return 0, fmt.Errorf("base %s: %w", d.name, err)
	}
	return number, nil
}

func nextGeneration(root string) (int, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0, err
	}
	last := 0
	for _, e := range entries {
		if n, err := strconv.Atoi(strings.TrimPrefix(e.Name(), "gen-")); err == nil && n > last {
			last = n
		}
	}
	return last + 1, nil
}

// Discard deletes the draft, with the holder of its ids, and the base's directory when nothing else
// is in it.
func (d *Draft) Discard(ctx context.Context, h jails.Holder) error {
	defer d.lock.Close()
	err := h.RemoveTree(ctx, d.dir)
	if err != nil {
		err = fmt.Errorf("base %s: deleting what was made of it: %w", d.name, err)
	}
	// A deletion whose time is over may have come to its end all the same.
	return errors.Join(err, removeIfEmpty(filepath.Join(d.store.dir, d.name)))
}

// removeIfEmpty deletes a base's directory that has only its lock left. The lock must be held.
func removeIfEmpty(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "lock" {
		return err
	}
	if err := os.Remove(filepath.Join(root, "lock")); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Somebody may have begun to make the base again.
	if err := os.Remove(root); err != nil && !errors.Is(err, unix.ENOTEMPTY) &&
		!errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Remove deletes a base with all its generations, and tells how many bytes they took. One that is
// in use by a build is an error.
func (s *Store) Remove(ctx context.Context, name string, h jails.Holder) (freed int64, err error) {
	return freed, s.remove(ctx, name, func(ctx context.Context, dir string) error {
		size, err := h.TreeSize(ctx, dir)
		if err != nil {
			return err
		}
		if err := h.RemoveTree(ctx, dir); err != nil {
			return err
		}
		freed += size
		return nil
	})
}

// remover deletes a tree.
type remover func(ctx context.Context, dir string) error

func (s *Store) remove(ctx context.Context, name string, removeTree remover) error {
	if err := CheckName(name); err != nil {
		return err
	}
	root := filepath.Join(s.dir, name)
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		return s.none(name)
	}
	lock, err := flock.Open(filepath.Join(root, "lock"), os.O_RDWR|os.O_CREATE, flock.Exclusive)
	if errors.Is(err, flock.ErrHeld) {
		return fault.New(fault.Internal, "wait for it, or stop it",
			"base %s is being made or updated by another nsbuild", name)
	}
	if err != nil {
		return fmt.Errorf("base %s: %w", name, err)
	}
	defer lock.Close()
	upon, err := lessees(root)
	if err != nil {
		return fmt.Errorf("base %s: %w", name, err)
	}
	if len(upon) > 0 {
		return fault.New(fault.Internal, "nsbuild forget "+strings.Join(upon, " "),
			"%s on base %s: %s", fault.Count(len(upon), "kept build lies", "kept builds lie"), name,
			strings.Join(upon, ", "))
	}
	current, err := os.Readlink(filepath.Join(root, "current"))
	if err == nil {
		busy, err := inUse(filepath.Join(root, current))
		if err != nil {
			return fmt.Errorf("base %s: %w", name, err)
		}
		if busy {
			return fault.New(fault.Internal, "wait for the builds and shells that use it",
				"base %s is in use", name)
		}
		if err := os.Remove(filepath.Join(root, "current")); err != nil {
			return fmt.Errorf("base %s: %w", name, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("base %s: %w", name, err)
	}
	if err := s.sweep(ctx, root, removeTree); err != nil {
		return err
	}
	return removeIfEmpty(root)
}

// lessees are the names of what lies on the generations of a base.
func lessees(root string) (names []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		upon, err := store.Lessees(filepath.Join(root, e.Name()))
		if errors.Is(err, unix.ENOTDIR) {
			continue // a lock, or the link to a generation that is looked at by its own name
		}
		if err != nil {
			return nil, err
		}
		for _, dir := range upon {
			if name := filepath.Base(dir); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// inUse tells whether somebody holds a generation.
func inUse(dir string) (bool, error) {
	d, err := store.Claim(dir)
	switch {
	case errors.Is(err, store.ErrUsed):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, d.Close()
}
