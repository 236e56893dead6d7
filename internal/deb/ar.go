package deb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	// maxMemberName bounds a BSD long name and a GNU name table; real packages need neither.
	maxMemberName = 1 << 16
)

// member is one header of an ar archive.
type member struct {
	Name string
	Size int64 // bytes of content
}

// arReader walks an ar archive as a stream. The common format, GNU's ("name/", "//" table,
// "/offset") and BSD's ("#1/length") long names are understood.
type arReader struct {
	r         *bufio.Reader
	remaining int64 // of the current member's content
	pad       bool
	names     []byte // GNU's table of long names
}

func newArReader(r io.Reader) (*arReader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(br, magic); err != nil {
		return nil, fmt.Errorf("reading the ar magic: %w", noEOF(err))
	}
	if string(magic) != arMagic {
		return nil, fmt.Errorf("not an ar archive: it begins with %q", magic)
	}
	return &arReader{r: br}, nil
}

// Next skips what is left of the current member and returns the next one, or io.EOF at a clean end.
func (a *arReader) Next() (member, error) {
	if err := a.skip(); err != nil {
		return member{}, err
	}
	for {
		m, err := a.header()
		if err != nil {
			return member{}, err
		}
		if m.Name != "//" && m.Name != "/" && m.Name != "/SYM64/" {
			return m, nil
		}
		if m.Name == "//" {
			if m.Size > maxMemberName {
				return member{},
					fmt.Errorf("the table of member names has %d bytes, more than the %d allowed",
						m.Size, maxMemberName)
			}
			a.names = make([]byte, m.Size)
			if _, err := io.ReadFull(a, a.names); err != nil {
				return member{}, fmt.Errorf("reading the table of member names: %w", noEOF(err))
			}
		}
		if err := a.skip(); err != nil {
			return member{}, err
		}
	}
}

func (a *arReader) skip() error {
	n := a.remaining
	if a.pad {
		n++
	}
	a.remaining = 0
	pad := a.pad
	a.pad = false
	for n > 0 {
		step := int(min(n, 1<<30))
		d, err := a.r.Discard(step)
		n -= int64(d)
		if err != nil {
			if err == io.EOF && n == 1 && pad {
				return nil // the padding of the last member is missing: dpkg accepts that too
			}
			return fmt.Errorf("skipping an ar member: %w", noEOF(err))
		}
	}
	return nil
}

func (a *arReader) header() (member, error) {
	var h [arHeaderSize]byte
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		if err == io.EOF {
			return member{}, io.EOF
		}
		return member{}, fmt.Errorf("reading an ar header: %w", noEOF(err))
	}
	if h[58] != '`' || h[59] != '\n' {
		return member{}, fmt.Errorf("corrupt ar header %q", h[:])
	}
	size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
	if err != nil || size < 0 {
		return member{}, fmt.Errorf("corrupt size %q in an ar header", h[48:58])
	}
	m := member{Name: strings.TrimRight(string(h[:16]), " "), Size: size}
	a.remaining, a.pad = size, size%2 == 1
	if err := a.longName(&m); err != nil {
		return member{}, err
	}
	return m, nil
}

func (a *arReader) longName(m *member) error {
	switch {
	case strings.HasPrefix(m.Name, "#1/"):
		n, err := strconv.ParseInt(m.Name[3:], 10, 32)
		if err != nil || n < 0 || n > maxMemberName || n > m.Size {
			return fmt.Errorf("corrupt long name %q in an ar header", m.Name)
		}
		name := make([]byte, n)
		if _, err := io.ReadFull(a, name); err != nil {
			return fmt.Errorf("reading an ar member's name: %w", noEOF(err))
		}
		m.Name = string(bytes.TrimRight(name, "\x00"))
		m.Size -= n
	case len(m.Name) > 1 && m.Name[0] == '/' && m.Name[1] >= '0' && m.Name[1] <= '9':
		off, err := strconv.Atoi(m.Name[1:])
		if err != nil || off < 0 || off >= len(a.names) {
			return fmt.Errorf("an ar member's name is at %q, outside of the table of names", m.Name)
		}
		name, _, _ := bytes.Cut(a.names[off:], []byte("\n"))
		m.Name = strings.TrimSuffix(string(name), "/")
	case m.Name != "/" && m.Name != "//" && m.Name != "/SYM64/":
		m.Name = strings.TrimSuffix(m.Name, "/")
	}
	return nil
}

// Read reads the current member's content.
func (a *arReader) Read(p []byte) (int, error) {
	if a.remaining <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > a.remaining {
		p = p[:a.remaining]
	}
	n, err := a.r.Read(p)
	a.remaining -= int64(n)
	if err == io.EOF && a.remaining > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

// noEOF makes an end in the middle of something an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
