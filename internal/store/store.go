// Package store keeps directories on disk that processes share: a base's generations, layers, kept
// builds. Each is made aside as a draft, gets its name by one rename, is used under a shared lock,
// and is deleted under an exclusive one. A lock ends with its holder, however that dies, so what a
// killed process has left can be told from what is still used.
//
//	NAME/lock           held by the directory's users
//	NAME/manifest.json  what is recorded about it
//	NAME/tree/          what it is kept for
//	NAME/lessees/…      links to directories that lie upon it
//	draft-…/            being made, or left by a maker or a deleter that was killed
//
// A directory that lies upon another has a lease of that one: while it is there, the other is used,
// whether a process lives that uses it or not.
//
// What the names mean, what is recorded, who waits for whom, and how trees are deleted, is left to
// the callers.
package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/flock"
)

// DraftPrefix begins the names of drafts.
const DraftPrefix = "draft-"

const (
	lockName = "lock"
	// abandoned: where a kill can have come between two steps, what is older than this belongs to
	// nobody.
	abandoned = time.Minute
)

// ErrUsed means that somebody uses a directory.
var ErrUsed = flock.ErrHeld

// Tree is where a directory has what it is kept for.
func Tree(dir string) string { return filepath.Join(dir, "tree") }

// Manifest is where a directory has what is recorded about it.
func Manifest(dir string) string { return filepath.Join(dir, "manifest.json") }

// Dir is a directory with its lock held.
type Dir struct {
	path string
	lock *os.File
}

// Use takes a directory into use: it stays while it is not closed. One that is being deleted is as
// good as gone, which is fs.ErrNotExist.
func Use(path string) (*Dir, error) {
	d, err := open(path, flock.Shared)
	if errors.Is(err, ErrUsed) {
		return nil, fs.ErrNotExist
	}
	return d, err
}

// Claim takes a directory for its deletion: ErrUsed when somebody uses it or has a lease of it,
// fs.ErrNotExist when it is not there or has no lock.
func Claim(path string) (*Dir, error) {
	d, err := open(path, flock.Exclusive)
	if err != nil {
		return nil, err
	}
	// whoever takes a lease uses the directory meanwhile
	lessees, err := Lessees(path)
	if err == nil && len(lessees) > 0 {
		err = ErrUsed
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Own takes a directory that nobody else may use meanwhile: ErrUsed when somebody does.
func Own(path string) (*Dir, error) { return open(path, flock.Exclusive) }

func open(path string, mode flock.Mode) (*Dir, error) {
	f, err := flock.Open(filepath.Join(path, lockName), os.O_RDWR, mode)
	if err != nil {
		return nil, err
	}
	return &Dir{path, f}, nil
}

// Begin makes a draft in a directory, and takes it into use.
func Begin(parent string) (*Dir, error) {
	path, err := os.MkdirTemp(parent, DraftPrefix)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock.Wait(f, flock.Shared); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Dir{path, f}, nil
}

// lessees is where a directory has the links to those that lie upon it.
func lessees(path string) string { return filepath.Join(path, "lessees") }

// Lease has a directory that is in use stay while another one is there, which lies upon it: the one
// called by, an absolute path, which need not be there yet.
func (d *Dir) Lease(by string) error {
	if err := os.Mkdir(lessees(d.path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	link := filepath.Join(lessees(d.path), filepath.Base(by))
	return atomicfile.Symlink(by, link, link+".new")
}

// Lessees are the directories that lie upon one. A lease ends with its lessee, however that goes.
func Lessees(path string) (all []string, err error) {
	links, err := os.ReadDir(lessees(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, l := range links {
		by, readErr := os.Readlink(filepath.Join(lessees(path), l.Name()))
		if readErr == nil && !Gone(by) {
			all = append(all, by)
		}
	}
	return all, err
}

// Path is where the directory was when it was taken.
func (d *Dir) Path() string { return d.path }

// Publish gives a draft its name, unless there is one of that name: then it is fs.ErrExist.
func (d *Dir) Publish(name string) error {
	to := filepath.Join(filepath.Dir(d.path), name)
	err := unix.Renameat2(unix.AT_FDCWD, d.path, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: d.path, New: to, Err: err}
	}
	d.path = to
	return nil
}

// Close gives up its use, or the right to delete it.
func (d *Dir) Close() error { return flock.Close(d.lock) }

// Touch notes that it is used now.
func (d *Dir) Touch() error {
	now := time.Now()
	return os.Chtimes(filepath.Join(d.path, lockName), now, now)
}

// Used is when a directory was last noted to be used.
func Used(path string) (time.Time, error) {
	st, err := os.Stat(filepath.Join(path, lockName))
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// Gone tells whether a directory is no longer there, or is half deleted.
func Gone(path string) bool {
	_, err := os.Lstat(filepath.Join(path, lockName))
	return errors.Is(err, fs.ErrNotExist)
}

// Sync waits until it has reached the disk, and with it all else that was written to the same one.
func (d *Dir) Sync() error {
	if err := unix.Syncfs(int(d.lock.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: d.path, Err: err}
	}
	return nil
}

// Drafts lists the drafts in a directory, those that are being made among them.
func Drafts(parent string) ([]string, error) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), DraftPrefix) {
			out = append(out, filepath.Join(parent, e.Name()))
		}
	}
	return out, nil
}

// Abandoned tells whether a draft has no lock, because its maker was killed before it made that, or
// its deleter after it had deleted that.
func Abandoned(draft string) bool {
	// In this order: whoever deletes the lock between the two looks makes the directory new.
	unlocked := Gone(draft)
	st, err := os.Lstat(draft)
	return unlocked && err == nil && time.Since(st.ModTime()) > abandoned
}

// Retire makes a claimed directory a draft, and returns where it is then: nobody finds it under its
// name any more, also when its deletion is cut short.
func (d *Dir) Retire() (string, error) {
	draft, err := os.MkdirTemp(filepath.Dir(d.path), DraftPrefix)
	if err == nil {
		err = unix.Rename(d.path, draft) // over the empty directory, which os.Rename would not do
	}
	return draft, err
}
