package archive

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"nsbuild/internal/archive/failure"
)

// Limits of what we read from an archive. The largest paragraph of Debian's Sources is about 300
// KiB; a Release file of a large archive a few hundred.
const (
	maxParagraph = 4 << 20
	maxRelease   = 32 << 20
)

// field is one field of a paragraph. Both slices lie in the scanner's buffer and hold until the
// next call of next. The value is without the blanks around it; continuation lines keep their
// newline and their leading blank.
type field struct{ name, value []byte }

// is compares a field name, which is case-insensitive (Policy 5.1).
func (f field) is(name string) bool {
	return string(f.name) == name ||
		(len(f.name) == len(name) && bytes.EqualFold(f.name, []byte(name)))
}

// scanner reads deb822 paragraphs (deb822(5)) one at a time from a stream, holding no more than one
// of them.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int   // the unread part of buf
	before   int64 // bytes of the stream that were in front of buf
	at       int64 // where in the stream the last raw paragraph begins
	limit    int   // bytes in a paragraph
	comments bool
	eof      bool
	fields   []field
	err      error
	count    int                   // paragraphs so far
	want     func(raw []byte) bool // nil: all
}

// newScanner reads paragraphs of at most limit bytes. With comments, lines that begin with # are
// left out, as sources(5) and control files have them; an index has none.
func newScanner(r io.Reader, limit int, comments bool) *scanner {
	return &scanner{r: r, buf: make([]byte, 64<<10), limit: limit, comments: comments}
}

// next moves to the next paragraph; false at the end or at an error.
func (s *scanner) next() bool {
	if s.err != nil {
		return false
	}
	for {
		raw, ok := s.raw()
		if !ok {
			return false
		}
		if s.want != nil && !s.want(raw) {
			s.count++
			continue
		}
		if err := s.split(raw); err != nil {
			s.err = err
			return false
		}
		if len(s.fields) > 0 { // a paragraph of comments only is none
			s.count++
			return true
		}
	}
}

// raw moves to the next paragraph and returns it as it is.
func (s *scanner) raw() ([]byte, bool) {
	s.skipBlank()
	s.at = s.before + int64(s.pos)
	return s.paragraph()
}

// get is the value of a field of the current paragraph, or nil.
func (s *scanner) get(name string) []byte {
	for _, f := range s.fields {
		if f.is(name) {
			return f.value
		}
	}
	return nil
}

// last is the value of a field that stands there several times as apt takes it: the last one.
func (s *scanner) last(name string) []byte {
	for _, f := range slices.Backward(s.fields) {
		if f.is(name) {
			return f.value
		}
	}
	return nil
}

// fill reads more; false when there is no more to be had.
func (s *scanner) fill() bool {
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

func (s *scanner) skipBlank() {
	for {
		for s.pos < s.end && s.buf[s.pos] == '\n' {
			s.pos++
		}
		if s.pos < s.end || !s.fill() {
			return
		}
	}
}

// paragraph returns the raw bytes up to the next empty line or the end of the stream.
func (s *scanner) paragraph() ([]byte, bool) {
	from := 0 // where the search has come to, relative to pos
	for {
		if i := bytes.Index(s.buf[s.pos+from:s.end], []byte("\n\n")); i >= 0 {
			n := from + i + 1
			if n > s.limit {
				break
			}
			raw := s.buf[s.pos : s.pos+n]
			s.pos += n + 1
			return raw, true
		}
		from = max(0, s.end-s.pos-1)
		if s.end-s.pos > s.limit {
			break
		}
		if !s.fill() {
			if s.err != nil || s.pos == s.end {
				return nil, false
			}
			raw := s.buf[s.pos:s.end]
			s.pos = s.end
			return raw, true
		}
	}
	s.err = failure.Syntax("paragraph %d is longer than %d bytes", s.count+1, s.limit)
	return nil, false
}

// split finds the fields of a raw paragraph.
func (s *scanner) split(raw []byte) error {
	s.fields = s.fields[:0]
	for len(raw) > 0 {
		line, rest := cutLine(raw)
		if s.comments && line[0] == '#' {
			raw = rest
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !fieldName(line[:colon]) {
			return failure.Syntax("paragraph %d: %q is no field", s.count+1, clip(line))
		}
		stop := len(line)
		whole := raw
		commented := false
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t' || (s.comments && rest[0] == '#')) {
			commented = commented || rest[0] == '#'
			_, rest = cutLine(rest)
			stop = len(whole) - len(rest)
		}
		value := whole[colon+1 : stop]
		if commented {
			value = dropComments(value)
		}
		s.fields = append(s.fields, field{line[:colon], bytes.TrimSpace(value)})
		raw = rest
	}
	return nil
}

// cutLine returns the first line without its newline, and what follows.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

func dropComments(value []byte) []byte {
	var out []byte
	for first := true; len(value) > 0; first = false {
		line, rest := cutLine(value)
		if first || line[0] != '#' {
			out = append(append(out, line...), '\n')
		}
		value = rest
	}
	return out
}

// fieldName: printable ASCII without blanks and colon, not beginning with # or - (Policy 5.1).
func fieldName(b []byte) bool {
	if b[0] == '#' || b[0] == '-' {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// clip shortens what an error quotes.
func clip(b []byte) []byte {
	if len(b) > 60 {
		return b[:60]
	}
	return b
}
