package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/regular"
)

// Bounds on what the page shows of a log, however long it is.
const (
	lineHead, lineTail = 1600, 300 // bytes of a line; what is between is left out
	aroundBefore       = 80        // lines before one that is named as a cause
	aroundAfter        = 30        // and after it
	maxSections        = 200
)

// line is a line of a log, ready to be shown.
type line struct {
	N     int
	Text  string
	Class string
	Gap   int // lines that are left out before it
}

// section is a part of a log between two of its titles.
type section struct {
	ID    int
	Title string
	First int // number of its first line, that of its title
	Last  int
	Lines []line
	Open  bool
	Gap   int // lines that are left out at its end
}

// logView is what is shown of a log.
type logView struct {
	Name     string
	Missing  string // why there is none
	Sections []*section
	Total    int // lines
	Size     int64
	Shown    int // lines
}

// readLog reads the log that a result names, within budget bytes, around the lines of its causes.
// A result may be from elsewhere, so only what is called a log is read, and no link is followed;
// beside is the directory of the result, where a log lies that was moved with it.
func readLog(path, beside string, budget int, causes []int) *logView {
	v := &logView{Name: path}
	if path == "" {
		v.Missing = "The build has left no log."
		return v
	}
	if filepath.Ext(path) != ".build" {
		v.Missing = "The log that the result names is not shown: its name does not end with .build."
		return v
	}
	candidates := []string{filepath.Join(beside, filepath.Base(path))}
	if filepath.IsAbs(path) {
		candidates = []string{path, candidates[0]}
	}
	for _, name := range candidates {
		f, err := regular.OpenNoFollow(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			v.Missing = fmt.Sprintf("The log cannot be read: %v.", err)
			return v
		}
		if err := errors.Join(v.read(f, budget, causes), f.Close()); err != nil {
			v.Missing = fmt.Sprintf("Not all of the log could be read: %v.", err)
		}
		return v
	}
	v.Missing = "The log is not there any more."
	return v
}

// read reads a log from its beginning to its end, once. Kept are its beginning, its end, and what
// lies around the causes.
func (v *logView) read(from io.Reader, budget int, causes []int) error {
	k := keeper{causes: causes, head: budget / 4, middle: budget / 4, tail: budget / 2}
	r := bufio.NewReaderSize(from, 256<<10)
	var last [3]string
	var titles []*section
	for {
		text, size, err := readLine(r)
		v.Size += int64(size)
		if errors.Is(err, io.EOF) && size == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		v.Total++
		k.take(line{N: v.Total, Text: text})
		if title, ok := boxTitle(last, text); ok && len(titles) < maxSections {
			titles = append(titles, &section{Title: title, First: v.Total - 2})
		}
		last = [3]string{text, last[0], last[1]}
	}
	v.divide(k.all(), titles)
	return nil
}

