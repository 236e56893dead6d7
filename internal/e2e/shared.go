package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox"
)

// shared is a directory with the bases of RealWorld and ExcerptWorld, for all packages of tests
// that run beside each other as one user. The first that wants a base makes it, and the copies of
// packages that are quick to unpack. Each package gets the files under names of its own, as hard
// links: nsbuild writes to no file of a base or of the cache, but puts another in its place. The
// last package deletes the directory.
type shared struct {
	dir  string
	used *os.File // the directory, locked by each process that uses it
}

// What is in the directory: two worlds, each with state and cache, and the excerpt's archive.
const (
	realWorld    = "real"
	excerptWorld = "excerpt"
)

// openShared makes the directory, unless it is there. It is its owner's, as the cache is: what
// somebody else has put in its place is refused. What is in it while nobody uses it is of tests
// that were killed, and goes.
func openShared() (*shared, error) {
	d := &shared{dir: filepath.Join(os.TempDir(), fmt.Sprintf("nsb-e2e-%d", os.Getuid()))}
	for {
		if err := os.Mkdir(d.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		const flags = syscall.O_DIRECTORY | syscall.O_NOFOLLOW
		var err error
		d.used, err = flock.Open(d.dir, flags, flock.Exclusive)
		alone := err == nil
		if errors.Is(err, flock.ErrHeld) {
			d.used, err = flock.Open(d.dir, flags, flock.Shared)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, flock.ErrHeld):
			time.Sleep(time.Millisecond) // it is being deleted, or emptied
			continue
		case err != nil:
			return nil, err
		}
		st, err := d.used.Stat()
		if err != nil {
			return nil, err
		}
		if owner, ok := st.Sys().(*syscall.Stat_t); !ok || owner.Uid != uint32(os.Getuid()) {
			return nil, fmt.Errorf("%s belongs to somebody else", d.dir)
		}
		if !alone {
			return d, nil
		}
		if err := d.empty(); err != nil {
			return nil, err
		}
		if err := flock.Wait(d.used, flock.Shared); err != nil {
			return nil, err
		}
		// Between the two locks another process may have come and gone, and the directory with it.
		if now, err := os.Stat(d.dir); err == nil && os.SameFile(st, now) {
			return d, nil
		}
		if err := flock.Close(d.used); err != nil {
			return nil, err
		}
	}
}

func (d *shared) empty() error {
	old, err := os.ReadDir(d.dir)
	for _, f := range old {
		err = errors.Join(err,
			sandbox.RemoveTree(context.Background(), filepath.Join(d.dir, f.Name())))
	}
	return err
}

// close deletes the directory, unless another process uses it.
func (d *shared) close() error {
	err := flock.Try(d.used, flock.Exclusive)
	if err == nil {
		err = sandbox.RemoveTree(context.Background(), d.dir)
	}
	if errors.Is(err, flock.ErrHeld) {
		err = nil
	}
	return errors.Join(err, flock.Close(d.used))
}

// once has something made, unless it is there, and waits for another process that makes it.
func (d *shared) once(t *testing.T, what string, prepare func()) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(d.dir, what+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	Check(t, err)
	defer func() { Check(t, flock.Close(lock)) }()
	Check(t, flock.Wait(lock, flock.Exclusive))
	done := filepath.Join(d.dir, what+".done")
	if _, err := os.Stat(done); errors.Is(err, fs.ErrNotExist) {
		prepare()
		Check(t, os.WriteFile(done, nil, 0o600))
	}
}

// world is one of those in the directory.
func (d *shared) world(t *testing.T, name string) *World {
	t.Helper()
	top := filepath.Join(d.dir, name)
	Check(t, os.MkdirAll(top, 0o700))
	return &World{State: filepath.Join(top, "state"), Cache: filepath.Join(top, "cache"),
		Dir: t.TempDir()}
}

// real is the world with the base of RealWorld.
func (d *shared) real(t *testing.T) *World {
	t.Helper()
	w := d.world(t, realWorld)
	d.once(t, realWorld, func() {
		w.Must(t, "create", "bookworm")
		w.Must(t, "cache", "copies")
	})
	return w
}

// excerpt is the world with the base of ExcerptWorld. Its archive is served by every process that
// uses the base, to that process's tests.
func (d *shared) excerpt(t *testing.T) (*World, *excerpt) {
	t.Helper()
	w, x := d.world(t, excerptWorld), &excerpt{dir: filepath.Join(d.dir, excerptArchive)}
	all := d.real(t)
	d.once(t, excerptArchive, func() { x.write(t, all) })
	x.serve(t)
	d.once(t, excerptWorld, func() {
		Check(t, linkFiles(all.Cache, w.Cache))
		w.Must(t, "create", "--mirror", x.line(), "bookworm")
	})
	return w, x
}

// linkWorld gives the base of a world, and what it was made of, to another.
func linkWorld(t *testing.T, from, to *World) {
	t.Helper()
	Check(t, linkFiles(from.Cache, to.Cache))
	const base = "bases/bookworm/gen-1"
	Check(t, os.MkdirAll(filepath.Join(to.State, base), 0o700))
	for _, name := range []string{"kernel.json", base + "/manifest.json",
		base + "/bootstrap.log"} {
		Check(t, os.Link(filepath.Join(from.State, name), filepath.Join(to.State, name)))
	}
	for _, name := range []string{"bases/bookworm/lock", base + "/lock"} {
		Check(t, os.WriteFile(filepath.Join(to.State, name), nil, 0o600))
	}
	ids, err := sandbox.ResolveIDs()
	Check(t, err)
	h, err := sandbox.Start(t.Context(), sandbox.HolderSpec{IDs: ids})
	Check(t, err)
	err = h.Applet(t.Context(), linkTree, []string{filepath.Join(from.State, base, "tree"),
		filepath.Join(to.State, base, "tree")})
	Check(t, errors.Join(err, h.Close()))
	Check(t, os.Symlink("gen-1", filepath.Join(to.State, "bases/bookworm/current")))
}

// ExcerptBase gives a world of a test's own the base of ExcerptWorld, which must have been called.
func (w *World) ExcerptBase(t *testing.T) {
	t.Helper()
	linkWorld(t, current.shared.world(t, excerptWorld), w)
}

// linkTree is the applet that makes another tree of the same files: mapped ids own them.
const linkTree = "e2e-link-tree"

func linkTreeApplet(args []string) int {
	err := syscall.Chroot(sandbox.HostRoot)
	if err == nil {
		err = os.Chdir("/")
	}
	if err == nil {
		c := exec.Command("/bin/cp", append([]string{"--archive", "--link"}, args...)...)
		c.Stderr = os.Stderr
		err = c.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// linkFiles gives the files of one cache to another: packages, their copies, and lists.
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
