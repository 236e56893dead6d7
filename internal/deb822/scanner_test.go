package deb822

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// paragraphs reads all of a text, each paragraph as "name=value" joined by "|".
func paragraphs(s *Scanner) ([]string, error) {
	var out []string
	for s.Next() {
		var f []string
		for _, x := range s.Paragraph {
			f = append(f, string(x.Name)+"="+string(x.Value))
		}
		out = append(out, strings.Join(f, "|"))
	}
	return out, s.Err()
}

// fault is which one an error is, 0 for none.
func fault(err error) Fault {
	var e *Error
	if errors.As(err, &e) {
		return e.Fault
	}
	return 0
}

func TestScanner(t *testing.T) {
	index := Syntax{Limit: 100}
	sources := Syntax{Limit: 100, Comments: true}
	dpkg := Syntax{Limit: 100, Comments: true, Dpkg: true}
	for _, test := range []struct {
		name, text string
		syntax     Syntax
		want       []string
		fault      Fault
	}{
		{"two", "A: 1\nB:2\n\nA: 3\n", index, []string{"A=1|B=2", "A=3"}, 0},
		{"blank lines, no last newline", "\n\nA: 1\n\n\n\nB: 2", index, []string{"A=1", "B=2"}, 0},
		{"folded", "A: 1,\n 2,\n\t3 \nB:\n x\n .\n y\n", index,
			[]string{"A=1,\n 2,\n\t3|B=x\n .\n y"}, 0},
		{"a blank continuation", "A: 1\n \nB: 2\n", index, []string{"A=1|B=2"}, 0},
		{"comments", "# x\nA: 1\n# y\n 2\n# z\n\n# only\n\nB: 3\n", sources,
			[]string{"A=1\n 2", "B=3"}, 0},
		{"empty", "", index, nil, 0},
		{"no colon", "A: 1\n\nB\n", index, []string{"A=1"}, NoField},
		{"continuation first", " A: 1\n", index, nil, NothingBefore},
		{"comment in an index", "#A: 1\n", index, nil, NoField},
		{"blank in the name", "A B: 1\n", index, nil, NoField},
		{"letter beyond ASCII in the name", "Ä: 1\n", index, nil, NoField},
		{"too long", "A: " + strings.Repeat("x", 200) + "\n\nB: 1\n", index, nil, TooLong},
		{"too long, no end", "A: " + strings.Repeat("x", 1<<20), index, nil, TooLong},

		{"a line of blanks", "A: 1\n \t\nB: 2\n\f\n\n \n \n\v\nC: 3\n ", dpkg,
			[]string{"A=1", "B=2", "C=3"}, 0},
		{"carriage returns", "A: 1\r\nB: 2\r\n 3\r\n\r\nC: 4\r\n", dpkg,
			[]string{"A=1|B=2\r\n 3", "C=4"}, 0},
		{"blanks before the colon", "A : 1\nB\t\f: 2\n", dpkg, []string{"A=1|B=2"}, 0},
		{"form feed continues", "A: 1\n\f2\n", dpkg, []string{"A=1\n\f2"}, 0},
		{"any letters in a name", "Ä: 1\n", dpkg, []string{"Ä=1"}, 0},
		{"control character in a name", "A\x01: 1\n", dpkg, nil, NoField},
		{"only blanks", " \n\t", dpkg, nil, 0},
		{"dpkg: comments", "# x\n#y\n\nA: 1\n#z\n 2\n#\n", dpkg, []string{"A=1\n 2"}, 0},
		{"dpkg: continuation first", "A: 1\n\n A: 2\n", dpkg, []string{"A=1"}, NothingBefore},
		{"dpkg: no name", " \n: 2\n", dpkg, nil, NoField},
		{"dpkg: dash", "-A: 2\n", dpkg, nil, NoField},
		{"dpkg: too long", "A: 1\n\nB: " + strings.Repeat("x\n ", 40), dpkg, []string{"A=1"},
			TooLong},
		{"dpkg: too many blanks", strings.Repeat(" ", 1<<20) + "\nA: 1\n", dpkg, nil, TooLong},
	} {
		for i, s := range []*Scanner{NewText([]byte(test.text), test.syntax),
			NewScanner(strings.NewReader(test.text), test.syntax),
			NewScanner(iotest.OneByteReader(strings.NewReader(test.text)), test.syntax),
			NewScanner(iotest.DataErrReader(strings.NewReader(test.text)), test.syntax)} {
			if i == 0 && test.name == "dpkg: too many blanks" {
				continue // a line that is there as a whole is seen to be empty
			}
			got, err := paragraphs(s)
			if fault(err) != test.fault || (err != nil) != (test.fault != 0) ||
				!slices.Equal(got, test.want) || s.Count() != len(test.want) {
				t.Errorf("%s: %q, %d of them, %v", test.name, got, s.Count(), err)
			}
		}
	}
	s := NewScanner(iotest.TimeoutReader(strings.NewReader(strings.Repeat("A: 1\n\n", 50000))),
		index)
	if _, err := paragraphs(s); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a read error: %v", err)
	}
}

