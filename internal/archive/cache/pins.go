package cache

import (
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
	"nsbuild/internal/flock"
	"nsbuild/internal/regular"
)

// What is pinned stays, however long nobody uses it and whatever it takes: cleaning leaves it.
//
//	CACHE/pins/NAME.json    a Pin
const (
	dirPins   = "pins"
	pinSuffix = ".json"
	pinSchema = 1
	maxPin    = 16 << 20 // bytes
)

// Pin has files stay in the cache: those that a build was made from.
type Pin struct {
	Schema int       `json:"schema"`
	Name   string    `json:"-"`    // that of its file
	What   string    `json:"what"` // for people: "hello 2.10-3, bookworm amd64"
	From   string    `json:"from"` // the file that says what is pinned; "": a build
	Made   time.Time `json:"made"`
	Files  []Pinned  `json:"files"`
	// Gone are those of Files that are not there. It is found out when pins are listed.
	Gone []Pinned `json:"-"`
	// Damaged is why its file cannot be read; nil: it can.
	Damaged error `json:"-"`
}

// Pinned is a file of the cache.
type Pinned struct {
	Kind   string `json:"kind"` // Debs or Sources
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Name   string `json:"name"` // for people
}

// Bytes are how many a pin keeps.
func (p *Pin) Bytes() (n int64) {
	for _, f := range p.Files {
		n += f.Size
	}
	return n
}

// path is where the file is, from the cache's directory on; "" where there is no such place.
func (f Pinned) path() string {
	if len(f.SHA256) != 2*sha256.Size || strings.Trim(f.SHA256, "0123456789abcdef") != "" {
		return ""
	}
	switch f.Kind {
	case Debs:
		return filepath.Join(Debs, f.SHA256[:2], f.SHA256+".deb")
	case Sources:
		return filepath.Join(Sources, f.SHA256[:2], f.SHA256)
	}
	return ""
}

// PinName is the name of a pin of something: the same for the same files.
func PinName(what string, files []Pinned) string {
	var all []string
	for _, f := range files {
		all = append(all, f.Kind+" "+f.SHA256)
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(all), "\n")))
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && strings.ContainsRune("+.-_~", r) || r >= '0' && r <= '9' ||
			r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, what)
	const longest = 100
	return strings.TrimLeft(plain[:min(len(plain), longest)], ".-") + "-" +
		hex.EncodeToString(sum[:4])
}

// Pin has files stay. What is not there is in Gone.
func (c *Cache) Pin(p *Pin) error {
	for _, f := range p.Files {
		if f.path() == "" {
			return fmt.Errorf("cache: %q has no SHA-256 that counts", f.Name)
		}
	}
	if err := makeDir(filepath.Join(c.dir, dirPins)); err != nil {
		return c.OnDisk(fmt.Errorf("cache: %w", err))
	}
	out := *p
	out.Schema = pinSchema
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	// Whoever deletes files meanwhile has read the pins before, or reads this one.
	lock, err := os.OpenFile(filepath.Join(c.dir, cleanLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer lock.Close()
	if err := flock.Wait(lock, flock.Shared); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	err = atomicfile.Write(c.pinFile(p.Name), text, atomicfile.Options{Mode: 0o644, Sync: true})
	if err = errors.Join(err, flock.Release(lock)); err != nil {
		return c.OnDisk(fmt.Errorf("cache: %w", err))
	}
	p.Gone = c.gone(p.Files)
	return nil
}

func (c *Cache) pinFile(name string) string {
	return filepath.Join(c.dir, dirPins, name+pinSuffix)
}

// gone are the files that are not there, or not in their size.
func (c *Cache) gone(files []Pinned) (gone []Pinned) {
	for _, f := range files {
		var st unix.Stat_t
		err := unix.Lstat(filepath.Join(c.dir, f.path()), &st)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || f.Size > 0 && st.Size != f.Size {
			gone = append(gone, f)
		}
	}
	return gone
}

// Pins lists the pins, the oldest first, those that are damaged among them.
func (c *Cache) Pins() ([]*Pin, error) {
	entries, err := os.ReadDir(filepath.Join(c.dir, dirPins))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	var all []*Pin
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), pinSuffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue // being written
		}
		p, err := c.readPin(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			p = &Pin{Damaged: err}
		}
		p.Name, p.Gone = name, c.gone(p.Files)
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b *Pin) int { return a.Made.Compare(b.Made) })
	return all, nil
}

func (c *Cache) readPin(name string) (*Pin, error) {
	text, err := regular.ReadFile(c.pinFile(name), maxPin)
	if err != nil {
		return nil, err
	}
	var p Pin
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, err
	}
	if p.Schema != pinSchema {
		return nil, fmt.Errorf("it has schema %d, this program knows %d", p.Schema, pinSchema)
	}
	for _, f := range p.Files {
		if f.path() == "" {
			return nil, fmt.Errorf("%q of it has no SHA-256 that counts", f.Name)
		}
	}
	return &p, nil
}

// Unpin deletes a pin. What it kept stays until the cache is cleaned.
func (c *Cache) Unpin(name string) error {
	if name != filepath.Base(name) {
		return fs.ErrNotExist
	}
	return os.Remove(c.pinFile(name))
}

// Keepers are the pins as whoever cleans asks them.
type Keepers struct {
	files map[string]bool // by their paths, from the cache's directory on
	// Damaged are pins that cannot be read: all packages and sources stay while there is one.
	Damaged []*Pin
	dir     string
}

// Keepers are all pins.
func (c *Cache) Keepers() (*Keepers, error) {
	pins, err := c.Pins()
	if err != nil {
		return nil, err
	}
	k := &Keepers{files: map[string]bool{}, dir: c.dir}
	for _, p := range pins {
		if p.Damaged != nil {
			k.Damaged = append(k.Damaged, p)
		}
		for _, f := range p.Files {
			k.files[f.path()] = true
		}
	}
	return k, nil
}

// Keep tells whether a file stays.
func (k *Keepers) Keep(e Entry) bool {
	if len(k.Damaged) > 0 && (e.Kind == Debs || e.Kind == Sources) {
		return true
	}
	name, err := filepath.Rel(k.dir, e.Path)
	return err == nil && k.files[name]
}
