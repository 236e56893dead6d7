package image

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"nsbuild/internal/deb"
	"nsbuild/internal/fault"
)

// dictionary is the largest dictionary or window of an archive that is read: xz -9 has 64 MiB, zstd
// --ultra -22 has 128.
const dictionary = 256 << 20

// magics are how compressed files begin.
var magics = []struct{ bytes, suffix string }{
	{"\x1f\x8b", ".gz"},
	{"BZh", ".bz2"},
	{"\xfd7zXZ\x00", ".xz"},
	{"\x28\xb5\x2f\xfd", ".zst"},
}

// decompress opens a tar archive, compressed or not, by its content.
func decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	begin, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, m := range magics {
		if bytes.HasPrefix(begin, []byte(m.bytes)) {
			return deb.Decompress(in, m.suffix, dictionary)
		}
	}
	// POSIX and GNU tar say "ustar"; what tar wrote before 1988 begins with no magic, and with a
	// block that is not empty.
	if len(begin) == 512 &&
		(string(begin[257:262]) == "ustar" || len(bytes.Trim(begin, "\x00")) == 0 ||
			plausible(begin)) {
		return io.NopCloser(in), nil
	}
	return nil,
		errors.New("it is no tar archive, also not one compressed with gzip, bzip2, xz or zstd")
}

// plausible tells whether a block may be a tar header without magic: its checksum is right
// (tar(5)).
func plausible(block []byte) bool {
	var said, sum int
	if _, err := fmt.Sscanf(strings.Trim(string(block[148:156]), " \x00"), "%o",
		&said); err != nil {
		return false
	}
	for i, b := range block {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	return said == sum
}

// Format is how an archive is compressed.
type Format string

// The formats that Export writes.
const (
	Tar  Format = ".tar"
	Gzip Format = ".tar.gz"
	XZ   Format = ".tar.xz"
	Zstd Format = ".tar.zst"
)

// FormatOf tells the format by a file's name.
func FormatOf(name string) (Format, error) {
	base := filepath.Base(name)
	for suffix, f := range map[string]Format{".tar": Tar, ".tar.gz": Gzip, ".tgz": Gzip,
		".tar.xz": XZ, ".txz": XZ, ".tar.zst": Zstd, ".tzst": Zstd} {
		if strings.HasSuffix(base, suffix) {
			return f, nil
		}
	}
	return "", fault.New(fault.Usage, "let it end in .tar, .tar.gz, .tar.xz or .tar.zst",
		"%s: its name does not say how to write it", name)
}

// compressor writes a format. The same input gives the same output, however many processors there
// are.
func compressor(ctx context.Context, w io.Writer, f Format) (io.WriteCloser, error) {
	switch f {
	case Gzip:
		return gzip.NewWriter(w), nil // no name and no time in its header
	case XZ:
		return newXZWriter(ctx, w), nil
	case Zstd:
		return zstd.NewWriter(w)
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
