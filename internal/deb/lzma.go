package deb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// This is a decoder for the ".lzma" format of old packages (LZMA SDK's "LZMA_alone": 5 bytes of
// properties, 8 of size, one LZMA1 stream). The facts are those of the LZMA specification in the
// LZMA SDK (lzma-specification.txt, public domain).

var errLZMACorrupt = errors.New("corrupt lzma stream")

const (
	lzmaStates     = 12
	lzmaPosMax     = 16
	lzmaMatchMin   = 2
	lzmaMinDict    = 4096
	lzmaProbInit   = 1 << 10
	lzmaEndDistPos = 14
)

type lzmaLen struct {
	choice, choice2 uint16
	low, mid        [lzmaPosMax][8]uint16
	high            [256]uint16
}

type lzmaReader struct {
	in          *bufio.Reader
	rng, code   uint32
	lc, lp, pb  uint
	dict        []byte // a ring
	pos         int    // where the next byte goes
	full        bool   // the ring has wrapped
	total       int64  // bytes decoded
	size        int64  // of the whole, or -1: an end marker follows
	state       int
	reps        [4]uint32
	copyLen     int // of a match not yet copied
	done        bool
	literal     []uint16
	isMatch     [lzmaStates][lzmaPosMax]uint16
	isRep       [lzmaStates]uint16
	isRepG0     [lzmaStates]uint16
	isRepG1     [lzmaStates]uint16
	isRepG2     [lzmaStates]uint16
	isRep0Long  [lzmaStates][lzmaPosMax]uint16
	posSlot     [4][64]uint16
	posDecoders [1 + 128 - lzmaEndDistPos]uint16
	align       [16]uint16
	lenDec      lzmaLen
	repLenDec   lzmaLen
	err         error
}

func newLZMAReader(r io.Reader, dictMax int64) (*lzmaReader, error) {
	var h [13]byte
	in := bufio.NewReader(r)
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return nil, fmt.Errorf("reading the lzma header: %w", noEOF(err))
	}
	d := uint(h[0])
	if d >= 9*5*5 {
		return nil, errLZMACorrupt
	}
	z := &lzmaReader{in: in, lc: d % 9, lp: d / 9 % 5, pb: d / 45, rng: 0xffffffff,
		size: int64(binary.LittleEndian.Uint64(h[5:]))}
	if z.size < -1 {
		return nil, errLZMACorrupt
	}
	size := int64(binary.LittleEndian.Uint32(h[1:]))
	if z.size >= 0 && size > z.size {
		size = z.size
	}
	size = max(size, lzmaMinDict)
	if size > dictMax {
		return nil, fmt.Errorf("an lzma dictionary of %d bytes is more than the %d allowed", size,
			dictMax)
	}
	z.dict = make([]byte, size)
	z.literal = make([]uint16, 0x300<<(z.lc+z.lp))
	z.initProbs()
	var first [5]byte
	if _, err := io.ReadFull(in, first[:]); err != nil {
		return nil, fmt.Errorf("reading the lzma stream: %w", noEOF(err))
	}
	if first[0] != 0 {
		return nil, errLZMACorrupt
	}
	z.code = binary.BigEndian.Uint32(first[1:])
	return z, nil
}

func (z *lzmaReader) initProbs() {
	fill := func(p []uint16) {
		for i := range p {
			p[i] = lzmaProbInit
		}
	}
	fill(z.literal)
	for i := range z.isMatch {
		fill(z.isMatch[i][:])
		fill(z.isRep0Long[i][:])
	}
	for _, p := range [][]uint16{z.isRep[:], z.isRepG0[:], z.isRepG1[:], z.isRepG2[:],
		z.posDecoders[:], z.align[:]} {
		fill(p)
	}
	for i := range z.posSlot {
		fill(z.posSlot[i][:])
	}
	for _, l := range []*lzmaLen{&z.lenDec, &z.repLenDec} {
		l.choice, l.choice2 = lzmaProbInit, lzmaProbInit
		for i := range l.low {
			fill(l.low[i][:])
			fill(l.mid[i][:])
		}
		fill(l.high[:])
	}
}

// Read decodes into p.
func (z *lzmaReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if z.err != nil || z.done {
			break
		}
		if z.copyLen == 0 {
			if z.size >= 0 && z.total >= z.size {
				z.done = true
				break
			}
			z.symbol(p, &n)
			continue
		}
		p[n] = z.emit(z.at(z.reps[0]))
		n++
		z.copyLen--
	}
	if n > 0 {
		return n, nil
	}
	if z.err != nil {
		return 0, z.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, io.EOF
}