// readLine reads a line of any length. What is too much in its middle is left out.
func readLine(r *bufio.Reader) (text string, size int, err error) {
	var head, tail []byte
	for {
		var part []byte
		part, err = r.ReadSlice('\n')
		size += len(part)
		room := min(max(0, lineHead-len(head)), len(part))
		head = append(head, part[:room]...)
		if tail = append(tail, part[room:]...); len(tail) > 4*lineTail {
			tail = append(tail[:0], tail[len(tail)-2*lineTail:]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	end := strings.TrimRight(string(tail), "\r\n")
	if left := size - len(head) - len(tail); left > 0 || len(end) > lineTail {
		cut := max(0, len(end)-lineTail)
		return fmt.Sprintf("%s … %d bytes are left out … %s", head, left+cut, end[cut:]), size, err
	}
	return strings.TrimRight(string(head)+string(tail), "\r\n"), size, err
}

// keeper keeps lines within bounds of bytes.
type keeper struct {
	causes             []int
	head, middle, tail int
	first, around      []line
	last               []line // the oldest first
	held               int    // bytes of last
	begun              int    // of last, how many are no longer in it
}

func cost(l line) int { return len(l.Text) + 64 }

func (k *keeper) take(l line) {
	if k.head -= cost(l); k.head >= 0 {
		k.first = append(k.first, l)
		return
	}
	k.head = -1
	k.last, k.held = append(k.last, l), k.held+cost(l)
	for k.held > k.tail {
		old := k.last[k.begun]
		k.last[k.begun] = line{}
		k.held -= cost(old)
		if k.begun++; k.begun > len(k.last)/2 {
			k.last, k.begun = slices.Clone(k.last[k.begun:]), 0
		}
		if k.wanted(old.N) && k.middle >= cost(old) {
			k.middle -= cost(old)
			k.around = append(k.around, old)
		}
	}
}

func (k *keeper) wanted(n int) bool {
	return slices.ContainsFunc(k.causes, func(cause int) bool {
		return n >= cause-aroundBefore && n <= cause+aroundAfter
	})
}

func (k *keeper) all() []line { return slices.Concat(k.first, k.around, k.last[k.begun:]) }

// divide puts lines into their sections, without the boxes of the titles.
func (v *logView) divide(lines []line, titles []*section) {
	v.Sections = append([]*section{{Title: "Header", First: 1}}, titles...)
	for i, s := range v.Sections {
		s.ID, s.Last = i, v.Total
		if i+1 < len(v.Sections) {
			s.Last = v.Sections[i+1].First - 1
		}
	}
	at := 0
	next := func() int { // the line that would be shown next in the section
		s := v.Sections[at]
		if n := len(s.Lines); n > 0 {
			return s.Lines[n-1].N + 1
		}
		if at == 0 {
			return 1
		}
		return s.First + boxLines
	}
	for _, l := range lines {
		for l.N > v.Sections[at].Last {
			v.Sections[at].Gap = max(0, v.Sections[at].Last+1-next())
			at++
		}
		s := v.Sections[at]
		if at > 0 && l.N < s.First+boxLines {
			continue
		}
		l.Gap = l.N - next()
		l.Text = buildlog.VisibleString(l.Text)
		l.Class = classOf(l.Text)
		s.Lines = append(s.Lines, l)
		v.Shown++
	}
}

// boxLines is how many lines the box around a title has.
const boxLines = 3

// boxTitle is the title in a box of which text is the last line, without the time in it.
func boxTitle(last [3]string, text string) (string, bool) {
	if len(text) < 4 || text != last[1] || strings.Trim(text, "-") != "++" && strings.Trim(
		strings.Trim(text, "+"), "-") != "" || text[0] != '+' {
		return "", false
	}
	title, ok := strings.CutPrefix(last[0], "| ")
	if !ok || !strings.HasSuffix(title, " |") {
		return "", false
	}
	title, _, _ = strings.Cut(strings.TrimSpace(strings.TrimSuffix(title, " |")), "     ")
	return buildlog.VisibleString(title), true
}

// classOf says how a line is shown.
func classOf(text string) string {
	switch {
	case strings.HasPrefix(text, "E: "), strings.Contains(text, "error: "),
		strings.Contains(text, "*** ["), strings.HasPrefix(text, "FAIL"):
		return "e"
	case strings.HasPrefix(text, "W: "), strings.Contains(text, "warning: "):
		return "w"
	case strings.HasPrefix(text, "   dh_"), strings.HasPrefix(text, " dpkg-"),
		strings.HasPrefix(text, "   debian/rules "), strings.HasPrefix(text, " debian/rules "):
		return "s"
	}
	return ""
}

// mark has a line stand out, and its section be open.
func (v *logView) mark(n int) {
	for _, s := range v.Sections {
		for i := range s.Lines {
			if s.Lines[i].N == n {
				s.Lines[i].Class = "c"
				s.Open = true
			}
		}
	}
}

// Has tells whether a line is shown.
func (v *logView) Has(n int) bool {
	return slices.ContainsFunc(v.Sections, func(s *section) bool {
		_, found := slices.BinarySearchFunc(s.Lines, n, func(l line, n int) int { return l.N - n })
		return found
	})
}

// excerpt is the neighbourhood of a line, as far as it is shown.
func (v *logView) excerpt(n, before, after int) (out []line) {
	for _, s := range v.Sections {
		if n < s.First || n > s.Last {
			continue
		}
		for _, l := range s.Lines {
			if l.N >= n-before && l.N <= n+after {
				l.Gap = 0
				out = append(out, l)
			}
		}
	}
	return out
}

// end is the number of the last line that dpkg-buildpackage has printed; 0 when it is not known.
func (v *logView) end() int {
	for _, s := range slices.Backward(v.Sections) {
		for i, l := range slices.Backward(s.Lines) {
			if i > 0 && strings.HasPrefix(l.Text, "Build finished at ") &&
				strings.Trim(s.Lines[i-1].Text, "-") == "" {
				return l.N - 2
			}
		}
	}
	return 0
}

// Cut tells whether lines are left out.
func (v *logView) Cut() bool {
	return slices.ContainsFunc(v.Sections, func(s *section) bool {
		return s.Gap > 0 || slices.ContainsFunc(s.Lines, func(l line) bool { return l.Gap > 0 })
	})
}
