package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/deb822"
	"nsbuild/internal/fakedebian"
)

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
	c, err := NewClient(Options{CacheDir: dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() }) // no connection was opened
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
		p, err := c.Cache.Unpack(in, ext, limit, cache.Content{Name: "Packages", Size: -1})
		if err != nil {
			return
		}
		fi, err := os.Stat(p)
		if err != nil || fi.Size() > limit {
			t.Fatalf("limit %d: %v, %v", limit, fi, err)
		}
		if _, err := c.Cache.Unpack(in, ext, limit, cache.Content{Name: "Packages", Size: fi.Size(),
			Hashes: hashes.Set{SHA256: strings.Repeat("0", 64)}}); !errors.Is(err,
			failure.ErrHash) {
			t.Errorf("another digest: %v", err)
		}
		if err := eachParagraph(context.Background(), p, "x", nil, func(*deb822.Scanner) error {
			return nil
		}); err != nil && !errors.Is(err, failure.ErrSyntax) {
			t.Error(err)
		}
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOffers: what a list offers of a package is what it says of it.
func FuzzOffers(f *testing.F) {
	paragraph := "Package: x\nVersion: 1\nArchitecture: all\nDepends: a,\n b\nPre-Depends: " +
		"c\nPriority: required\nFilename: pool/x.deb\nSize: 1\nSHA256: " + sum64 + "\n"
	f.Add([]byte(paragraph + "\n" + paragraph))
	f.Add([]byte(strings.Replace(paragraph, "Depends: a,", "Depends:\n a,", 1)))
	file := filepath.Join(f.TempDir(), "Packages")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := &list{path: file, label: "x", arch: "amd64"}
		err := l.offers(t.Context(), func(o *Offer) error {
			p, err := o.Read()
			if err == nil && (p.Package != o.Package || p.Version != o.Version ||
				p.Priority != o.Priority || p.Depends != o.Depends ||
				p.PreDepends != o.PreDepends) {
				t.Errorf("offered %+v, listed %+v", o, p)
			}
			return nil
		})
		if err != nil && !errors.Is(err, failure.ErrSyntax) {
			t.Error(err)
		}
	})
}
