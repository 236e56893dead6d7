package dirorder

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
)

// The fields of struct linux_dirent64 (getdents(2)): d_ino, d_off, d_reclen, d_type, d_name. Where
// d_ino and d_off have 64 bits, struct linux_dirent begins with the same, but has no d_type before
// the name.
const (
	offsetOff, offsetLen = 8, 16
	nameOf64, nameOfOld  = 19, 18
)

// entry is one of a directory, in the form in which the kernel gives it.
type entry struct {
	bytes []byte
	key   uint64
}

// next is where the kernel goes on behind the entry.
func (e *entry) next() uint64 { return binary.NativeEndian.Uint64(e.bytes[offsetOff:]) }

// dots tells whether it is "." or "..", which file systems list first.
func dots(name []byte) bool { return string(name) == "." || string(name) == ".." }

// parse splits what the kernel gave. keyed are the indices of all but "." and "..".
func (p *permuter) parse(from []byte, nameAt int) error {
	p.entries, p.moved = p.entries[:0], p.moved[:0]
	for len(from) > 0 {
		if len(from) < nameAt {
			return errShort
		}
		size := int(binary.NativeEndian.Uint16(from[offsetLen:]))
		if size < nameAt || size > len(from) {
			return errShort
		}
		name := from[nameAt:size]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if !dots(name) {
			p.moved = append(p.moved, len(p.entries))
		}
		p.entries = append(p.entries, entry{from[:size:size], p.key(name)})
		from = from[size:]
	}
	return nil
}

var errShort = errors.New("the entries of a directory are malformed")

// permuter puts entries into an order that follows from its seed and their names.
type permuter struct {
	seed    uint64
	entries []entry
	moved   []int // places of the entries that may have another
	order   []int // which entry comes to each of them
}

// key decides the place of a name.
func (p *permuter) key(name []byte) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, p.seed))
	h.Write(name)
	// The last bytes of a name hardly reach the high bits of FNV.
	k := h.Sum64()
	k = (k ^ k>>30) * 0xbf58476d1ce4e5b9
	k = (k ^ k>>27) * 0x94d049bb133111eb
	return k ^ k>>31
}

// permute writes the entries of from to the end of to in another order. Where there are two that
// may be moved, another one is the first. Each place keeps the kernel's number for what comes
// behind it: who goes on reading there misses nothing and sees nothing twice.
func (p *permuter) permute(to, from []byte, nameAt int) ([]byte, error) {
	if err := p.parse(from, nameAt); err != nil {
		return nil, err
	}
	p.order = append(p.order[:0], p.moved...)
	slices.SortStableFunc(p.order, func(a, b int) int {
		return cmp.Compare(p.entries[a].key, p.entries[b].key)
	})
	if n := len(p.order); n > 1 && p.order[0] == p.moved[0] {
		p.order[0], p.order[n-1] = p.order[n-1], p.order[0]
	}
	moved := 0
	for place := range p.entries {
		is := place
		if moved < len(p.moved) && p.moved[moved] == place {
			is = p.order[moved]
			moved++
		}
		begin := len(to)
		to = append(to, p.entries[is].bytes...)
		binary.NativeEndian.PutUint64(to[begin+offsetOff:], p.entries[place].next())
	}
	return to, nil
}

// small tells whether a program with 32 bits for them can go on behind every entry.
func (p *permuter) small() bool {
	return !slices.ContainsFunc(p.entries, func(e entry) bool { return e.next() > 1<<31-1 })
}
