// Package atomicfile writes files that are there whole or not at all: under another name in the
// same directory first, then renamed. Who looks meanwhile, and who looks after a crash of the
// program, sees the old file or the new one.
//
// A crash of the machine is another matter: see Options.Sync. Nothing is locked here, so a
// temporary file of a killed process stays; who keeps a directory tidy knows them by their prefix.
package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// Options say how a file is written.
type Options struct {
	// Prefix begins the temporary file's name; what follows is a number. By default it is the
	// file's own name between two points.
	Prefix string
	// Perm are the permissions of which the umask takes its part; 0600 by default.
	Perm fs.FileMode
	// Mode, when set, are the permissions whatever the umask is.
	Mode fs.FileMode
	// Sync waits until the file has reached the disk before it gets its name. Without that a crash
	// of the machine can leave an empty file of that name, or half of one.
	Sync bool
}

// File is a file being written. It ends with Finish.
type File struct {
	*os.File
	name string
	opt  Options
}

// Create begins a file that will be called name.
func Create(name string, opt Options) (*File, error) {
	prefix := opt.Prefix
	if prefix == "" {
		prefix = "." + filepath.Base(name) + "."
	}
	perm := opt.Perm
	if perm == 0 {
		perm = 0o600
	}
	const tries = 10000 // as os.CreateTemp does
	for i := 0; ; i++ {
		temp := filepath.Join(filepath.Dir(name), prefix+strconv.FormatUint(rand.Uint64(), 10))
		f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			return &File{f, name, opt}, nil
		}
		if !errors.Is(err, fs.ErrExist) || i == tries {
			return nil, named(err, temp, name)
		}
	}
}

// named has an error be about the file that its user knows.
func named(err error, temp, name string) error {
	var p *fs.PathError
	if errors.As(err, &p) && p.Path == temp {
		return &fs.PathError{Op: p.Op, Path: name, Err: p.Err}
	}
	var l *os.LinkError
	if errors.As(err, &l) && l.Old == temp {
		return &fs.PathError{Op: "create", Path: name, Err: l.Err}
	}
	return err
}

// Write is that of the file.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, named(err, f.Name(), f.name)
}

// ReadFrom is that of the file, which may copy without reading.
func (f *File) ReadFrom(r io.Reader) (int64, error) {
	n, err := f.File.ReadFrom(r)
	return n, named(err, f.Name(), f.name)
}

// Finish gives the file its name, in the place of what has it. When err is set, because what should
// be written could not be, or when the name cannot be given, the file is deleted; err is part of
// what is returned.
func (f *File) Finish(err error) error {
	if err == nil && f.opt.Mode != 0 {
		err = f.Chmod(f.opt.Mode)
	}
	if err == nil && f.opt.Sync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), f.name)
	}
	if err != nil {
		return errors.Join(named(err, f.Name(), f.name), os.Remove(f.Name()))
	}
	return nil
}

// Write writes a whole file.
func Write(name string, data []byte, opt Options) error {
	f, err := Create(name, opt)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return f.Finish(err)
}

// Symlink makes link point to target in one step, whether there is such a link or not. It is made
// under the name temp, which nobody else may use at this time; what a killed process has left there
// is replaced.
func Symlink(target, link, temp string) error {
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, link); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}
