// Package regular opens regular files for reading, and nothing else.
//
// A name can stand for anything: a FIFO, whose opening waits for a writer for ever and cannot be
// interrupted; a device, whose opening does something; a link to a file that the caller may read
// but has not named. What may be opened depends on who has made the name, so there is one opener
// for each:
//
//   - Open: the caller named the file. Links are followed, wherever they lead.
//   - OpenIn: the file lies in a tree that others have made, such as a source directory. Links are
//     followed as long as they stay in the tree.
//   - OpenNoFollow: the same for a name that is not to be a link at all.
//
// None of them waits. What a file holds is the callers' business.
package regular

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotRegular means that a name stands for something else than a regular file.
var ErrNotRegular = errors.New("not a regular file")

// ErrLink means that a name is a symbolic link where none is followed. It is an ErrNotRegular, too.
var ErrLink = errors.New("a symbolic link")

// flags keep the opening of a FIFO from waiting for a writer, and that of a terminal from making it
// the controlling one.
const flags = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY

// Open opens a file that the caller named. /dev/null, with which a file is named that says nothing,
// passes for an empty one.
func Open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, flags, 0)
	return checked(f, name, err)
}

// OpenNoFollow opens a file unless its name is a symbolic link. Links among its directories are
// followed.
func OpenNoFollow(name string) (*os.File, error) {
	f, err := os.OpenFile(name, flags|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, refused(name, fs.ModeSymlink)
	}
	return checked(f, name, err)
}

// OpenIn opens a file of a tree. Symbolic links that lead out of it are refused.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, flags, 0)
	return checked(f, filepath.Join(root.Name(), name), err)
}

// ReadFile reads a whole file that the caller named, of at most limit bytes.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, limit)
}

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: it is larger than %d bytes", name, limit)
	}
	return data, nil
}

// checked closes again what is no regular file.
func checked(f *os.File, name string, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() && !isNull(st) {
		err = refused(name, st.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func isNull(st fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	if err != nil || st.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	a, known := st.Sys().(*syscall.Stat_t)
	b, knownNull := null.Sys().(*syscall.Stat_t)
	return known && knownNull && a.Rdev == b.Rdev && null.Mode()&fs.ModeCharDevice != 0
}

// refused says what a name stands for instead of a regular file.
func refused(name string, mode fs.FileMode) error {
	return &fs.PathError{Op: "open", Path: name, Err: &kindError{mode}}
}

type kindError struct{ mode fs.FileMode }

func (e *kindError) Error() string {
	kind := "special file"
	switch {
	case e.mode.IsDir():
		kind = "directory"
	case e.mode&fs.ModeSymlink != 0:
		kind = "symbolic link"
	case e.mode&fs.ModeNamedPipe != 0:
		kind = "pipe (FIFO)"
	case e.mode&fs.ModeSocket != 0:
		kind = "socket"
	case e.mode&fs.ModeDevice != 0:
		kind = "device"
	}
	return "it is a " + kind + ", " + ErrNotRegular.Error()
}

func (e *kindError) Is(target error) bool {
	return target == ErrNotRegular || target == ErrLink && e.mode&fs.ModeSymlink != 0
}

// SHA256 is the digest of a file that the caller named, in hexadecimal, and its size in bytes.
func SHA256(name string) (sum string, size int64, err error) {
	f, err := Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("reading %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
