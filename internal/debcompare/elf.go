package debcompare

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Bounds of what is read of a program. debug/elf makes a string of its own for the name of each
// section, however long that is.
const (
	maxSections = 1 << 14
	maxELFNames = 64 << 20 // bytes of the names of sections, at most
	maxTable    = 64 << 20 // bytes of a table of symbols, and of their names
	maxSymbols  = 1 << 18  // of a library
	maxSymbol   = 4 << 10  // bytes of the name of one
	maxVersions = 1 << 14  // of symbols
)

var errHostile = errors.New("it is damaged, or larger than is looked into")

// openELF opens a program whose header promises no more than can be read.
func openELF(b []byte) (*elf.File, error) {
	if len(b) < 64 || !bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
		return nil, errHostile
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(b[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var table, size, count, names, offset uint64
	switch elf.Class(b[elf.EI_CLASS]) {
	case elf.ELFCLASS32:
		table, size, count, names = uint64(order.Uint32(b[32:])), uint64(order.Uint16(b[46:])),
			uint64(order.Uint16(b[48:])), uint64(order.Uint16(b[50:]))
		offset = 20
	case elf.ELFCLASS64:
		table, size, count, names = order.Uint64(b[40:]), uint64(order.Uint16(b[58:])),
			uint64(order.Uint16(b[60:])), uint64(order.Uint16(b[62:]))
		offset = 32
	default:
		return nil, errHostile
	}
	if table != 0 {
		at := table + names*size + offset
		if count == 0 || count > maxSections || size < 40 || table > uint64(len(b)) ||
			at+8 > uint64(len(b)) {
			return nil, errHostile
		}
		length := uint64(order.Uint32(b[at:]))
		if offset == 32 {
			length = order.Uint64(b[at:])
		}
		if length > maxELFNames/count {
			return nil, errHostile
		}
	}
	return elf.NewFile(bytes.NewReader(b))
}

// exported are the SONAME of a library and the symbols that others can use of it, each with its
// version, sorted.
func exported(b []byte) (soname string, symbols []string, err error) {
	defer func() {
		if r := recover(); r != nil { // the library is not made for hostile files
			err = fmt.Errorf("reading ELF: %v", r)
		}
	}()
	f, err := openELF(b)
	if err != nil {
		return "", nil, err
	}
	if f.Type != elf.ET_DYN {
		return "", nil, errors.New("it is no shared library")
	}
	soname, err = sonameOf(f)
	if err != nil {
		return "", nil, err
	}
	symbols, err = symbolsOf(f)
	return soname, symbols, err
}

// content is that of a section, within bounds; nil of none.
func content(s *elf.Section) ([]byte, error) {
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil, nil
	}
	if s.Flags&elf.SHF_COMPRESSED != 0 || s.FileSize > maxTable {
		return nil, errHostile
	}
	b, err := io.ReadAll(io.LimitReader(s.Open(), maxTable))
	if err == nil && uint64(len(b)) < s.FileSize {
		err = errHostile
	}
	return b, err
}

func sectionAt(f *elf.File, i uint32) *elf.Section {
	if int64(i) >= int64(len(f.Sections)) {
		return nil
	}
	return f.Sections[i]
}

// text is the string at a place of a table, within bounds.
func text(table []byte, at uint32) string {
	if int64(at) >= int64(len(table)) {
		return ""
	}
	rest := table[at:min(int(at)+maxSymbol, len(table))]
	if end := bytes.IndexByte(rest, 0); end >= 0 {
		rest = rest[:end]
	}
	return string(rest)
}

// sonameOf is the name that programs know a library by; "" where it has none.
func sonameOf(f *elf.File) (string, error) {
	s := f.SectionByType(elf.SHT_DYNAMIC)
	if s == nil {
		return "", nil
	}
	table, err := content(s)
	if err != nil {
		return "", err
	}
	names, err := content(sectionAt(f, s.Link))
	if err != nil {
		return "", err
	}
	wide := f.Class == elf.ELFCLASS64
	for len(table) >= 8 && (!wide || len(table) >= 16) {
		var tag, value uint64
		if wide {
			tag, value = f.ByteOrder.Uint64(table), f.ByteOrder.Uint64(table[8:])
			table = table[16:]
		} else {
			tag, value = uint64(f.ByteOrder.Uint32(table)), uint64(f.ByteOrder.Uint32(table[4:]))
			table = table[8:]
		}
		switch elf.DynTag(tag) {
		case elf.DT_NULL:
			return "", nil
		case elf.DT_SONAME:
			if value > maxTable {
				return "", errHostile
			}
			return text(names, uint32(value)), nil
		}
	}
	return "", nil
}

// symbolsOf are the symbols that a library exports.
func symbolsOf(f *elf.File) (all []string, err error) {
	s := f.SectionByType(elf.SHT_DYNSYM)
	if s == nil {
		return nil, nil
	}
	table, err := content(s)
	if err != nil {
		return nil, err
	}
	names, err := content(sectionAt(f, s.Link))
	if err != nil {
		return nil, err
	}
	versions, err := content(f.SectionByType(elf.SHT_GNU_VERSYM))
	if err != nil {
		return nil, err
	}
	called, err := versionsOf(f)
	if err != nil {
		return nil, err
	}
	size := elf.Sym64Size
	if f.Class == elf.ELFCLASS32 {
		size = elf.Sym32Size
	}
	if len(table)/size > maxSymbols {
		return nil, fmt.Errorf("it has more than %d symbols", maxSymbols)
	}
	for i := 1; (i+1)*size <= len(table); i++ {
		b := table[i*size:]
		info, other, section := b[4], b[5], f.ByteOrder.Uint16(b[6:])
		if f.Class == elf.ELFCLASS32 {
			info, other, section = b[12], b[13], f.ByteOrder.Uint16(b[14:])
		}
		visible := elf.ST_VISIBILITY(other)
		if section == uint16(elf.SHN_UNDEF) || elf.ST_BIND(info) == elf.STB_LOCAL ||
			visible == elf.STV_HIDDEN || visible == elf.STV_INTERNAL {
			continue
		}
		name := text(names, f.ByteOrder.Uint32(b))
		if 2*i+2 <= len(versions) {
			index := f.ByteOrder.Uint16(versions[2*i:]) &^ 0x8000 // which hides it from linkers
			switch version := called[index]; {
			case index == 0:
				continue // local
			case index > 1 && version == name: // it stands for the version itself
				continue
			case version != "" && index > 1:
				name += "@" + version
			}
		}
		if name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// versionsOf are the versions that a library defines, by their numbers.
func versionsOf(f *elf.File) (map[uint16]string, error) {
	all := map[uint16]string{}
	s := f.SectionByType(elf.SHT_GNU_VERDEF)
	if s == nil {
		return all, nil
	}
	table, err := content(s)
	if err != nil {
		return nil, err
	}
	names, err := content(sectionAt(f, s.Link))
	if err != nil {
		return nil, err
	}
	at := uint64(0)
	for range maxVersions {
		if at+20 > uint64(len(table)) {
			break
		}
		index, first := f.ByteOrder.Uint16(table[at+4:]), uint64(f.ByteOrder.Uint32(table[at+12:]))
		if at+first+4 <= uint64(len(table)) {
			all[index] = text(names, f.ByteOrder.Uint32(table[at+first:]))
		}
		next := uint64(f.ByteOrder.Uint32(table[at+16:]))
		if next == 0 {
			break
		}
		at += next
	}
	return all, nil
}
