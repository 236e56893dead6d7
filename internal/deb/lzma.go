package deb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The header of the ".lzma" format of old packages (LZMA SDK's "LZMA_alone"): one byte of
// properties, four of the dictionary's size, eight of the size of what is packed.
const (
	lzmaDictionaryAt = 1
	lzmaSizeAt       = 5
)

// newLZMAReader unpacks a .lzma stream. The library makes the dictionary before it has read any of
// the stream, so the header's word on it is held to the limit first: a dictionary larger than what
// is packed is made no larger than that.
func newLZMAReader(r io.Reader, dictMax int64) (io.Reader, error) {
	in := bufio.NewReader(r)
	h, err := in.Peek(lzma.HeaderLen)
	if err != nil {
		return nil, fmt.Errorf("reading the lzma header: %w", noEOF(err))
	}
	said := int64(binary.LittleEndian.Uint32(h[lzmaDictionaryAt:]))
	need := said
	// All ones: the size is not known, an end marker follows.
	if size := int64(binary.LittleEndian.Uint64(h[lzmaSizeAt:])); size >= 0 {
		need = min(need, size)
	}
	if need = max(need, lzma.MinDictCap); need > dictMax {
		return nil, fmt.Errorf("an lzma dictionary of %d bytes is more than the %d allowed", need,
			dictMax)
	}
	z, err := lzma.ReaderConfig{DictCap: int(max(said, lzma.MinDictCap))}.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("reading the lzma stream: %w", noEOF(err))
	}
	return z, nil
}
