package deb822

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Syntax says whose rules hold.
type Syntax struct {
	// Limit is the most bytes that a paragraph may have.
	Limit int
	// Comments are lines that begin with #: they are left out, as in sources.list(5) and in
	// debian/control. An index has none.
	Comments bool
	// Dpkg takes all that dpkg takes: form feeds and the like as white space, a line of white space
	// as an empty one, white space before the colon, and any byte in a field's name but white space
	// and control characters. Without it names are those of Policy 5.1, and only a line without
	// anything ends a paragraph.
	Dpkg bool
}

// whiteSpace is what dpkg takes for white space within a line.
const whiteSpace = " \t\r\f\v"

// blanks are what a continuation line begins with.
func (s *Syntax) blanks() string {
	if s.Dpkg {
		return whiteSpace
	}
	return " \t"
}

// Fault is what is wrong with a text.
type Fault int

// The faults of a text.
const (
	NoField       Fault = iota + 1 // a line is neither a field nor a continuation
	NothingBefore                  // a continuation line has no field before it
	TooLong                        // a paragraph has more bytes than Syntax.Limit
)

// Error is what is wrong with one place of a text.
type Error struct {
	Fault     Fault
	Paragraph int    // counted from 1
	Line      int    // of the text, counted from 1; of TooLong where the paragraph begins
	Text      string // the line; of TooLong none
	Limit     int
}

func (e *Error) Error() string {
	if e.Fault == TooLong {
		return fmt.Sprintf("paragraph %d is longer than %d bytes", e.Paragraph, e.Limit)
	}
	return fmt.Sprintf("paragraph %d: %q is no field", e.Paragraph, Clip([]byte(e.Text)))
}

// Scanner reads paragraphs one at a time from a stream, holding no more than one of them.
type Scanner struct {
	// Paragraph is the current one. All of it lies in the scanner's buffer and holds until the next
	// call of Next or Raw.
	Paragraph
	// Want, when set, is asked of each paragraph as it stands there; what is not wanted is passed
	// over.
	Want func(raw []byte) bool

	syntax   Syntax
	r        io.Reader
	buf      []byte
	pos, end int   // the unread part of buf
	before   int64 // bytes of the stream that were in front of buf
	offset   int64
	lines    int // of the stream before pos
	line     int // at which the last raw paragraph begins
	eof      bool
	err      error
	count    int
}

// NewScanner reads paragraphs from a stream.
func NewScanner(r io.Reader, syntax Syntax) *Scanner {
	return &Scanner{r: r, buf: make([]byte, 64<<10), syntax: syntax}
}

// NewText reads the paragraphs of a text, which must not be changed meanwhile.
func NewText(text []byte, syntax Syntax) *Scanner {
	return &Scanner{buf: text, end: len(text), eof: true, syntax: syntax}
}

// Next moves to the next paragraph; false at the end or at an error.
func (s *Scanner) Next() bool {
	if s.err != nil {
		return false
	}
	for {
		raw, ok := s.raw()
		if !ok {
			return false
		}
		if s.Want != nil && !s.Want(raw) {
			s.count++
			continue
		}
		if err := s.split(raw); err != nil {
			s.err = err
			return false
		}
		if len(s.Paragraph) > 0 { // a paragraph of comments only is none
			s.count++
			return true
		}
	}
}

// Raw moves to the next paragraph and returns it as it stands there, its fields not looked at;
// false at the end or at an error.
func (s *Scanner) Raw() ([]byte, bool) {
	if s.err != nil {
		return nil, false
	}
	raw, ok := s.raw()
	if ok {
		s.count++
	}
	return raw, ok
}

// Err is what ended the reading before its end.
func (s *Scanner) Err() error { return s.err }

// Count is how many paragraphs were read, the current one among them.
func (s *Scanner) Count() int { return s.count }

// Offset is where in the stream the current paragraph begins, in bytes. Want may ask for it.
func (s *Scanner) Offset() int64 { return s.offset }

// Line is where the current paragraph begins, comments among it, counted from 1.
func (s *Scanner) Line() int { return s.line }

func (s *Scanner) raw() ([]byte, bool) {
	s.skipBlank()
	s.offset, s.line = s.before+int64(s.pos), s.lines+1
	raw, ok := s.paragraph()
	if ok {
		s.lines += bytes.Count(raw, newline)
	}
	return raw, ok
}

var newline = []byte("\n")

