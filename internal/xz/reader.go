// Package xz unpacks .xz files (the XZ file format, version 1.1.0), as fast as Go can.
//
// Most of the time that goes into making a base is spent here. So the LZMA2 chunks, which are 64
// KiB at most, are read as a whole, unpacked into one flat window, and decoded without branches
// where these would be guessed wrongly. Filters other than LZMA2, which no Debian package uses, are
// left to a slower package.
package xz

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"slices"

	slow "github.com/mikelolasagasti/xz"
)

const (
	headerMagic = "\xfd7zXZ\x00"
	footerMagic = "YZ"
	headerSize  = 12
	filterLZMA2 = 0x21
	checkSHA256 = 10
)

// ErrDictionary is returned when a file asks for a larger window than is allowed.
var ErrDictionary = errors.New("xz: it asks for a larger window than is allowed")

// Reader unpacks a file: its streams one after the other, with all their checks.
type Reader struct {
	in   *bufio.Reader
	max  int // of the window, in bytes
	err  error
	next func() error // produces more, or io.EOF

	check     byte
	sum       hash.Hash // of the block; nil for none
	blocks    int64     // of the stream
	sizes     hash.Hash // of the blocks' sizes, to be compared with the index
	unpacked  uint64    // size of the block
	packed    uint64    // bytes of the block read so far, header included
	header    uint64    // of these
	wantSizes [2]int64  // packed and unpacked size that the block's header promises; -1 for none

	dec    lzma
	chunk  []byte // compressed, with padding
	window int
	buf    []byte // window and what is new
	pos    int    // end of what is there
	read   int    // how far it was handed out
	since  uint64 // bytes since the window was reset
	need   byte   // what the next chunk must reset: 2 everything, 1 the state and properties
}

// NewReader reads the header of the first stream. maxWindow limits the memory that a file may ask
// for, in bytes.
func NewReader(r io.Reader, maxWindow int64) (io.Reader, error) {
	z := &Reader{in: bufio.NewReaderSize(r, 64<<10), max: int(min(maxWindow, 1<<32-1))}
	if other, err := z.otherFilters(); err != nil || other {
		if err != nil {
			return nil, err
		}
		return slow.NewReader(z.in, uint32(z.max))
	}
	if err := z.streamHeader(); err != nil {
		return nil, noEOF(err)
	}
	z.next = z.blockOrIndex
	return z, nil
}

// otherFilters tells whether the first block uses anything but LZMA2.
func (z *Reader) otherFilters() (bool, error) {
	head, err := z.in.Peek(headerSize + 1)
	if err != nil {
		return false, fmt.Errorf("xz: reading the header: %w", noEOF(err))
	}
	size := (int(head[headerSize]) + 1) * 4
	if string(head[:6]) != headerMagic || size == 4 { // no xz; no blocks
		return false, nil
	}
	head, err = z.in.Peek(headerSize + size)
	if err != nil {
		return false, fmt.Errorf("xz: reading the header: %w", noEOF(err))
	}
	_, filters, err := parseBlockHeader(head[headerSize:])
	return err == nil && (len(filters) != 1 || filters[0].id != filterLZMA2), nil
}

// Read returns what was unpacked.
func (z *Reader) Read(p []byte) (int, error) {
	for z.read == z.pos {
		if z.err != nil {
			return 0, z.err
		}
		if err := z.next(); err != nil {
			z.err = err
		}
	}
	n := copy(p, z.buf[z.read:z.pos])
	z.read += n
	return n, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (z *Reader) streamHeader() error {
	var h [headerSize]byte
	if _, err := io.ReadFull(z.in, h[:]); err != nil {
		return err
	}
	if string(h[:6]) != headerMagic {
		return errors.New("xz: it is no .xz file")
	}
	if crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) || h[6] != 0 {
		return errCorrupt
	}
	z.check, z.blocks, z.sizes = h[7], 0, sha256.New()
	switch z.check {
	case 0:
		z.sum = nil
	case 1:
		z.sum = crc32.NewIEEE()
	case 4:
		z.sum = crc64.New(crc64.MakeTable(crc64.ECMA))
	case checkSHA256:
		z.sum = sha256.New()
	default:
		return fmt.Errorf("xz: check %d is not supported", z.check)
	}
	return nil
}

type filter struct {
	id         uint64
	properties []byte
}

