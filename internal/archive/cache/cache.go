// Package cache keeps what was downloaded, in a directory that several processes share.
//
// A file is named after its digest and has that name only when it is complete and was verified.
// What a process uses it claims, and cleaning leaves that alone. Where files come from is package
// fetch's to know, what stands in them package index's.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
)

// Cache is a directory of files that are named after their digests and appear under that name only
// when complete and verified. They are hashed again when they are first used by a process, which
// notices whatever a crash, a full disk or a failing one did to them; so nothing needs to be
// fsynced, and a bad file is fetched again. Several processes may share it.
type Cache struct {
	dir      string
	log      logrus.FieldLogger
	claims   claims
	mu       sync.Mutex
	verified map[string]fileID // files that were hashed here
}

// fileID tells whether a file is still the one that was hashed.
type fileID struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
}

// The kinds of files in a cache: each is a directory of it.
const (
	Lists      = "lists"
	Debs       = "debs"
	Copies     = "copies"
	Sources    = "sources"
	dirPartial = "partial"
)

// Open makes a cache's directories.
func Open(dir string, log logrus.FieldLogger) (*Cache, error) {
	for _, d := range []string{Lists, Debs, Copies, Sources, dirPartial, dirClaims} {
		if err := makeDir(filepath.Join(dir, d)); err != nil {
			return nil, fault.Wrap(fault.Internal, "choose another cache directory",
				failure.OnDisk(dir, fmt.Errorf("cache: %w", err)))
		}
	}
	return &Cache{dir: dir, log: log, claims: claims{dir: dir, log: log},
		verified: map[string]fileID{}}, nil
}

// Dir is the directory of a kind of files.
func (c *Cache) Dir(kind string) string { return filepath.Join(c.dir, kind) }

// OnDisk names a full disk for what it is and leaves other errors alone.
func (c *Cache) OnDisk(err error) error { return failure.OnDisk(c.dir, err) }

// Claim notes that a file is in use from now on, until the cache is closed.
func (c *Cache) Claim(path string) { c.claims.add(path) }

// Close ends the use of what is in the cache.
func (c *Cache) Close() error { return c.claims.end() }

// Content is what a file must be.
type Content struct {
	Name   string // for people
	Size   int64  // -1 when not known
	Hashes hashes.Set
	Weak   bool // whether MD5 and SHA-1 count
}

// Place is where a digest's file belongs.
func (c *Cache) Place(kind, digest, ext string) string {
	return filepath.Join(c.dir, kind, digest[:2], digest+ext)
}

// Publish gives a complete file its name.
func (c *Cache) Publish(f *os.File, path string) error { return c.publish(f, path, 0) }

func (c *Cache) publish(f *os.File, path string, flags uint) error {
	c.claims.add(path)
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, flags)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: f.Name(), New: path, Err: err}
	}
	return c.remember(path)
}

// PublishOnce is Publish for what may have been made of another download meanwhile: a list comes
// packed in several ways. What is there stays if it is what it must be. The apt of a jail that has
// parsed a list goes by its time of modification, and gives up when that has changed.
func (c *Cache) PublishOnce(f *os.File, path string, want Content) error {
	if err := c.publish(f, path, unix.RENAME_NOREPLACE); !errors.Is(err, fs.ErrExist) {
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // file systems differ
			return c.publish(f, path, 0)
		}
		return err
	}
	if ok, _, err := c.look(path, want); err != nil {
		return err
	} else if !ok {
		return c.publish(f, path, 0)
	}
	return os.Remove(f.Name())
}

// makeDir makes a directory of the cache that the ids of jails may enter, whatever the umask is.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, openMode); err != nil {
		return err
	}
	return openDir(dir)
}

const openMode = 0o755

// openDir mends the mode of a directory that was made under another umask.
func openDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&openMode == openMode {
		return err
	}
	return os.Chmod(dir, openMode)
}

// Intact reports whether a file of the cache is there and is what it should be. The error is one of
// reading the disk.
func (c *Cache) Intact(path string, want Content) (bool, error) {
	ok, damaged, err := c.look(path, want)
	if damaged {
		c.log.Warnf("%s is damaged in the cache", want.Name)
	}
	return ok, err
}

func (c *Cache) look(path string, want Content) (ok, damaged bool, err error) {
	c.claims.add(path)
	id, err := identify(path)
	if errors.Is(err, unix.ENOENT) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("cache: %s: %w", path, err)
	}
	if want.Size >= 0 && id.size != want.Size {
		return false, false, nil
	}
	c.mu.Lock()
	known := c.verified[path]
	c.mu.Unlock()
	if known == id {
		return true, false, nil
	}
	// Nothing that was read is left to chance: hashing takes 30 ms for the 50 MB of a Packages
	// file.
	digest, sum := want.Hashes.Strongest(want.Weak)
	f, err := os.Open(path)
	if err != nil {
		return false, false, fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return false, false, fmt.Errorf("cache: %w", err)
	}
	if fmt.Sprintf("%x", sum.Sum(nil)) != digest {
		return false, true, nil
	}
	return true, false, c.Used(path)
}

// Used marks a file as in use, by its time of access, and as verified. It is marked once an hour at
// most: each time makes other Clients verify it again. Its time of modification stays, which apt's
// binary cache goes by.
func (c *Cache) Used(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if now := time.Now(); now.Sub(time.Unix(st.Atim.Unix())) > time.Hour {
		if err := os.Chtimes(path, now, time.Time{}); err != nil && !errors.Is(err, unix.EPERM) &&
			!errors.Is(err, unix.EROFS) {
			return fmt.Errorf("cache: %w", err)
		}
	}
	if err := openDir(filepath.Dir(path)); err != nil && !errors.Is(err, unix.EPERM) &&
		!errors.Is(err, unix.EROFS) {
		return fmt.Errorf("cache: %w", err)
	}
	return c.remember(path)
}

func (c *Cache) remember(path string) error {
	id, err := identify(path)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.verified[path] = id
	c.mu.Unlock()
	return nil
}

func identify(path string) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileID{}, fmt.Errorf("not a regular file")
	}
	return fileID{st.Ino, st.Size, st.Mtim, st.Ctim}, nil
}

// LockPart opens the file that a download grows in and locks it, waiting while another process is
// at it. What an earlier, interrupted download left in it is resumed.
func (c *Cache) LockPart(ctx context.Context, digest string) (*os.File, error) {
	name := filepath.Join(c.dir, dirPartial, digest)
	for waited := false; ; {
		f, err := flock.Open(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, flock.Exclusive)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrNotExist):
			// the one who held the lock has moved the file to its place
			continue
		case !errors.Is(err, flock.ErrHeld):
			return nil, failure.OnDisk(c.dir, fmt.Errorf("cache: %w", err))
		}
		if !waited {
			c.log.Debugf("waiting for another download of %s", name)
			waited = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// CopyDigest is a copy's own digest, by its name.
func CopyDigest(path string) string {
	digest := strings.TrimSuffix(path, ".deb")
	return digest[strings.LastIndexByte(digest, '.')+1:]
}
