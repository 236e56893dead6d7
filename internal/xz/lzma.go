package xz

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// The names of the model's parts are those of the LZMA specification.
const (
	states      = 12
	litStates   = 7 // states below this follow a literal
	maxPosBits  = 4
	probInit    = 1 << 10
	probBits    = 11
	moveBits    = 5
	topValue    = 1 << 24
	minMatch    = 2
	litSize     = 0x300
	maxLitBits  = 4 // lc+lp in LZMA2
	lenLow      = 8
	lenMid      = 8
	lenHigh     = 256
	distSlots   = 64
	distStates  = 4
	endDistBits = 14 // slots from here on have direct bits
	alignBits   = 4
)

var errCorrupt = errors.New("xz: the data are corrupt")

// lengths are the probabilities of a match's length.
type lengths struct {
	choice, choice2 uint16
	low             [1 << maxPosBits][lenLow]uint16
	mid             [1 << maxPosBits][lenMid]uint16
	high            [lenHigh]uint16
}

// lzma is the state of a decoder between the chunks of an LZMA2 stream.
type lzma struct {
	state      uint32
	rep        [4]uint32 // distances of the last matches, less one
	lc, lp, pb uint8

	isMatch    [states << maxPosBits]uint16
	isRep      [states]uint16
	isRepG0    [states]uint16
	isRepG1    [states]uint16
	isRepG2    [states]uint16
	isRep0Long [states << maxPosBits]uint16
	distSlot   [distStates][distSlots]uint16
	distSpec   [128]uint16 // the trees of slots 4 to 13, each from where its distances begin
	align      [1 << alignBits]uint16
	matchLen   lengths
	repLen     lengths
	lit        [litSize << maxLitBits]uint16
}

func fill(p []uint16) {
	for i := range p {
		p[i] = probInit
	}
}

func (l *lengths) reset() {
	l.choice, l.choice2 = probInit, probInit
	for i := range l.low {
		fill(l.low[i][:])
		fill(l.mid[i][:])
	}
	fill(l.high[:])
}

// reset forgets everything but the properties.
func (d *lzma) reset() {
	d.state, d.rep = 0, [4]uint32{}
	for _, p := range [][]uint16{d.isMatch[:], d.isRep[:], d.isRepG0[:], d.isRepG1[:], d.isRepG2[:],
		d.isRep0Long[:], d.distSpec[:], d.align[:]} {
		fill(p)
	}
	for i := range d.distSlot {
		fill(d.distSlot[i][:])
	}
	d.matchLen.reset()
	d.repLen.reset()
	fill(d.lit[:litSize<<(d.lc+d.lp)])
}

// properties takes over lc, lp and pb from their common byte.
func (d *lzma) properties(b byte) error {
	if b > (4*5+4)*9+8 {
		return errCorrupt
	}
	d.lc, b = b%9, b/9
	d.lp, d.pb = b%5, b/5
	if d.lc+d.lp > maxLitBits {
		return errCorrupt
	}
	return nil
}

// coder is the range decoder. It works on copies in registers; a chunk is in memory as a whole,
// with padding bytes behind it that no valid chunk reaches.
type coder struct {
	rng, code uint32
	pos       int
	in        []byte
}

// padding is how far one symbol can read beyond a chunk: 48 bits and no more, of which each takes
// less than a byte.
const padding = 64

// bit decodes one bit.
func (c *coder) bit(p *uint16) uint32 {
	if c.rng < topValue {
		c.rng <<= 8
		c.code = c.code<<8 | uint32(c.in[c.pos])
		c.pos++
	}
	v := uint32(*p)
	bound := (c.rng >> probBits) * v
	if c.code < bound {
		c.rng = bound
		*p = uint16(v + (1<<probBits-v)>>moveBits)
		return 0
	}
	c.rng -= bound
	c.code -= bound
	*p = uint16(v - v>>moveBits)
	return 1
}

