// Package layer keeps dependency layers on disk: what installing build dependencies over a base has
// written, to be used again by the next build that needs the same.
//
// A layer is an overlay's upper directory, owned by mapped ids. It has two keys. The first is made
// from all that apt's resolver sees; it leads to the second, made from all that decides what the
// installed files are. So a suite's new Release, which changes the first, still finds the layer
// when it resolves to the same packages. What the keys are made of is internal/deps' business, and
// so is filling a layer.
//
//	CACHE/layers/by-request/KEY       a file that holds the layer's key
//	CACHE/layers/LAYER/lock           shared by the layer's users; its time is that of the last use
//	CACHE/layers/LAYER/manifest.json
//	CACHE/layers/LAYER/tree/
//	CACHE/layers/draft-…/             being made, or left by a maker that was killed
//	CACHE/layers/making-LAYER         locked by whoever installs what will be the layer
package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/bootid"
	"nsbuild/internal/flock"
	"nsbuild/internal/store"
)

// Format is part of every key: layers that an nsbuild of another format made are not found.
const Format = "nsbuild layer 3"

// Manifest is what is recorded about a layer.
type Manifest struct {
	Base     string    `json:"base"`
	Created  time.Time `json:"created"`
	Size     int64     `json:"size"` // bytes of its files
	Packages []string  `json:"packages"`
	// Boot is the boot of the machine in which the layer was written, until it is known to have
	// reached the disk: only a crash can have hurt it, and that ends the boot.
	Boot string `json:"boot,omitempty"`

	// What follows tells whether a larger layer may be made over this one.
	Over  string `json:"over"`            // key of all that it lies on
	Below string `json:"below,omitempty"` // key of the layer that this one lies upon
	// Files are names and hashes of the packages' files, those of the layer below among them.
	Files []string `json:"files"`
	// Plain: no maintainer script of them makes accounts or secrets, or depends on an order
	// otherwise.
	Plain bool `json:"plain"`
	// Alternatives are the names that they register with update-alternatives.
	Alternatives []string `json:"alternatives,omitempty"`
}

// Store is the directory of all layers.
type Store struct{ dir string }

const requests = "by-request"

// Open opens the store below a cache directory and makes what is missing. Only its owner may enter
// it: maintainer scripts may have made secrets in a layer.
func Open(cache string) (*Store, error) {
	s := &Store{filepath.Join(cache, "layers")}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of layers: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, requests), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of layers: %w", err)
	}
	return s, nil
}

// Key hashes the parts that a key is made of.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{Format}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// validKey tells whether key is one, a SHA-256 in hexadecimal.
func validKey(key string) bool {
	return len(key) == 64 && strings.Trim(key, "0123456789abcdef") == ""
}

// Layer is a layer in use: it stays while it is not closed.
type Layer struct {
	Key      string
	Manifest Manifest
	dir      *store.Dir
	below    *Layer
}

// Trees are the directories to be lowers of an overlay, topmost first: the layer's own, and that of
// the layer below.
func (l *Layer) Trees() []string {
	if l.below == nil {
		return []string{l.Tree()}
	}
	return append([]string{l.Tree()}, l.below.Trees()...)
}

// Size is what the layer's files take, with those of the layer below, in bytes. Of no layer it is
// 0.
func (l *Layer) Size() int64 {
	if l == nil {
		return 0
	}
	return l.Manifest.Size + l.below.Size()
}

// At is the key of the layer, of it and those below it, that has its tree at a path; "" for none.
func (l *Layer) At(path string) string {
	for ; l != nil; l = l.below {
		if l.Tree() == path {
			return l.Key
		}
	}
	return ""
}

// Lease has the layer, and what lies below it, stay while another directory is there; see
// store.Dir.Lease.
func (l *Layer) Lease(by string) error {
	if l == nil {
		return nil
	}
	return errors.Join(l.dir.Lease(by), l.below.Lease(by))
}

// Tree is the layer's directory, to be a lower of an overlay.
func (l *Layer) Tree() string { return store.Tree(l.dir.Path()) }

// Close ends the use.
func (l *Layer) Close() error {
	err := l.dir.Close()
	if l.below != nil {
		err = errors.Join(err, l.below.Close())
	}
	return err
}

// Request finds the layer that a request was resolved to before; nil when there is none.
func (s *Store) Request(request string) (*Layer, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, requests, request))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a layer: %w", err)
	}
	return s.Use(strings.TrimSpace(string(data)))
}

// Use takes a layer into use; nil when there is none of this key.
func (s *Store) Use(key string) (*Layer, error) {
	if !validKey(key) {
		return nil, nil // a file that a full disk cut short
	}
	l := &Layer{Key: key}
	var err error
	if l.dir, err = store.Use(filepath.Join(s.dir, key)); err != nil {
		return nil, ignoreMissing(err)
	}
	data, err := os.ReadFile(store.Manifest(l.dir.Path()))
	if errors.Is(err, fs.ErrNotExist) { // evicted at this moment
		return nil, l.dir.Close()
	}
	// a crash has left it so: it is made anew
	if err == nil && json.Unmarshal(data, &l.Manifest) != nil {
		return nil, l.dir.Close()
	}
	if boot := l.Manifest.Boot; err == nil && boot != "" {
		now, bootErr := bootid.Read()
		if bootErr == nil && now != boot { // perhaps a crash has left it so
			return nil, l.dir.Close()
		}
		err = bootErr
	}
	if err == nil {
		err = l.dir.Touch()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading layer %.12s: %w", key, err), l.dir.Close())
	}
	if l.Manifest.Below == "" {
		return l, nil
	}
	if l.below, err = s.Use(l.Manifest.Below); err != nil || l.below == nil {
		return nil, errors.Join(err, l.Close()) // without what it lies upon it is nothing
	}
	return l, nil
}

