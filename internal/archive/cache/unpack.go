package cache

import (
	"compress/bzip2"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/xz"
)

// Unpack decompresses a file into the cache, at most limit bytes, and verifies it where it is known
// what it must be.
func (c *Cache) Unpack(in *os.File, ext string, limit int64, want Content) (string, error) {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	from, closeReader, err := Decompress(in, ext)
	if err != nil {
		return "", fmt.Errorf("%s%s: %w: %w", want.Name, ext, failure.ErrSyntax, err)
	}
	defer closeReader()
	out, err := c.Scratch()
	if err != nil {
		return "", err
	}
	defer func() {
		_ = os.Remove(out.Name()) // fails after the rename, as it should
		_ = out.Close()           // what was written is verified by reading it again
	}()
	digest, sum := want.Hashes.Strongest(want.Weak)
	if sum == nil {
		_, sum = hashes.Set{SHA256: "-"}.Strongest(false)
	}
	w := &errWriter{w: io.MultiWriter(out, sum)}
	n, err := io.CopyBuffer(w, io.LimitReader(from, limit+1), make([]byte, 256<<10))
	switch {
	case w.err != nil:
		return "", failure.OnDisk(c.dir, fmt.Errorf("%s: %w", want.Name, w.err))
	case n > limit:
		return "", fmt.Errorf("%s%s: %w: it unpacks to more than %d bytes", want.Name, ext,
			failure.ErrSize, limit)
	case err != nil:
		return "", fmt.Errorf("%s%s: %w: %w", want.Name, ext, failure.ErrSyntax, err)
	case want.Size >= 0 && n != want.Size:
		return "", fmt.Errorf("%s%s: %w: it unpacks to %d bytes, the signed index says %d",
			want.Name, ext, failure.ErrSize, n, want.Size)
	}
	got := fmt.Sprintf("%x", sum.Sum(nil))
	if digest != "" && got != digest {
		return "", fmt.Errorf("%s%s: %w: it unpacks to %s, the signed index says %s", want.Name,
			ext, failure.ErrHash, got, digest)
	}
	want.Size = n
	if digest == "" {
		want.Hashes.SHA256 = got
	}
	p := c.Place(Lists, got, "")
	return p, failure.OnDisk(c.dir, c.PublishOnce(out, p, want))
}

// errWriter remembers whether it was the writing that failed.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// maxWindow is the largest window that an index may be packed with, in bytes: that of xz -9.
const maxWindow = 64 << 20

// Decompress reads one of the variants.
func Decompress(r io.Reader, ext string) (io.Reader, func(), error) {
	nothing := func() {}
	switch ext {
	case ".xz":
		x, err := xz.NewReader(r, maxWindow)
		return x, nothing, err
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nothing, err
		}
		return z, func() { _ = z.Close() }, nil // an error of its stream has come with Read
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case ".bz2":
		return bzip2.NewReader(r), nothing, nil
	case "":
		return r, nothing, nil
	}
	return nil, nothing, fmt.Errorf("%s: %w", ext, failure.ErrUnsupported)
}
