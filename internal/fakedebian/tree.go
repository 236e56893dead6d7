package fakedebian

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// content is a file of a mirror: bytes, or a file of the host.
type content struct {
	data  []byte
	file  string
	mtime time.Time // zero: when fake packages were made
}

type readSeekCloser interface {
	io.ReadSeeker
	io.Closer
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (c content) open() (readSeekCloser, error) {
	if c.file != "" {
		return os.Open(c.file)
	}
	return inMemory{bytes.NewReader(c.data)}, nil
}

func (c content) modified() time.Time {
	if c.mtime.IsZero() {
		return packed
	}
	return c.mtime
}

// Tree is the files of a mirror, by their paths below its root. Its methods that damage it fail the
// test when the file is not there: a fault that is not in place would let a test pass for nothing.
// A tree must not be changed while it is served; serve a changed Clone instead.
type Tree struct {
	t     testing.TB
	files map[string]content
}

// Clone is a copy that can be damaged alone.
func (tr *Tree) Clone() *Tree {
	c := &Tree{t: tr.t, files: map[string]content{}}
	for name, f := range tr.files {
		c.files[name] = f
	}
	return c
}

// Paths lists all files, sorted.
func (tr *Tree) Paths() []string { return sortedKeys(tr.files) }

// Find is the one path that ends so, such as "/hello_1.0-1_all.deb".
func (tr *Tree) Find(suffix string) string {
	tr.t.Helper()
	var found []string
	for name := range tr.files {
		if strings.HasSuffix(name, suffix) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		tr.t.Fatalf("%d files end in %s", len(found), suffix)
	}
	return found[0]
}

// Read is a file's content.
func (tr *Tree) Read(name string) []byte {
	tr.t.Helper()
	c, ok := tr.files[name]
	if !ok {
		tr.t.Fatalf("the archive has no file %s", name)
	}
	r, err := c.open()
	if err != nil {
		tr.t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	return data
}

// Write sets a file's content, of a new file too.
func (tr *Tree) Write(name string, data []byte) {
	c := tr.files[name]
	tr.files[name] = content{data: data, mtime: c.mtime}
}

// Flip inverts the bits of one byte; a negative offset counts from the end.
func (tr *Tree) Flip(name string, offset int) {
	tr.t.Helper()
	data := bytes.Clone(tr.Read(name))
	if offset < 0 {
		offset += len(data)
	}
	if offset < 0 || offset >= len(data) {
		tr.t.Fatalf("%s has only %d bytes", name, len(data))
	}
	data[offset] ^= 0xff
	tr.Write(name, data)
}

// Truncate keeps only the first n bytes of a file.
func (tr *Tree) Truncate(name string, n int) {
	tr.t.Helper()
	data := tr.Read(name)
	if n > len(data) {
		tr.t.Fatalf("%s has only %d bytes", name, len(data))
	}
	tr.Write(name, data[:n])
}

// Remove removes a file, or everything below a directory when the name ends in "/".
func (tr *Tree) Remove(name string) {
	tr.t.Helper()
	before := len(tr.files)
	for f := range tr.files {
		if f == name || strings.HasSuffix(name, "/") && strings.HasPrefix(f, name) {
			delete(tr.files, f)
		}
	}
	if len(tr.files) == before {
		tr.t.Fatalf("the archive has nothing at %s", name)
	}
}

// RemoveByHash removes what is in by-hash directories, although the Release file promises them.
func (tr *Tree) RemoveByHash() {
	for f := range tr.files {
		if strings.Contains(f, "/by-hash/") {
			delete(tr.files, f)
		}
	}
}

// CopyTo writes the tree to a directory, for file: and copy: mirrors.
func (tr *Tree) CopyTo(dir string) {
	tr.t.Helper()
	for name, c := range tr.files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			tr.t.Fatal(err)
		}
		if err := os.WriteFile(file, tr.Read(name), 0o644); err != nil {
			tr.t.Fatal(err)
		}
		if err := os.Chtimes(file, c.modified(), c.modified()); err != nil {
			tr.t.Fatal(err)
		}
	}
}

// readControl is the control file of a real .deb (deb(5)).
func readControl(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	magic := make([]byte, 8)
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != "!<arch>\n" {
		return "", errors.New("not an ar archive")
	}
	for {
		h := make([]byte, 60)
		if _, err := io.ReadFull(f, h); err != nil {
			return "", fmt.Errorf("no control member: %w", err)
		}
		name := strings.TrimSuffix(strings.TrimSpace(string(h[:16])), "/")
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(name, "control.tar") {
			if _, err := f.Seek(size+size%2, io.SeekCurrent); err != nil {
				return "", err
			}
			continue
		}
		r, err := decompressor(name, io.LimitReader(f, size))
		if err != nil {
			return "", err
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err != nil {
				return "", fmt.Errorf("no control file in %s: %w", name, err)
			}
			if path.Clean(h.Name) == "control" {
				text, err := io.ReadAll(tr)
				return string(text), err
			}
		}
	}
}