// claim takes a directory for its deletion; nil when it is not there or is used.
func claim(dir string) (*store.Dir, error) {
	d, err := store.Claim(dir)
	if errors.Is(err, store.ErrUsed) {
		return nil, nil
	}
	return d, ignoreMissing(err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Remember notes what a request was resolved to.
func (s *Store) Remember(request, key string) error {
	return writeAside(filepath.Join(s.dir, requests, request), []byte(key+"\n"))
}

// newPrefix begins the names of files that are being written.
const newPrefix = ".new-"

func writeAside(name string, data []byte) error {
	return atomicfile.Write(name, data, atomicfile.Options{Prefix: newPrefix})
}

// Making is the exclusive right to make a layer.
type Making struct{ lock *os.File }

// Close gives it up.
func (m *Making) Close() error {
	return errors.Join(os.Remove(m.lock.Name()), m.lock.Close())
}

// Make is for whoever misses a layer: it gives the right to make it. When another process or build
// has that, it waits until the layer is there, which it returns then, or until the other gives up;
// after patience it returns neither, and the layer may be made all the same: of two, one is kept.
func (s *Store) Make(ctx context.Context, key string, patience time.Duration) (*Making, *Layer,
	error) {
	name := filepath.Join(s.dir, "making-"+key)
	const pause = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		// its holder deletes it
		f, err := flock.Open(name, os.O_RDWR|os.O_CREATE, flock.Exclusive)
		if err != nil && !errors.Is(err, flock.ErrHeld) && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("making a layer: %w", err)
		}
		if err == nil {
			m := &Making{f}
			l, err := s.Use(key) // it may have come since it was missed
			if l == nil && err == nil {
				return m, nil, nil
			}
			return nil, l, errors.Join(err, m.Close())
		}
		if waited >= patience {
			return nil, nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// Draft is a layer being made. It ends with Commit or, when that is not reached, with Take.
type Draft struct {
	store *Store
	dir   *store.Dir
}

// Begin starts a layer.
func (s *Store) Begin() (*Draft, error) {
	dir, err := store.Begin(s.dir)
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return &Draft{s, dir}, nil
}

// Tree is where the layer's tree is to be made.
func (d *Draft) Tree() string { return store.Tree(d.Dir()) }

// Dir is the draft's directory, to be deleted when it is not committed.
func (d *Draft) Dir() string { return d.dir.Path() }

// Commit publishes the layer under its key. Nobody waits for it to reach the disk: see Settle. It
// reports false when another process has published the same: then the draft is to be deleted.
func (d *Draft) Commit(key string, m Manifest) (bool, error) {
	var err error
	if m.Boot, err = bootid.Read(); err == nil {
		err = m.write(d.Dir())
	}
	if err != nil {
		return false, fmt.Errorf("making a layer: %w", err)
	}
	to := filepath.Join(d.store.dir, key)
	err = os.Rename(d.Dir(), to)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		// What is there may be of no use: without the layer below it, or hurt by a crash.
		if l, err := d.store.Use(key); l != nil || err != nil {
			if err == nil {
				err = l.Close()
			}
			return false, err
		}
		old, err := claim(to)
		if old == nil || err != nil {
			return false, err
		}
		defer old.Close()
		// a draft without maker, which Take finds
		if err := os.Rename(to, d.Dir()+"-old"); err != nil {
			return false, fmt.Errorf("making a layer: %w", err)
		}
		err = os.Rename(d.Dir(), to)
		if err != nil {
			return false, fmt.Errorf("making a layer: %w", err)
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("making a layer: %w", err)
	}
	return true, nil
}

func (m *Manifest) write(dir string) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return writeAside(store.Manifest(dir), data)
}

// Settled tells whether a layer, and what lies below it, is known to have reached the disk.
func (l *Layer) Settled() bool { return l == nil || l.Manifest.Boot == "" && l.below.Settled() }

// Settle has a layer reach the disk, with what lies below it, so that it outlives the boot in which
// it was made. That may take long: all else that was written to the same disk goes with it. Cut
// short, it is as if it had not been begun.
func (s *Store) Settle(key string) error {
	l, err := s.Use(key)
	if l == nil || err != nil {
		return err
	}
	if l.Settled() {
		return l.Close()
	}
	return errors.Join(l.settle(), l.Close())
}

func (l *Layer) settle() error {
	if err := l.dir.Sync(); err != nil {
		return err
	}
	for ; l != nil; l = l.below {
		if l.Manifest.Boot == "" {
			continue
		}
		l.Manifest.Boot = ""
		if err := l.Manifest.write(l.dir.Path()); err != nil {
			return fmt.Errorf("layer %.12s: %w", l.Key, err)
		}
	}
	return nil
}

// Close ends the making.
func (d *Draft) Close() error { return d.dir.Close() }

// Info is a layer as List shows it.
type Info struct {
	Key  string
	Used time.Time
	Manifest
}

// List lists the layers, the most recently used first.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing layers: %w", err)
	}
	var out []Info
	for _, e := range entries {
		if !validKey(e.Name()) {
			continue
		}
		info := Info{Key: e.Name()}
		dir := filepath.Join(s.dir, e.Name())
		if info.Used, err = store.Used(dir); err != nil {
			continue // being evicted
		}
		data, err := os.ReadFile(store.Manifest(dir))
		if err != nil {
			continue
		}
		if json.Unmarshal(data, &info.Manifest) != nil {
			info.Manifest = Manifest{} // hurt by a crash, and of no use
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b Info) int { return b.Used.Compare(a.Used) })
	return out, nil
}