// fill reads more; false when there is no more to be had.
func (s *Scanner) fill() bool {
	if s.eof || s.err != nil {
		return false
	}
	if s.pos > 0 && (s.end-s.pos < len(s.buf)/2 || s.end == len(s.buf)) {
		copy(s.buf, s.buf[s.pos:s.end])
		s.before += int64(s.pos)
		s.end -= s.pos
		s.pos = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if err != nil {
			s.eof = true
			if !errors.Is(err, io.EOF) {
				s.err = err
			}
			return n > 0
		}
		if n > 0 {
			return true
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// skipBlank passes over empty lines.
func (s *Scanner) skipBlank() {
	from := 0 // relative to pos: the white space before it was looked at
	for {
		for s.pos+from < s.end {
			switch c := s.buf[s.pos+from]; {
			case c == '\n':
				s.pos += from + 1
				s.lines++
				from = 0
			case s.syntax.Dpkg && isBlank(c, whiteSpace):
				from++
			default:
				return
			}
		}
		if from > s.syntax.Limit {
			return // which paragraph finds, too
		}
		if !s.fill() {
			s.pos += from
			return
		}
	}
}

// paragraph returns the raw bytes up to the next empty line or the end of the stream.
func (s *Scanner) paragraph() ([]byte, bool) {
	from := 0 // where the search has come to, relative to pos
	for {
		n, gap, seen := s.separator(from)
		if n > s.syntax.Limit || n < 0 && s.end-s.pos > s.syntax.Limit {
			break
		}
		if n >= 0 {
			raw := s.buf[s.pos : s.pos+n]
			s.pos += n + gap
			s.lines++ // the empty line
			return raw, true
		}
		from = seen
		if !s.fill() {
			if s.err != nil || s.pos == s.end {
				return nil, false
			}
			if n, _, _ := s.separator(from); n >= 0 { // a last line of white space
				s.end = s.pos + n
			}
			raw := s.buf[s.pos:s.end]
			s.pos = s.end
			return raw, true
		}
	}
	s.err = &Error{Fault: TooLong, Paragraph: s.count + 1, Line: s.line, Limit: s.syntax.Limit}
	return nil, false
}

// separator looks for the empty line that ends a paragraph, from an offset on. It returns how long
// the paragraph is and how long that line, or a negative length and where to go on looking.
func (s *Scanner) separator(from int) (length, gap, seen int) {
	text := s.buf[s.pos:s.end]
	if !s.syntax.Dpkg {
		if i := bytes.Index(text[from:], []byte("\n\n")); i >= 0 {
			return from + i + 1, 1, 0
		}
		return -1, 0, max(0, len(text)-1)
	}
	// from is at the beginning of a line
	for {
		i := bytes.IndexByte(text[from:], '\n')
		if i < 0 {
			if s.eof && from < len(text) && len(bytes.Trim(text[from:], whiteSpace)) == 0 {
				return from, len(text) - from, 0 // the last line has no newline
			}
			return -1, 0, from
		}
		if len(bytes.Trim(text[from:from+i], whiteSpace)) == 0 {
			return from, i + 1, 0
		}
		from += i + 1
	}
}

// split finds the fields of a raw paragraph.
func (s *Scanner) split(raw []byte) error {
	s.Paragraph = s.Paragraph[:0]
	blanks, comments := s.syntax.blanks(), s.syntax.Comments
	n := s.line
	for len(raw) > 0 {
		line, rest := CutLine(raw)
		if comments && line[0] == '#' {
			raw = rest
			n++
			continue
		}
		name, after := s.name(line)
		if name == nil {
			return s.wrong(n, line)
		}
		f := Field{Name: name, Line: n}
		whole, stop := raw, len(line)
		commented := false
		for n++; len(rest) > 0 && (isBlank(rest[0], blanks) || comments && rest[0] == '#'); n++ {
			commented = commented || rest[0] == '#'
			_, rest = CutLine(rest)
			stop = len(whole) - len(rest)
		}
		f.raw = whole[after:stop]
		f.Value = bytes.TrimSpace(f.raw)
		if commented {
			f.Value = bytes.TrimSpace(dropComments(f.raw))
		}
		s.Paragraph = append(s.Paragraph, f)
		raw = rest
	}
	return nil
}

func isBlank(c byte, blanks string) bool {
	for i := range len(blanks) {
		if c == blanks[i] {
			return true
		}
	}
	return false
}

// wrong is what is wrong with a line that should begin a field.
func (s *Scanner) wrong(n int, line []byte) error {
	e := &Error{Fault: NoField, Paragraph: s.count + 1, Line: n, Text: string(line)}
	if isBlank(line[0], s.syntax.blanks()) {
		e.Fault = NothingBefore
	}
	return e
}

// name is the name of the field that a line begins with, and where what follows its colon stands;
// nil when it begins none.
func (s *Scanner) name(line []byte) (name []byte, after int) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, 0
	}
	name = line[:colon]
	if s.syntax.Dpkg {
		name = bytes.TrimRight(name, whiteSpace)
	}
	if len(name) == 0 || name[0] == '#' || name[0] == '-' { // Policy 5.1
		return nil, 0
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f || c > 0x7f && !s.syntax.Dpkg {
			return nil, 0
		}
	}
	return name, colon + 1
}

func dropComments(value []byte) []byte {
	var out []byte
	for first := true; len(value) > 0; first = false {
		line, rest := CutLine(value)
		if first || line[0] != '#' {
			out = append(append(out, line...), '\n')
		}
		value = rest
	}
	return out
}