// tree decodes the bits of a tree with len(p) leaves, the highest first. What they are is as good
// as chance, so there is no branch on them: a processor guesses half of those wrongly.
func (c *coder) tree(p []uint16) uint32 {
	rng, code, pos, in := c.rng, c.code, c.pos, c.in
	n := uint32(len(p))
	m := uint32(1)
	for m < n {
		if rng < topValue {
			rng <<= 8
			code = code<<8 | uint32(in[pos])
			pos++
		}
		v := uint32(p[m])
		bound := (rng >> probBits) * v
		_, zero := bits.Sub32(code, bound, 0)
		mask := -zero
		rng = bound&mask | (rng-bound)&^mask
		code -= bound &^ mask
		p[m] = uint16(int32(v) + (int32(1<<probBits&mask|(1<<moveBits-1)&^mask)-int32(v))>>moveBits)
		m = m<<1 + 1 - zero
	}
	c.rng, c.code, c.pos = rng, code, pos
	return m - n
}

// reverse decodes n bits of a tree, the lowest first.
func (c *coder) reverse(p []uint16, n uint32) uint32 {
	m, out := uint32(1), uint32(0)
	for i := range n {
		b := c.bit(&p[m])
		m = m<<1 + b
		out |= b << i
	}
	return out
}

// direct decodes n bits without a model.
func (c *coder) direct(n uint32) uint32 {
	rng, code, pos, in := c.rng, c.code, c.pos, c.in
	out := uint32(0)
	for range n {
		if rng < topValue {
			rng <<= 8
			code = code<<8 | uint32(in[pos])
			pos++
		}
		rng >>= 1
		code -= rng
		mask := -(code >> 31)
		code += rng & mask
		out = out<<1 + 1 + mask
	}
	c.rng, c.code, c.pos = rng, code, pos
	return out
}

// literal decodes a byte.
func (c *coder) literal(p *[litSize]uint16) byte {
	rng, code, pos, in := c.rng, c.code, c.pos, c.in
	m := uint32(1)
	for m < 0x100 {
		if rng < topValue {
			rng <<= 8
			code = code<<8 | uint32(in[pos])
			pos++
		}
		v := uint32(p[m])
		bound := (rng >> probBits) * v
		_, zero := bits.Sub32(code, bound, 0)
		mask := -zero
		rng = bound&mask | (rng-bound)&^mask
		code -= bound &^ mask
		p[m] = uint16(int32(v) + (int32(1<<probBits&mask|(1<<moveBits-1)&^mask)-int32(v))>>moveBits)
		m = m<<1 + 1 - zero
	}
	c.rng, c.code, c.pos = rng, code, pos
	return byte(m)
}

// matched decodes a byte that follows a match and therefore probably differs from the one that
// would have continued it.
func (c *coder) matched(p *[litSize]uint16, like byte) byte {
	rng, code, pos, in := c.rng, c.code, c.pos, c.in
	m, offset, other := uint32(1), uint32(0x100), uint32(like)
	for m < 0x100 {
		other <<= 1
		match := other & offset
		if rng < topValue {
			rng <<= 8
			code = code<<8 | uint32(in[pos])
			pos++
		}
		i := offset + match + m
		v := uint32(p[i])
		bound := (rng >> probBits) * v
		_, zero := bits.Sub32(code, bound, 0)
		mask := -zero
		rng = bound&mask | (rng-bound)&^mask
		code -= bound &^ mask
		p[i] = uint16(int32(v) + (int32(1<<probBits&mask|(1<<moveBits-1)&^mask)-int32(v))>>moveBits)
		m = m<<1 + 1 - zero
		offset &= match ^ mask // as long as the bits are those of like
	}
	c.rng, c.code, c.pos = rng, code, pos
	return byte(m)
}

// length decodes a match's length, less the least.
func (c *coder) length(l *lengths, posState uint32) int {
	if c.bit(&l.choice) == 0 {
		return int(c.tree(l.low[posState][:]))
	}
	if c.bit(&l.choice2) == 0 {
		return lenLow + int(c.tree(l.mid[posState][:]))
	}
	return lenLow + lenMid + int(c.tree(l.high[:]))
}

// distance decodes a match's distance, less one.
func (c *coder) distance(d *lzma, length int) uint32 {
	slot := c.tree(d.distSlot[min(length, distStates-1)][:])
	if slot < 4 {
		return slot
	}
	n := slot>>1 - 1
	dist := (2 | slot&1) << n
	if slot < endDistBits {
		return dist + c.reverse(d.distSpec[dist-slot:], n)
	}
	return dist + c.direct(n-alignBits)<<alignBits + c.reverse(d.align[:], alignBits)
}

