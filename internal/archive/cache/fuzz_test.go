package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/fakedebian"
)

// FuzzDecompress: no input makes a decompressor panic, or give more than the limit lets through.
func FuzzDecompress(f *testing.F) {
	a := fakedebian.New(f)
	s := a.Suite("sid")
	s.Compressions = []fakedebian.Compression{fakedebian.XZ, fakedebian.Gzip, fakedebian.Zstd}
	s.Add(fakedebian.Package{Name: "x"})
	tree := a.Tree()
	for _, ext := range []string{".xz", ".gz", ".zst"} {
		f.Add(tree.Read("dists/sid/main/binary-amd64/Packages"+ext), ext)
	}
	f.Add([]byte("BZh9"), ".bz2")
	f.Fuzz(func(_ *testing.T, data []byte, ext string) {
		r, closeReader, err := Decompress(bytes.NewReader(data), ext)
		if err != nil {
			return
		}
		defer closeReader()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20)) // any error will do
	})
}

// FuzzUnpack: whatever an index is packed as, no more than the limit is written, and only what the
// Release file promises gets a name.
func FuzzUnpack(f *testing.F) {
	a := fakedebian.New(f)
	s := a.Suite("sid")
	s.Compressions = []fakedebian.Compression{fakedebian.XZ, fakedebian.Gzip, fakedebian.Zstd}
	s.Add(fakedebian.Package{Name: "x", Description: strings.Repeat("much of the same ", 1000)})
	tree := a.Tree()
	for _, ext := range []string{".xz", ".gz", ".zst"} {
		f.Add(tree.Read("dists/sid/main/binary-amd64/Packages"+ext), ext, int64(100))
		f.Add(tree.Read("dists/sid/main/binary-amd64/Packages"+ext), ext, int64(1<<20))
	}
	dir := f.TempDir()
	log := logrus.New()
	log.SetOutput(io.Discard)
	c, err := Open(dir, log)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, ext string, limit int64) {
		if limit < 0 || limit > 1<<22 {
			return
		}
		in, err := os.CreateTemp(dir, "packed-")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(in.Name()) }() // below f.TempDir, which goes in any case
		defer in.Close()
		if _, err := in.Write(data); err != nil {
			t.Fatal(err)
		}
		p, err := c.Unpack(in, ext, limit, Content{Name: "Packages", Size: -1})
		if err != nil {
			return
		}
		fi, err := os.Stat(p)
		if err != nil || fi.Size() > limit {
			t.Fatalf("limit %d: %v, %v", limit, fi, err)
		}
		if _, err := c.Unpack(in, ext, limit, Content{Name: "Packages", Size: fi.Size(),
			Hashes: hashes.Set{SHA256: strings.Repeat("0", 64)}}); !errors.Is(err,
			failure.ErrHash) {
			t.Errorf("another digest: %v", err)
		}
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	})
}
