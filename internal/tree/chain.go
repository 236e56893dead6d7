// Package tree goes through directory trees that others wrote: it walks them and deletes them,
// however deep they are and however many names they have, with a bounded number of descriptors and
// without recursion. Names are resolved one at a time, beneath the directory that was opened
// before; no link is followed, and nothing is entered on which another file system is mounted.
//
// What a tree is, and who may delete it, is the callers' business.
package tree

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// maxOpen is how many directories of one way down are held open. More are opened again on the way
// up.
const maxOpen = 16

var (
	// ErrMounted means that something is mounted on a directory of the tree.
	ErrMounted = errors.New("something is mounted on it")
	// ErrMoved means that a directory of the tree was moved elsewhere while it was gone through.
	ErrMoved = errors.New("it was moved meanwhile")
)

// Chain is a way down a tree: the directory that one is in, and those above it up to the root. Of
// these the nearest are open.
type Chain struct{ levels []level }

// level is a directory of a chain. What it is known by is checked when it is opened again.
type level struct {
	dev, ino uint64
	fd       int // -1: not open
}

// Open begins a chain at a directory. The last part of the path may not be a link.
func Open(dir string) (*Chain, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	c := &Chain{}
	if err := c.push(fd); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return c, nil
}

// From begins a chain at an open directory, of which it keeps a descriptor of its own.
func From(dir int) (*Chain, error) {
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &Chain{}
	return c, c.push(fd)
}

// push takes ownership of fd.
func (c *Chain) push(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	c.levels = append(c.levels, level{st.Dev, st.Ino, fd})
	if far := len(c.levels) - 1 - maxOpen; far >= 0 && c.levels[far].fd >= 0 {
		unix.Close(c.levels[far].fd)
		c.levels[far].fd = -1
	}
	return nil
}

// Fd is the directory that one is in. It is the chain's, and holds until the next Enter or Leave.
func (c *Chain) Fd() int { return c.levels[len(c.levels)-1].fd }

// Depth is how far below the root one is.
func (c *Chain) Depth() int { return len(c.levels) - 1 }

// Enter goes down into a directory.
func (c *Chain) Enter(name string) error {
	fd, err := openDir(c.Fd(), name)
	if err != nil {
		return err
	}
	return c.push(fd)
}

// Leave goes up by one, to the very directory that one came from.
func (c *Chain) Leave() error {
	last := c.levels[len(c.levels)-1]
	c.levels = c.levels[:len(c.levels)-1]
	defer unix.Close(last.fd)
	if len(c.levels) == 0 {
		return nil
	}
	up := &c.levels[len(c.levels)-1]
	if up.fd >= 0 {
		return nil
	}
	fd, err := openDir(last.fd, "..")
	if err != nil {
		return err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Dev != up.dev || st.Ino != up.ino) {
		err = ErrMoved
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	up.fd = fd
	return nil
}

// Close ends the chain.
func (c *Chain) Close() {
	for _, l := range c.levels {
		if l.fd >= 0 {
			unix.Close(l.fd)
		}
	}
	c.levels = nil
}

// openDir opens a directory in another, or the one above it, on the same mount.
func openDir(at int, name string) (int, error) {
	for {
		fd, err := unix.Openat2(at, name, &unix.OpenHow{
			Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK |
				unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS,
		})
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EXDEV):
			return -1, fmt.Errorf("%w (%w)", ErrMounted, err)
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN): // openat2(2)
			return -1, err
		}
	}
}
