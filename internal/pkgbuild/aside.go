package pkgbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

// aside are files being written beside their places. They reach the disk beside each other, and
// while others are written: a result that is announced survives a power failure.
type aside struct {
	dir     string
	names   []string
	temps   []string
	index   map[string]int
	total   int64 // bytes that are to be written
	syncing errgroup.Group

	mu  sync.Mutex
	err error // the first that the directory itself caused
}

// atOnce is how many files are open at a time, on their way to the disk.
const atOnce = 16

func newAside(dir string) *aside {
	a := &aside{dir: dir, index: map[string]int{}}
	a.syncing.SetLimit(atOnce)
	return a
}

// path is where a file lies meanwhile, "" when there is none of that name.
func (a *aside) path(name string) string {
	if i, ok := a.index[name]; ok {
		return a.temps[i]
	}
	return ""
}

// create makes a file that will be called name.
func (a *aside) create(name string) (*asideFile, error) {
	f, err := os.CreateTemp(a.dir, ".nsbuild-*")
	if err != nil {
		return nil, a.failed(err)
	}
	a.index[name] = len(a.names)
	a.names, a.temps = append(a.names, name), append(a.temps, f.Name())
	return &asideFile{File: f, a: a}, nil
}

// write makes a whole file.
func (a *aside) write(name string, data []byte) error {
	f, err := a.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// failed remembers an error of the directory that is written to: whoever copies into it cannot tell
// it from one of what is read.
func (a *aside) failed(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err = reason(err)
	if a.err == nil && err != nil {
		a.err = err
	}
	return err
}

// reason is what the system says against a file of ours, without its name, which nobody knows.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// failure is what the directory itself has caused.
func (a *aside) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// asideFile is one of them. That it has reached the disk, publish will tell.
type asideFile struct {
	*os.File
	a    *aside
	hole bool // it ends with one
}

// leastHole is the least number of zeros that become a hole.
const leastHole = 4 << 10

// Write leaves holes for zeros: a file without content must not fill the disk, however long it is.
func (f *asideFile) Write(p []byte) (int, error) {
	if len(p) >= leastHole && bytes.Count(p, []byte{0}) == len(p) {
		f.hole = true
		_, err := f.Seek(int64(len(p)), io.SeekCurrent)
		return len(p), f.a.failed(err)
	}
	f.hole = false
	n, err := f.File.Write(p)
	return n, f.a.failed(err)
}

func (f *asideFile) Close() error {
	err := f.end()
	if err != nil {
		return f.a.failed(errors.Join(err, f.File.Close()))
	}
	f.a.syncing.Go(func() error { return f.a.failed(errors.Join(f.Sync(), f.File.Close())) })
	return nil
}

// end gives a file its mode, and its length where it ends with a hole.
func (f *asideFile) end() error {
	if f.hole {
		size, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	return f.Chmod(0o644)
}

// publish gives all files their names, in the order of their making. They are on disk by then: see
// synced.
func (a *aside) publish() ([]string, error) {
	var done []string
	for i, temp := range a.temps {
		to := filepath.Join(a.dir, a.names[i])
		if err := os.Rename(temp, to); err != nil {
			return done, fmt.Errorf("storing %s: %w", a.names[i], reason(err))
		}
		done = append(done, to)
	}
	a.temps = nil
	return done, nil
}

// synced waits until all files have reached the disk, or ctx ends.
func (a *aside) synced(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- a.syncing.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("storing the results: %w", err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *aside) discard() {
	// first: the disk may take its time, and we may be killed meanwhile
	for _, temp := range a.temps {
		_ = os.Remove(temp) // what could be done? it has no name that anybody looks for
	}
	_ = a.synced(context.Background()) // of what is thrown away
}
