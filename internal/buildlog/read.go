package buildlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Parsed is what can be read back from a log: of ours and of sbuild from 0.63 on.
type Parsed struct {
	Program  string // the first line
	Title    string // "hello 2.10-3 (amd64)"
	Start    time.Time
	Header   []Field
	Sections []Section
	Filters  []Field // the path as Name, the name with its << >> as Value
	Errors   []Line  // lines that begin with "E: "
	Summary  []Field
	Finished time.Time
	Needed   time.Duration
	SpaceKiB int64 // -1 when the log says "no disk space"
}

// Section is a section of a log.
type Section struct {
	Title       string
	Time        time.Time // zero in logs before sbuild 0.86
	Line        int       // of its title
	Subsections []string
}

// Get finds a field of a list, or "".
func Get(fields []Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Read reads a log back. A package can print what looks like a section of the log: what must be
// trusted stands in result.json.
func Read(r io.Reader) (*Parsed, error) {
	p := &Parsed{SpaceKiB: -1}
	var (
		last   [3]string // the lines before this one, the nearest first
		header bool      // the header's fields are being read
	)
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	sc.Split(scanLines)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		switch title, box := boxTitle(last, line); {
		case n == 1:
			p.Program = line
		case box && line[1] == '=':
			p.Title, p.Start = titleAndTime(title)
			header = true
		case box:
			header = false
			s := Section{Line: n - 1}
			s.Title, s.Time = titleAndTime(title)
			p.Sections = append(p.Sections, s)
		case header && line == "" && last[0] != "" && !strings.HasPrefix(last[0], "+"):
			header = false
		case header:
			if name, value, ok := strings.Cut(line, ": "); ok {
				p.Header = append(p.Header, Field{name, value})
			}
		case len(line) >= 3 && strings.Trim(line, "-") == "" && len(line) == len(last[0]) &&
			last[1] == "" && len(p.Sections) > 0:
			s := &p.Sections[len(p.Sections)-1]
			s.Subsections = append(s.Subsections, last[0])
		case strings.HasPrefix(line, "I: NOTICE: Log filtering will replace '"):
			text := strings.TrimPrefix(line, "I: NOTICE: Log filtering will replace '")
			if path, name, ok := strings.Cut(text, "' with '"); ok {
				p.Filters = append(p.Filters, Field{path, strings.TrimSuffix(name, "'")})
			}
		case strings.HasPrefix(line, "E: "):
			p.Errors = append(p.Errors, Line{Number: n, Text: line})
		case len(p.Sections) > 0 && p.Sections[len(p.Sections)-1].Title == "Summary":
			if err := p.closing(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		last = [3]string{line, last[0], last[1]}
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if p.Title == "" {
		return nil, errors.New("not a build log: it has no title")
	}
	return p, nil
}

// scanLines is bufio.ScanLines without its removal of carriage returns.
func scanLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	for i, c := range data {
		if c == '\n' {
			return i + 1, data[:i], nil
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// boxTitle is the middle line of a box of which line is the last.
func boxTitle(last [3]string, line string) (string, bool) {
	if len(line) < 4 || line != last[1] || last[2] != "" || line[0] != '+' ||
		line[len(line)-1] != '+' {
		return "", false
	}
	rule := line[1 : len(line)-1]
	if strings.Trim(rule, "=") != "" && strings.Trim(rule, "-") != "" {
		return "", false
	}
	title, ok := strings.CutPrefix(last[0], "| ")
	if !ok || !strings.HasSuffix(title, " |") {
		return "", false
	}
	return strings.TrimSpace(strings.TrimSuffix(title, " |")), true
}

// titleAndTime parts a title from the time at its end.
func titleAndTime(s string) (string, time.Time) {
	if at := len(s) - len(timeInTitle); at >= 0 {
		if t, err := time.Parse(timeInTitle, s[at:]); err == nil {
			return strings.TrimSpace(s[:at]), t.UTC()
		}
	}
	return s, time.Time{}
}

// closing reads a line of the summary or one of the two closing lines.
func (p *Parsed) closing(line string) error {
	if at, ok := strings.CutPrefix(line, "Finished at "); ok {
		var err error
		p.Finished, err = time.Parse(timeInFooter, at)
		return err
	}
	if rest, ok := strings.CutPrefix(line, "Build needed "); ok {
		var h, m, s int64
		clock, space, _ := strings.Cut(rest, ", ")
		if _, err := fmt.Sscanf(clock, "%d:%d:%d", &h, &m, &s); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		p.Needed = time.Duration(h*3600+m*60+s) * time.Second
		if _, err := fmt.Sscanf(space, "%dk disk space", &p.SpaceKiB); err != nil {
			p.SpaceKiB = -1
		}
		return nil
	}
	if name, value, ok := strings.Cut(line, ": "); ok {
		p.Summary = append(p.Summary, Field{name, value})
	}
	return nil
}
