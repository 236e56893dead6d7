package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/flock"
)

// downloads is a directory with what the base of RealWorld is made of, for all packages of tests
// that run beside each other. The first of them fetches that, and has nsbuild make the copies that
// are quick to unpack. The last of them deletes it.
//
// All files in it are named by their digests, and verified by each nsbuild that uses them.
type downloads struct {
	dir  string
	used *os.File // the directory, locked by each process that uses it
}

// openDownloads makes the directory, unless it is there. It is its owner's, as the cache is: what
// somebody else has put in its place is refused.
func openDownloads() (*downloads, error) {
	d := &downloads{dir: filepath.Join(os.TempDir(), fmt.Sprintf("nsb-e2e-%d", os.Getuid()))}
	for {
		if err := os.Mkdir(d.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		var err error
		d.used, err = flock.Open(d.dir, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, flock.Shared)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, flock.ErrHeld):
			time.Sleep(time.Millisecond) // it is being deleted
			continue
		case err != nil:
			return nil, err
		}
		if st, err := d.used.Stat(); err != nil {
			return nil, err
		} else if owner, ok := st.Sys().(*syscall.Stat_t); !ok || owner.Uid != uint32(os.Getuid()) {
			return nil, fmt.Errorf("%s belongs to somebody else", d.dir)
		}
		return d, nil
	}
}

// close deletes the directory, unless another process uses it.
func (d *downloads) close() error {
	err := flock.Try(d.used, flock.Exclusive)
	if err == nil {
		err = os.RemoveAll(d.dir)
	}
	if errors.Is(err, flock.ErrHeld) {
		err = nil
	}
	return errors.Join(err, d.used.Close())
}

// makeBase makes the base of a world whose cache is empty.
func (d *downloads) makeBase(t *testing.T, w *World) {
	t.Helper()
	if d.fill(t, w) {
		return
	}
	Check(t, linkFiles(d.dir, w.Cache))
	w.Must(t, "create", "bookworm")
}

// makeExcerptBase makes a base of an excerpt of what there is in the archive.
func (d *downloads) makeExcerptBase(t *testing.T, w *World) (srv *httptest.Server, mirror string) {
	t.Helper()
	d.fill(t, NewWorld(t))
	Check(t, linkFiles(d.dir, w.Cache))
	x, err := d.readExcerpt()
	Check(t, err)
	srv, mirror = x.serve(t, filepath.Join(filepath.Dir(w.State), "keyring.gpg"))
	w.Must(t, "create", "--mirror", mirror, "bookworm")
	return srv, mirror
}

// fill downloads what is needed, unless another process has, by making the base of a world.
func (d *downloads) fill(t *testing.T, w *World) (made bool) {
	t.Helper()
	making, err := os.OpenFile(filepath.Join(d.dir, "making"), os.O_RDWR|os.O_CREATE, 0o600)
	Check(t, err)
	defer func() { Check(t, making.Close()) }() // which unlocks it
	Check(t, flock.Wait(making, flock.Exclusive))
	done := filepath.Join(d.dir, "done")
	if _, err := os.Stat(done); errors.Is(err, fs.ErrNotExist) {
		w.Must(t, "create", "bookworm")
		w.Must(t, "cache", "copies")
		Check(t, linkFiles(w.Cache, d.dir))
		Check(t, d.writeExcerpt(w))
		Check(t, os.WriteFile(done, nil, 0o600))
		return true
	}
	return false
}

// linkFiles gives the files of one cache to another: packages, their copies and lists, but not what
// says when a mirror was asked for them.
func linkFiles(from, to string) error {
	for _, kind := range []string{"debs", "copies", "lists"} {
		err := filepath.WalkDir(filepath.Join(from, kind),
			func(path string, f fs.DirEntry, err error) error {
				there := filepath.Join(to, strings.TrimPrefix(path, from))
				switch {
				case err != nil:
					return err
				case f.IsDir():
					return os.MkdirAll(there, 0o700)
				case strings.HasSuffix(path, ".json"):
					return nil
				}
				if err := os.Link(path, there); !errors.Is(err, fs.ErrExist) {
					return err
				}
				return nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}
