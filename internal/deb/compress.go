package deb

import (
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"nsbuild/internal/xz"
)

// Decompress opens a compressed stream by the suffix that names its format, as dpkg does.
func Decompress(r io.Reader, suffix string, dictionary int64) (io.ReadCloser, error) {
	switch suffix {
	case "":
		return io.NopCloser(r), nil
	case ".gz":
		return gzip.NewReader(r)
	case ".bz2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case ".lzma":
		z, err := newLZMAReader(r, dictionary)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	case ".xz":
		z, err := xz.NewReader(r, dictionary)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	case ".zst":
		// One goroutine: several packages are read at once, and a second core would only be taken
		// from them.
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(uint64(dictionary)), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil,
		fmt.Errorf("compression %q is not supported (none, .gz, .bz2, .lzma, .xz and .zst are)",
			suffix)
}
