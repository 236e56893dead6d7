package deb822

import (
	"bytes"
	"iter"
)

// Field is one field of a paragraph.
type Field struct {
	Name []byte
	// Value is without the white space around it; continuation lines keep their newline and their
	// leading blank, comments are left out.
	Value []byte
	Line  int // of its name, counted from 1

	raw []byte // what follows the colon, comments among it
}

// Is compares a field's name, which is case-insensitive (Policy 5.1).
func (f *Field) Is(name string) bool {
	return string(f.Name) == name ||
		(len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name)))
}

// Lines are the lines of the value as they stand there, without their newlines and without
// comments, each with its number. The first is what follows the colon.
func (f *Field) Lines() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		line, rest := CutLine(f.raw)
		for n := f.Line; ; n++ {
			// Where there are no comments, no continuation begins so.
			if comment := n > f.Line && line[0] == '#'; !comment && !yield(n, line) {
				return
			}
			if len(rest) == 0 {
				return
			}
			line, rest = CutLine(rest)
		}
	}
}

// Paragraph is the fields of one paragraph, in their order.
type Paragraph []Field

// Get is the value of a field, or nil.
func (p Paragraph) Get(name string) []byte {
	for i := range p {
		if p[i].Is(name) {
			return p[i].Value
		}
	}
	return nil
}

// Last is the value of a field that stands there several times as apt takes it: the last one.
func (p Paragraph) Last(name string) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i].Is(name) {
			return p[i].Value
		}
	}
	return nil
}

// CutLine returns the first line without its newline, and what follows.
func CutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// Clip shortens what an error quotes.
func Clip(b []byte) []byte {
	if len(b) > 60 {
		return b[:60]
	}
	return b
}