func TestError(t *testing.T) {
	for text, want := range map[string]Error{
		"A: 1\n\n\n# x\nB: 2\n b\nnonsense\n":              {NoField, 2, 7, "nonsense", 0},
		"A: 1\n \n b\nc\n":                                 {NothingBefore, 2, 3, " b", 0},
		"A: 1\n\n\n\nA: " + strings.Repeat("x", 50) + "\n": {TooLong, 2, 5, "", 50},
	} {
		s := NewText([]byte(text), Syntax{Limit: 50, Comments: true, Dpkg: true})
		_, err := paragraphs(s)
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if want.Fault != TooLong {
			want.Limit = got.Limit
		}
		if *got != want {
			t.Errorf("%q: %+v, want %+v", text, *got, want)
		}
	}
}

// TestScannerLong: paragraphs of all sizes around that of the buffer.
func TestScannerLong(t *testing.T) {
	for _, dpkg := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 2))
		var text strings.Builder
		var want []string
		for range 200 {
			v := strings.Repeat("v", 1+r.IntN(3000)*r.IntN(60))
			want = append(want, "A="+v+"|B=1")
			fmt.Fprintf(&text, "A: %s\nB: 1\n\n", v)
		}
		got, err := paragraphs(NewScanner(iotest.HalfReader(strings.NewReader(text.String())),
			Syntax{Limit: 1 << 20, Dpkg: dpkg}))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d paragraphs, %v", len(got), err)
		}
	}
}

// Where a paragraph begins, in bytes and lines, and what is passed over on the way there.
func TestPlaces(t *testing.T) {
	const text = "\nA: 1\n 2\n\n\nB: 3\n\nC: 4"
	for _, dpkg := range []bool{false, true} {
		s := NewScanner(iotest.OneByteReader(strings.NewReader(text)),
			Syntax{Limit: 100, Dpkg: dpkg})
		var wanted []string
		s.Want = func(raw []byte) bool {
			wanted = append(wanted, fmt.Sprint(s.Offset(), " ", s.Line()))
			return raw[0] != 'B'
		}
		var got []string
		for s.Next() {
			got = append(got, fmt.Sprint(string(s.Paragraph[0].Name), s.Offset(), " ",
				s.Paragraph[0].Line, " ", s.Count()))
		}
		if !slices.Equal(wanted, []string{"1 2", "11 6", "17 8"}) ||
			!slices.Equal(got, []string{"A1 2 1", "C17 8 3"}) || s.Err() != nil {
			t.Errorf("%q %q %v", wanted, got, s.Err())
		}
		s = NewText([]byte(text), Syntax{Limit: 100, Dpkg: dpkg})
		got = nil
		for raw, ok := s.Raw(); ok; raw, ok = s.Raw() {
			got = append(got, string(raw))
		}
		if !slices.Equal(got, []string{"A: 1\n 2\n", "B: 3\n", "C: 4"}) || s.Count() != 3 {
			t.Errorf("%q", got)
		}
	}
}

