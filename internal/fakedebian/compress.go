package fakedebian

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"

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

// compressed caches what compress has made: most archives of a process are much alike, and this is
// what takes the time in making one.
var compressed struct {
	sync.Mutex
	made map[[sha256.Size]byte][]byte
}

// maxCompressed bounds the data whose compressed form is kept, in bytes.
const maxCompressed = 1 << 20

// compress returns data compressed, the same for the same data.
func (c Compression) compress(data []byte) ([]byte, error) {
	if c == None {
		return data, nil
	}
	if len(data) > maxCompressed {
		return c.pack(data)
	}
	h := sha256.New()
	fmt.Fprintln(h, c)
	h.Write(data)
	key := [sha256.Size]byte(h.Sum(nil))
	compressed.Lock()
	found, ok := compressed.made[key]
	compressed.Unlock()
	if ok {
		return slices.Clone(found), nil
	}
	out, err := c.pack(data)
	if err != nil {
		return nil, err
	}
	compressed.Lock()
	defer compressed.Unlock()
	if compressed.made == nil {
		compressed.made = map[[sha256.Size]byte][]byte{}
	}
	compressed.made[key] = slices.Clone(out)
	return out, nil
}

func (c Compression) pack(data []byte) ([]byte, error) {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch c {
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