// parseBlockHeader reads a block's header, its first byte, which is its size, included.
func parseBlockHeader(h []byte) (sizes [2]int64, filters []filter, err error) {
	n := len(h) - 4
	if n < 4 || crc32.ChecksumIEEE(h[:n]) != binary.LittleEndian.Uint32(h[n:]) {
		return sizes, nil, errCorrupt
	}
	flags, rest := h[1], h[2:n]
	if flags&0x3c != 0 {
		return sizes, nil, errCorrupt
	}
	number := func() uint64 {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > 1<<63-1 {
			err = errCorrupt
			return 0
		}
		rest = rest[n:]
		return v
	}
	for i := range sizes {
		if sizes[i] = -1; flags&(0x40<<i) != 0 {
			sizes[i] = int64(number())
		}
	}
	for range flags&3 + 1 {
		f := filter{id: number()}
		size := number()
		if err != nil || size > uint64(len(rest)) {
			return sizes, nil, errCorrupt
		}
		f.properties, rest = rest[:size], rest[size:]
		filters = append(filters, f)
	}
	if len(bytes.Trim(rest, "\x00")) > 0 {
		return sizes, nil, errCorrupt
	}
	return sizes, filters, err
}

// blockOrIndex begins a block, or ends the stream.
func (z *Reader) blockOrIndex() error {
	first, err := z.in.Peek(1)
	if err != nil {
		return noEOF(err)
	}
	if first[0] == 0 {
		return z.index()
	}
	h := make([]byte, (int(first[0])+1)*4)
	if _, err := io.ReadFull(z.in, h); err != nil {
		return noEOF(err)
	}
	sizes, filters, err := parseBlockHeader(h)
	if err != nil {
		return err
	}
	if len(filters) != 1 || filters[0].id != filterLZMA2 {
		return errors.New("xz: a later block has filters that are not supported")
	}
	if len(filters[0].properties) != 1 || filters[0].properties[0] > 40 {
		return errCorrupt
	}
	bits := filters[0].properties[0]
	window := uint64(1<<32 - 1)
	if bits < 40 {
		window = uint64(2|bits&1) << (bits/2 + 11)
	}
	if window > uint64(z.max) {
		return ErrDictionary
	}
	z.window, z.need, z.since = int(window), 2, 0
	z.wantSizes, z.unpacked, z.packed, z.header = sizes, 0, uint64(len(h)), uint64(len(h))
	if z.sum != nil {
		z.sum.Reset()
	}
	z.next = z.lzma2
	return nil
}

// lzma2 unpacks one chunk.
func (z *Reader) lzma2() error {
	control, err := z.in.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	z.packed++
	if control == 0 {
		return z.blockEnd()
	}
	var h [5]byte
	n := 2
	if control >= 0x80 {
		if n = 4; control >= 0xc0 {
			n = 5
		}
	} else if control > 2 {
		return errCorrupt
	}
	if _, err := io.ReadFull(z.in, h[:n]); err != nil {
		return noEOF(err)
	}
	z.packed += uint64(n)
	size := int(h[0])<<8 + int(h[1]) + 1
	if control >= 0x80 {
		size += int(control&0x1f) << 16
	}
	if control == 1 || control >= 0xe0 {
		z.since, z.need = 0, min(z.need, 1)
	} else if z.need == 2 {
		return errCorrupt
	}
	z.room(size)
	if control < 0x80 {
		if _, err := io.ReadFull(z.in, z.buf[z.pos:z.pos+size]); err != nil {
			return noEOF(err)
		}
		z.packed += uint64(size)
	} else if err := z.compressed(control, h, size); err != nil {
		return err
	}
	if z.sum != nil {
		z.sum.Write(z.buf[z.pos : z.pos+size])
	}
	z.pos += size
	z.since += uint64(size)
	z.unpacked += uint64(size)
	return nil
}

// compressed unpacks a chunk that is LZMA.
func (z *Reader) compressed(control byte, h [5]byte, size int) error {
	if control >= 0xc0 {
		if err := z.dec.properties(h[4]); err != nil {
			return err
		}
		z.need = 0
	} else if z.need != 0 {
		return errCorrupt
	}
	if control >= 0xa0 {
		z.dec.reset()
	}
	n := int(h[2])<<8 + int(h[3]) + 1
	if z.chunk == nil {
		z.chunk = make([]byte, 1<<16+padding)
	}
	if _, err := io.ReadFull(z.in, z.chunk[:n]); err != nil {
		return noEOF(err)
	}
	z.packed += uint64(n)
	return z.dec.decode(z.buf, z.pos, z.pos+size, z.chunk[:n], z.since, z.window)
}

