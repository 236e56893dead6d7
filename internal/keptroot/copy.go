package keptroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/ctxio"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
)

// Copier takes files out of a kept build. What is no regular file and no directory stays there: a
// link may lead anywhere, and a device is not the build's to hand out.
type Copier struct {
	Jail jails.Files
	// Left counts what stayed there.
	Left int
}

// Copy takes a file, or a directory with all below it, out of the jail. to must not exist; its
// directory must.
func (c *Copier) Copy(ctx context.Context, from, to string) error {
	dir, err := os.OpenRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	in, err := c.Jail.Open(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, explain(err))
	}
	return c.one(ctx, in, from, dir, filepath.Base(to))
}

// explain says what the kernel does not of a link, which is not followed, and of what is no file.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ELOOP):
		return fault.New(fault.Usage, "name what it leads to", "it is, or leads through, a symbolic "+
			"link")
	case errors.Is(err, unix.EINVAL):
		return fault.New(fault.Usage, "nsbuild enter looks at what it is", "it is neither a regular "+
			"file nor a directory")
	}
	return err
}

func (c *Copier) one(ctx context.Context, in *os.File, from string, dir *os.Root,
	name string) error {
	defer in.Close()
	st, err := in.Stat()
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case st.IsDir():
		if err := dir.Mkdir(name, 0o700); err != nil {
			return err
		}
		err = c.below(ctx, in, from, dir, name)
	default:
		err = copyFile(ctx, in, dir, name)
	}
	if err == nil { // it is the caller's now, who can read it and delete it
		mode := st.Mode().Perm() | 0o600
		if st.IsDir() {
			mode |= 0o100
		}
		err = dir.Chmod(name, mode)
	}
	if err == nil {
		err = dir.Chtimes(name, time.Time{}, st.ModTime())
	}
	return err
}

// below copies what is in a directory.
func (c *Copier) below(ctx context.Context, in *os.File, from string, dir *os.Root,
	name string) error {
	to, err := dir.OpenRoot(name)
	if err != nil {
		return err
	}
	defer to.Close()
	for {
		names, err := in.Readdirnames(256)
		for _, n := range names {
			file, err := c.Jail.Open(path.Join(from, n))
			if err != nil { // a link, a device, a FIFO, a socket; or deeper than a path can say
				c.Left++
				continue
			}
			if err := c.one(ctx, file, path.Join(from, n), to, n); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyFile copies a regular file; its holes stay holes.
func copyFile(ctx context.Context, in *os.File, dir *os.Root, name string) (err error) {
	out, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < st.Size(); {
		begin, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to its end
		}
		end := st.Size()
		if errors.Is(err, unix.EINVAL) {
			begin, err = at, nil // this file system knows no holes
		} else if err == nil {
			end, err = unix.Seek(int(in.Fd()), begin, unix.SEEK_HOLE)
		}
		if err != nil {
			return err
		}
		if _, err := out.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		part := io.NewSectionReader(in, begin, end-begin)
		if _, err := io.Copy(out, ctxio.NewReader(ctx, part)); err != nil {
			return err
		}
		at = end
	}
	return out.Truncate(st.Size())
}
