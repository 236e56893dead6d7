package fakedebian

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os/exec"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Compression is how a file is compressed: the ending of its name, without the dot. The zero value
// means the default of where it is used.
type Compression string

// The compressions that archives use. There is no writer of bzip2 here: that one is the host's
// program.
const (
	None Compression = "none"
	Gzip Compression = "gz"
	XZ   Compression = "xz"
	Zstd Compression = "zst"
	LZMA Compression = "lzma"
	Bzip Compression = "bz2"
	// Fast is Gzip, quickly: for much data.
	Fast Compression = "fast gz"
)

// suffix is what the compression adds to a file's name.
func (c Compression) suffix() string {
	switch c {
	case None:
		return ""
	case Fast:
		c = Gzip
	}
	return "." + string(c)
}

// compress returns data compressed, the same for the same data.
func (c Compression) compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch c {
	case None:
		return data, nil
	case Bzip:
		cmd := exec.Command("bzip2", "-1")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(data), &b
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("bzip2: %w", err)
		}
		return b.Bytes(), nil
	case Gzip:
		w, err = gzip.NewWriterLevel(&b, gzip.BestCompression)
	case Fast:
		w, err = gzip.NewWriterLevel(&b, gzip.BestSpeed)
	case XZ:
		w, err = xz.WriterConfig{DictCap: 1 << 20}.NewWriter(&b)
	case LZMA:
		w, err = lzma.WriterConfig{DictCap: 1 << 20}.NewWriter(&b)
	case Zstd:
		w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	default:
		return nil, fmt.Errorf("no compression %q", c)
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decompressor reads what has been compressed; name is the file's.
func decompressor(name string, r io.Reader) (io.Reader, error) {
	switch {
	case hasSuffix(name, Gzip):
		return gzip.NewReader(r)
	case hasSuffix(name, XZ):
		return xz.NewReader(r)
	case hasSuffix(name, Zstd):
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case hasSuffix(name, LZMA):
		return lzma.NewReader(r)
	default:
		return r, nil
	}
}

func hasSuffix(name string, c Compression) bool {
	return len(name) > len(c.suffix()) && name[len(name)-len(c.suffix()):] == c.suffix()
}
