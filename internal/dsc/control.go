package dsc

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"nsbuild/internal/deb822"
	"nsbuild/internal/fault"
)

// maxControl is the largest control document that is read, in bytes. The largest .dsc and
// .buildinfo of Debian (the kernel's, TeX Live's) stay below one MiB.
const maxControl = 16 << 20

// Error is what is wrong with one place of a document.
type Error struct {
	File   string // the document, as the caller named it
	Line   int    // counted from 1; 0 when no line is to blame
	Field  string // "" when no field is to blame
	Reason string // one line
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString("field " + e.Field + ": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Field is one field of a paragraph. Value has its lines joined by "\n", each without the white
// space at its end, continuation lines without the one space or tab that marks them; lines that are
// comments are left out.
type Field struct {
	Name  string
	Value string
	Line  int // of the field's name
	lines []int
}

// lineOf is the line of the document on which byte offset pos of Value stands.
func (f *Field) lineOf(pos int) int {
	n := strings.Count(f.Value[:min(max(pos, 0), len(f.Value))], "\n")
	if n < len(f.lines) {
		return f.lines[n]
	}
	return f.Line
}

// Paragraph is one paragraph of control data, as deb822(5) describes it. Field names are
// case-insensitive.
type Paragraph struct {
	File   string // for messages
	Line   int    // of its first field
	Fields []Field
	index  map[string]int
}

// Get is the value of a field, or "".
func (p *Paragraph) Get(name string) string {
	if f := p.Field(name); f != nil {
		return f.Value
	}
	return ""
}

// Field finds a field, or returns nil.
func (p *Paragraph) Field(name string) *Field {
	if i, ok := p.index[strings.ToLower(name)]; ok {
		return &p.Fields[i]
	}
	return nil
}

// line is the value of a field that must stand on one line.
func (p *Paragraph) line(name string) (string, error) {
	f := p.Field(name)
	if f == nil {
		return "", nil
	}
	if strings.Contains(f.Value, "\n") {
		return "", p.errorf(f, 0, "has several lines, but must have one")
	}
	return f.Value, nil
}

// folded is the value of a field with its line breaks turned into spaces.
func (p *Paragraph) folded(name string) string {
	return strings.TrimSpace(strings.ReplaceAll(p.Get(name), "\n", " "))
}

// errorf makes an Error about byte offset pos of a field's value.
func (p *Paragraph) errorf(f *Field, pos int, format string, args ...any) error {
	return &Error{File: p.File, Line: f.lineOf(pos), Field: f.Name,
		Reason: fmt.Sprintf(format, args...)}
}

// ParseControl parses control data (deb822(5)) as found in debian/control: paragraphs parted by
// empty lines, comment lines starting with #. name is used in errors. A field that stands twice in
// a paragraph, and a line that is neither field nor continuation, are errors (*Error). What dpkg
// takes besides is taken: blanks before the colon, form feeds as white space, and control
// characters in values.
func ParseControl(name string, r io.Reader) ([]*Paragraph, error) {
	text, err := readLimited(name, r)
	if err != nil {
		return nil, err
	}
	return parseControl(name, text, 0)
}

// readLimited reads a document whole, up to maxControl bytes.
func readLimited(name string, r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxControl+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxControl {
		return nil, fault.New(fault.GivenBack, "check that this is the file you meant",
			"%s is larger than %d MiB, no control file is", name, maxControl>>20)
	}
	return text, nil
}

// parseControl parses text whose first line is line skip+1 of the document.
func parseControl(name string, text []byte, skip int) ([]*Paragraph, error) {
	var out []*Paragraph
	s := deb822.NewText(text, deb822.Syntax{Limit: len(text), Comments: true, Dpkg: true})
	for s.Next() {
		p := &Paragraph{File: name, Line: s.Paragraph[0].Line + skip, index: map[string]int{}}
		for i := range s.Paragraph {
			f := fieldOf(&s.Paragraph[i], skip)
			lower := strings.ToLower(f.Name)
			if i, dup := p.index[lower]; dup {
				return nil, &Error{File: name, Line: f.Line, Field: f.Name,
					Reason: fmt.Sprintf("stands twice: on this line and on line %d",
						p.Fields[i].Line)}
			}
			p.index[lower] = len(p.Fields)
			p.Fields = append(p.Fields, f)
		}
		out = append(out, p)
	}
	var wrong *deb822.Error
	if !errors.As(s.Err(), &wrong) {
		return out, s.Err()
	}
	e := &Error{File: name, Line: wrong.Line + skip,
		Reason: "is a continuation line, but there is no field before it"}
	if wrong.Fault == deb822.NoField {
		e.Reason = quote(strings.TrimRight(wrong.Text, whiteSpace)) +
			" is neither a field (Name: value) nor a continuation line"
	}
	return nil, e
}

// fieldOf makes a Field of one as it stands in the document.
func fieldOf(from *deb822.Field, skip int) Field {
	f := Field{Name: string(from.Name), Line: from.Line + skip}
	var value strings.Builder
	for n, text := range from.Lines() {
		line := strings.TrimRight(string(text), whiteSpace)
		if n == from.Line {
			value.WriteString(strings.TrimLeft(line, whiteSpace))
		} else {
			value.WriteString("\n" + line[1:])
		}
		f.lines = append(f.lines, n+skip)
	}
	f.Value = value.String()
	return f
}

// quote shows hostile text in a message: quoted, and cut to a length that fits a line.
func quote(s string) string {
	const limit = 60
	if len(s) > limit {
		return fmt.Sprintf("%q…", s[:limit])
	}
	return fmt.Sprintf("%q", s)
}

// refuse gives an error about a source or an artefact its kind, unless it carries one already.
func refuse(kind fault.Kind, hint string, err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return fault.Wrap(kind, hint, err)
}