// ahead is how much is unpacked, at the least, before the window is moved to the beginning of the
// buffer again.
const ahead = 4 << 20

// room makes room for size bytes behind pos, and keeps the window before it. Small files get small
// buffers.
func (z *Reader) room(size int) {
	if z.pos+size+slack <= len(z.buf) {
		return
	}
	keep := int(min(z.since, uint64(z.window)))
	to := z.buf
	if n := max(keep+size+slack, min(z.window+ahead, 2*len(to))); n > len(to) {
		to = make([]byte, n)
	}
	copy(to, z.buf[z.pos-keep:z.pos])
	z.buf, z.pos, z.read = to, keep, keep
}

// blockEnd compares what was unpacked with what the block says about it.
func (z *Reader) blockEnd() error {
	if w := z.wantSizes; w[0] >= 0 && uint64(w[0]) != z.packed-z.header || w[1] >= 0 &&
		uint64(w[1]) != z.unpacked {
		return errCorrupt
	}
	unpadded := z.packed
	if err := z.zeros(int(-z.packed & 3)); err != nil {
		return err
	}
	if z.sum != nil {
		want := z.sum.Sum(nil)
		if z.check != checkSHA256 { // little-endian
			slices.Reverse(want)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(z.in, got); err != nil {
			return noEOF(err)
		}
		if !bytes.Equal(got, want) {
			return errCorrupt
		}
		unpadded += uint64(len(got))
	}
	z.blocks++
	z.sizes.Write(binary.AppendUvarint(binary.AppendUvarint(nil, unpadded), z.unpacked))
	z.next = z.blockOrIndex
	return nil
}

// zeros reads n bytes of padding.
func (z *Reader) zeros(n int) error {
	for range n {
		b, err := z.in.ReadByte()
		if err != nil {
			return noEOF(err)
		}
		if b != 0 {
			return errCorrupt
		}
	}
	return nil
}

// counted is the index being read: its checksum and its length are needed.
type counted struct {
	in  *bufio.Reader
	sum hash.Hash32
	n   uint64
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil {
		c.sum.Write([]byte{b})
		c.n++
	}
	return b, noEOF(err)
}

// index compares the index with the blocks that there were, and reads the footer.
func (z *Reader) index() error {
	c := &counted{in: z.in, sum: crc32.NewIEEE()}
	if _, err := c.ReadByte(); err != nil { // the zero that tells it from a block
		return err
	}
	n, err := binary.ReadUvarint(c)
	if err != nil || n != uint64(z.blocks) {
		return cmp.Or(err, errCorrupt)
	}
	sizes := sha256.New()
	for range 2 * n {
		v, err := binary.ReadUvarint(c)
		if err != nil {
			return err
		}
		sizes.Write(binary.AppendUvarint(nil, v))
	}
	if !bytes.Equal(sizes.Sum(nil), z.sizes.Sum(nil)) {
		return errCorrupt
	}
	for c.n%4 != 0 {
		if b, err := c.ReadByte(); err != nil || b != 0 {
			return cmp.Or(err, errCorrupt)
		}
	}
	want := c.sum.Sum32()
	var f [4 + headerSize]byte
	if _, err := io.ReadFull(z.in, f[:]); err != nil {
		return noEOF(err)
	}
	foot := f[4:]
	switch {
	case binary.LittleEndian.Uint32(f[:]) != want,
		crc32.ChecksumIEEE(foot[4:10]) != binary.LittleEndian.Uint32(foot),
		(uint64(binary.LittleEndian.Uint32(foot[4:]))+1)*4 != c.n+4,
		foot[8] != 0, foot[9] != z.check, string(foot[10:]) != footerMagic:
		return errCorrupt
	}
	z.next = z.streamOrEnd
	return nil
}

// streamOrEnd begins another stream, after padding of four zeros each, or ends.
func (z *Reader) streamOrEnd() error {
	for {
		first, err := z.in.Peek(1)
		if err != nil {
			return err // io.EOF: the end
		}
		if first[0] != 0 {
			break
		}
		if err := z.zeros(4); err != nil {
			return err
		}
	}
	if err := z.streamHeader(); err != nil {
		return noEOF(err)
	}
	z.next = z.blockOrIndex
	return nil
}
