package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"

	"nsbuild/internal/deb"
)

// compressions are the formats of tarballs in source packages (deb-src-control(5)), by how a file
// begins. The format of .lzma has no magic number: it begins with its usual properties.
var compressions = []struct{ magic, suffix string }{
	{"\x1f\x8b", ".gz"},
	{"BZh", ".bz2"},
	{"\xfd7zXZ\x00", ".xz"},
	{"\x28\xb5\x2f\xfd", ".zst"},
	{"\x5d\x00\x00", ".lzma"},
}

// maxDictionary bounds the memory of a decompressor, in bytes; xz -9 needs 64 MiB.
const maxDictionary = 128 << 20

var errNotCompressed = errors.New("it is not compressed in a known format")

// decompress opens a compressed file, whose format is recognised by its content.
func decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, c := range compressions {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return deb.Decompress(br, c.suffix, maxDictionary)
		}
	}
	return nil, errNotCompressed
}

// isTarHeader tells whether a block begins a tar archive: an archive without members begins with
// zeros, which are its end.
func isTarHeader(block []byte) bool {
	_, err := tar.NewReader(bytes.NewReader(block)).Next()
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
