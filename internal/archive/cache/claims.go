package cache

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/flock"
)

// What a process uses of the cache it claims beforehand, in a file of its own that it keeps locked:
// who cleans the cache leaves it there. Claims end with their process, however that ends.
//
//	CACHE/claims/…    names of files, one a line; locked by the claimant
//	CACHE/clean.lock  held shared for each claim, and alone while files are deleted
//
// A claim comes before the look whether the file is there. So either the file is seen to be gone,
// and is fetched again, or whoever deletes sees the claim.
const (
	dirClaims = "claims"
	cleanLock = "clean.lock"
)

// claims are those of one user of the cache.
type claims struct {
	dir   string // the cache's
	log   logrus.FieldLogger
	mu    sync.Mutex
	file  *os.File // nil until the first one
	clean *os.File
	made  map[string]bool
	off   bool // nothing can be written there, so nobody cleans it either; or the disk is full
}

// add notes that a file of the cache is in use from now on.
func (k *claims) add(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.off || k.made[path] {
		return
	}
	if err := k.write(path); err != nil {
		k.off = true
		if !errors.Is(err, syscall.EROFS) && !errors.Is(err, fs.ErrPermission) {
			k.log.Warnf(
				"cache: what is in use cannot be noted, so nobody should clean the cache now: %v",
				err)
		}
		return
	}
	k.made[path] = true
}

func (k *claims) write(path string) error {
	name, err := filepath.Rel(k.dir, path)
	if err == nil && k.file == nil {
		err = k.open()
	}
	if err == nil {
		err = flock.Wait(k.clean, flock.Shared)
	}
	if err != nil {
		return err
	}
	_, err = k.file.WriteString(name + "\n")
	return errors.Join(err, flock.Release(k.clean))
}

// open makes the claimant's file.
func (k *claims) open() error {
	var err error
	if k.clean, err = os.OpenFile(filepath.Join(k.dir, cleanLock), os.O_RDWR|os.O_CREATE,
		0o600); err != nil {
		return err
	}
	for {
		f, err := os.CreateTemp(filepath.Join(k.dir, dirClaims), "")
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		k.file, err = flock.Open(f.Name(), os.O_RDWR|os.O_APPEND, flock.Exclusive)
		if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
			continue // one who cleans was faster
		}
		k.made = map[string]bool{}
		return err
	}
}

// end gives up what was claimed.
func (k *claims) end() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.off = true
	if k.clean == nil {
		return nil
	}
	err := k.clean.Close()
	if k.file != nil {
		err = errors.Join(err, ignoreMissing(os.Remove(k.file.Name())), k.file.Close())
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// trimBatch is how many files are deleted while nobody can claim one.
const trimBatch = 100

// Trim deletes files of the cache, but those that are pinned or in use. It returns how many bytes
// that freed, and how many files are in use.
func (c *Cache) Trim(entries []Entry) (freed int64, used int, err error) {
	lock, err := os.OpenFile(filepath.Join(c.dir, cleanLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, 0, fmt.Errorf("cache: %w", err)
	}
	defer lock.Close()
	for len(entries) > 0 {
		n := min(len(entries), trimBatch)
		some, kept, err := c.trimSome(lock, entries[:n])
		freed, used = freed+some, used+kept
		if err != nil {
			return freed, used, fmt.Errorf("cache: %w", err)
		}
		entries = entries[n:]
	}
	return freed, used, nil
}

func (c *Cache) trimSome(lock *os.File, entries []Entry) (freed int64, used int, err error) {
	if err := flock.Wait(lock, flock.Exclusive); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, flock.Release(lock)) }()
	claimed, err := claimed(c.dir)
	if err != nil {
		return 0, 0, err
	}
	pins, err := c.Keepers()
	if err != nil {
		return 0, 0, err
	}
	var free []Entry
	for _, e := range entries {
		if pins.Keep(e) {
			continue
		}
		name, err := filepath.Rel(c.dir, e.Path)
		if err != nil {
			return 0, 0, err
		}
		if claimed[name] {
			used++
			continue
		}
		free = append(free, e)
	}
	freed, err = c.Remove(free)
	return freed, used, err
}

// claimed are the files of a cache that living processes use. What dead ones have left is deleted.
func claimed(dir string) (map[string]bool, error) {
	all := map[string]bool{}
	files, err := os.ReadDir(filepath.Join(dir, dirClaims))
	if err != nil {
		return nil, err
	}
	for _, e := range files {
		if err := readClaims(filepath.Join(dir, dirClaims, e.Name()), all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readClaims(name string, into map[string]bool) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flock.Try(f, flock.Exclusive); !errors.Is(err, flock.ErrHeld) {
		if err != nil {
			return err
		}
		return ignoreMissing(os.Remove(name))
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		into[lines.Text()] = true
	}
	return lines.Err()
}