// symbol decodes a literal into p, or sets copyLen and reps[0] for a match.
func (z *lzmaReader) symbol(p []byte, n *int) {
	posState := int(z.total) & (1<<z.pb - 1)
	if z.bit(&z.isMatch[z.state][posState]) == 0 {
		if z.err != nil {
			return
		}
		p[*n] = z.emit(z.decodeLiteral())
		*n++
		switch {
		case z.state < 4:
			z.state = 0
		case z.state < 10:
			z.state -= 3
		default:
			z.state -= 6
		}
		return
	}
	var length int
	if z.bit(&z.isRep[z.state]) != 0 {
		length = z.repMatch(posState)
	} else {
		z.reps[3], z.reps[2], z.reps[1] = z.reps[2], z.reps[1], z.reps[0]
		length = lzmaMatchMin + z.length(&z.lenDec, posState)
		z.state = after(z.state, 7)
		z.reps[0] = z.distance(length)
		if z.reps[0] == 0xffffffff {
			z.done = true // the end marker
			if z.size >= 0 {
				z.fail(errLZMACorrupt)
			}
			return
		}
	}
	if z.err != nil {
		return
	}
	if int64(z.reps[0]) >= z.total || int64(z.reps[0]) >= int64(len(z.dict)) || z.size >= 0 &&
		z.total+int64(length) > z.size {
		z.fail(errLZMACorrupt)
		return
	}
	z.copyLen = length
}

func after(state, below int) int {
	if state < 7 {
		return below
	}
	return below + 3
}

func (z *lzmaReader) repMatch(posState int) int {
	if z.bit(&z.isRepG0[z.state]) == 0 {
		if z.bit(&z.isRep0Long[z.state][posState]) == 0 {
			if z.state < 7 {
				z.state = 9
			} else {
				z.state = 11
			}
			return 1
		}
	} else {
		i := 1
		if z.bit(&z.isRepG1[z.state]) != 0 {
			i = 2 + int(z.bit(&z.isRepG2[z.state]))
		}
		d := z.reps[i]
		copy(z.reps[1:i+1], z.reps[:i])
		z.reps[0] = d
	}
	n := lzmaMatchMin + z.length(&z.repLenDec, posState)
	z.state = after(z.state, 8)
	return n
}

func (z *lzmaReader) decodeLiteral() byte {
	prev := byte(0)
	if z.total > 0 {
		prev = z.at(0)
	}
	i := (uint(z.total)&(1<<z.lp-1))<<z.lc + uint(prev)>>(8-z.lc)
	probs := z.literal[0x300*i:][:0x300]
	symbol := uint32(1)
	if z.state >= 7 {
		match := uint32(z.at(z.reps[0]))
		for symbol < 0x100 {
			matchBit := match >> 7 & 1
			match <<= 1
			b := z.bit(&probs[(1+matchBit)<<8+symbol])
			symbol = symbol<<1 | b
			if matchBit != b {
				break
			}
		}
	}
	for symbol < 0x100 {
		symbol = symbol<<1 | z.bit(&probs[symbol])
	}
	return byte(symbol)
}

func (z *lzmaReader) length(l *lzmaLen, posState int) int {
	if z.bit(&l.choice) == 0 {
		return int(z.tree(l.low[posState][:], 3))
	}
	if z.bit(&l.choice2) == 0 {
		return 8 + int(z.tree(l.mid[posState][:], 3))
	}
	return 16 + int(z.tree(l.high[:], 8))
}

func (z *lzmaReader) distance(length int) uint32 {
	slot := z.tree(z.posSlot[min(length-lzmaMatchMin, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	direct := slot>>1 - 1
	dist := (2 | slot&1) << direct
	if slot < lzmaEndDistPos {
		return dist + z.reverse(z.posDecoders[dist-slot:], int(direct))
	}
	for i := direct - 4; i > 0; i-- {
		z.normalise()
		z.rng >>= 1
		b := uint32(0)
		if z.code >= z.rng {
			z.code -= z.rng
			b = 1
		}
		dist += b << (i + 3)
	}
	return dist + z.reverse(z.align[:], 4)
}

func (z *lzmaReader) tree(p []uint16, bits int) uint32 {
	m := uint32(1)
	for range bits {
		m = m<<1 | z.bit(&p[m])
	}
	return m - 1<<bits
}

func (z *lzmaReader) reverse(p []uint16, bits int) uint32 {
	m, v := uint32(1), uint32(0)
	for i := range bits {
		b := z.bit(&p[m])
		m = m<<1 | b
		v |= b << i
	}
	return v
}

func (z *lzmaReader) normalise() {
	if z.rng >= 1<<24 {
		return
	}
	b, err := z.in.ReadByte()
	if err != nil {
		z.fail(noEOF(err))
	}
	z.rng <<= 8
	z.code = z.code<<8 | uint32(b)
}

func (z *lzmaReader) bit(p *uint16) uint32 {
	z.normalise()
	bound := z.rng >> 11 * uint32(*p)
	if z.code < bound {
		z.rng = bound
		*p += (1<<11 - *p) >> 5
		return 0
	}
	z.rng -= bound
	z.code -= bound
	*p -= *p >> 5
	return 1
}

// at is the byte at a distance back, 0 being the last one.
func (z *lzmaReader) at(distance uint32) byte {
	i := z.pos - 1 - int(distance)
	if i < 0 {
		i += len(z.dict)
		if i < 0 || !z.full && i >= z.pos {
			z.fail(errLZMACorrupt)
			return 0
		}
	}
	return z.dict[i]
}

func (z *lzmaReader) emit(b byte) byte {
	z.dict[z.pos] = b
	z.pos++
	if z.pos == len(z.dict) {
		z.pos, z.full = 0, true
	}
	z.total++
	return b
}

func (z *lzmaReader) fail(err error) {
	if z.err == nil {
		z.err = err
	}
}