func TestParagraph(t *testing.T) {
	s := NewText([]byte("A: 1\nB:\n# x\n  2 \n#y\n 3\na: 4\n"), Syntax{Limit: 100, Comments: true})
	if !s.Next() {
		t.Fatal(s.Err())
	}
	if get, last := string(s.Get("A")), string(s.Last("A")); get != "1" || last != "4" {
		t.Errorf("the first is %q, the last %q", get, last)
	}
	if s.Get("C") != nil || s.Last("C") != nil {
		t.Error("a field that is not there has a value")
	}
	var lines []string
	for n, line := range s.Paragraph[1].Lines() {
		lines = append(lines, fmt.Sprintf("%d%s", n, line))
	}
	if !slices.Equal(lines, []string{"2", "4  2 ", "6 3"}) {
		t.Errorf("%q", lines)
	}
}

// model reads a text by the rules of dpkg in the simplest way, one line after the other.
func model(text string) (out []string, broken bool) {
	var fields []string
	end := func() {
		if fields != nil {
			out = append(out, strings.Join(fields, "|"))
		}
		fields = nil
	}
	defer end()
	for n, line := range slices.Collect(strings.Lines(text)) {
		line = strings.TrimRight(line, whiteSpace+"\n")
		switch {
		case line == "":
			end()
		case line[0] == '#':
		case strings.IndexByte(whiteSpace, line[0]) >= 0:
			if fields == nil {
				return nil, true
			}
			fields[len(fields)-1] += fmt.Sprintf("\n%d %s", n+1, line[1:])
		default:
			name, value, ok := strings.Cut(line, ":")
			name = strings.TrimRight(name, whiteSpace)
			if !ok || name == "" || name[0] == '-' || strings.ContainsFunc(name,
				func(r rune) bool { return r <= ' ' || r == 0x7f }) {
				return nil, true
			}
			fields = append(fields, fmt.Sprintf("%s=%d %s", name, n+1,
				strings.TrimLeft(value, whiteSpace)))
		}
	}
	return out, false
}

func FuzzDpkg(f *testing.F) {
	f.Add("Source: a\nBuild-Depends: b,\n c\n\nPackage: a\n")
	f.Add("A:\r\n b\r\n#c\n \n\nB : c")
	f.Fuzz(func(t *testing.T, text string) {
		want, broken := model(text)
		for _, s := range []*Scanner{
			NewText([]byte(text), Syntax{Limit: len(text), Comments: true, Dpkg: true}),
			NewScanner(iotest.OneByteReader(strings.NewReader(text)),
				Syntax{Limit: len(text), Comments: true, Dpkg: true})} {
			var got []string
			for s.Next() {
				var fields []string
				for _, f := range s.Paragraph {
					var lines []string
					for n, line := range f.Lines() {
						value := strings.TrimRight(string(line), whiteSpace)
						if n == f.Line {
							value = strings.TrimLeft(value, whiteSpace)
						} else {
							value = value[1:]
						}
						lines = append(lines, fmt.Sprintf("%d %s", n, value))
					}
					fields = append(fields, string(f.Name)+"="+strings.Join(lines, "\n"))
				}
				got = append(got, strings.Join(fields, "|"))
			}
			if (s.Err() != nil) != broken || !broken && !slices.Equal(got, want) {
				t.Fatalf("%q: %q, %v\nwant %q, broken: %v", text, got, s.Err(), want, broken)
			}
		}
	})
}

// FuzzParagraphs: however the text is cut into reads, the outcome is the same.
func FuzzParagraphs(f *testing.F) {
	f.Add([]byte("A: 1\nB: 2\n 3\n\n# c\nA: 4\n"), uint8(3))
	f.Add([]byte("A:\n\n\n\nB:\r\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		for _, comments := range []bool{false, true} {
			syntax := Syntax{Limit: 1000, Comments: comments}
			want, err1 := paragraphs(NewScanner(bytes.NewReader(data), syntax))
			for _, s := range []*Scanner{NewText(data, syntax),
				NewScanner(&chunks{data, int(n)%7 + 1}, syntax)} {
				got, err2 := paragraphs(s)
				if !slices.Equal(got, want) || fault(err1) != fault(err2) {
					t.Errorf("%q %v, in pieces %q %v", want, err1, got, err2)
				}
			}
		}
	})
}

// chunks is a reader of n bytes at a time.
type chunks struct {
	data []byte
	n    int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.data)
	c.data = c.data[n:]
	return n, nil
}