// decode fills buf[pos:end], behind which there must be slack, from a chunk, in, which is followed
// by padding in its array. position counts bytes since the dictionary was reset.
func (d *lzma) decode(buf []byte, pos, end int, in []byte, position uint64, window int) error {
	if len(in) < 5 || in[0] != 0 {
		return errCorrupt
	}
	c := coder{rng: 0xffffffff, code: uint32(in[1])<<24 | uint32(in[2])<<16 | uint32(
		in[3])<<8 | uint32(in[4]), pos: 5, in: in[:len(in)+padding]}
	buf = buf[:end+slack]
	state, rep0, rep1, rep2, rep3 := d.state, d.rep[0], d.rep[1], d.rep[2], d.rep[3]
	posMask, litMask, litShift := uint32(1)<<d.pb-1, uint32(1)<<d.lp-1, d.lc
	history := int(min(position, uint64(window))) // how far back a match may reach
	start := pos
	at := uint32(position) // position modulo what the masks see
	for pos < end {
		if c.pos > len(in) {
			return errCorrupt
		}
		here := at + uint32(pos-start)
		posState := here & posMask
		if c.bit(&d.isMatch[state<<maxPosBits|posState]) == 0 {
			prev := byte(0)
			if history+pos-start > 0 {
				prev = buf[pos-1]
			}
			p := (*[litSize]uint16)(
				d.lit[litSize*((here&litMask)<<litShift|uint32(prev)>>(8-litShift)):])
			if state < litStates {
				buf[pos] = c.literal(p)
				state -= min(state, 3)
			} else {
				if int(rep0) >= history+pos-start || int(rep0) >= window {
					return errCorrupt
				}
				buf[pos] = c.matched(p, buf[pos-1-int(rep0)])
				if state < 10 {
					state -= 3
				} else {
					state -= 6
				}
			}
			pos++
			continue
		}
		var length int
		switch {
		case c.bit(&d.isRep[state]) == 0:
			rep3, rep2, rep1 = rep2, rep1, rep0
			length = c.length(&d.matchLen, posState)
			rep0 = c.distance(d, length)
			state = after(state, 7)
		case c.bit(&d.isRepG0[state]) == 0:
			if c.bit(&d.isRep0Long[state<<maxPosBits|posState]) == 0 {
				state = after(state, 9)
				length = 1 - minMatch
				break
			}
			length = c.length(&d.repLen, posState)
			state = after(state, 8)
		default:
			dist := rep1
			if c.bit(&d.isRepG1[state]) != 0 {
				if c.bit(&d.isRepG2[state]) == 0 {
					dist = rep2
				} else {
					dist, rep3 = rep3, rep2
				}
				rep2 = rep1
			}
			rep1, rep0 = rep0, dist
			length = c.length(&d.repLen, posState)
			state = after(state, 8)
		}
		length += minMatch
		from := pos - 1 - int(rep0)
		if int64(rep0) >= int64(min(history+pos-start, window)) || length > end-pos {
			return errCorrupt
		}
		repeat(buf, from, pos, length)
		pos += length
	}
	if c.rng < topValue { // the encoder's last byte
		c.code = c.code<<8 | uint32(c.in[c.pos])
		c.pos++
	}
	if c.code != 0 || c.pos != len(in) {
		return errCorrupt
	}
	d.state, d.rep = state, [4]uint32{rep0, rep1, rep2, rep3}
	return nil
}

// after is the state after a match or a repetition: base when a literal came before it, else three
// more.
func after(state, base uint32) uint32 {
	switch {
	case state < litStates:
		return base
	case base == 7:
		return 10
	}
	return 11
}

// slack is how far repeat may write beyond what it is to write.
const slack = 8

// repeat copies length bytes within buf from an earlier place, which may reach into what is being
// written. Most matches are short, so that calling copy would cost more than copying.
func repeat(buf []byte, from, to, length int) {
	if to-from < 8 {
		for i := range length {
			buf[to+i] = buf[from+i]
		}
		return
	}
	for end := to + length; to < end; from, to = from+8, to+8 {
		binary.LittleEndian.PutUint64(buf[to:to+8], binary.LittleEndian.Uint64(buf[from:from+8]))
	}
}
