package cache

import (
	"bytes"
	"io"
	"testing"

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
