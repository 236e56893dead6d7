package buildlog

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// Noted is what a log has of what a person weighs: the tags of lintian, and the warnings of the
// build. Places in files are left out of them: they move with each change.
type Noted struct {
	Linted   bool // lintian ran
	Tags     []string
	Warnings []string
}

// Bounds of what is noted.
const (
	mostNoted   = 20000 // of a kind
	widestNoted = 400   // bytes of one
	widestRead  = 4 << 10
)

var (
	placeInFile = pattern(`:\d+(?::\d+)?(?::|\]|\)|$)`)
	address     = pattern(`\b0x[0-9a-fA-F]+\b`)
	buildID     = pattern(`\.build-id/[0-9a-f]{2}/[0-9a-f]+`)
)

// Note reads what a log has of these. As with Read, a package can print what looks like it.
func Note(r io.Reader) (*Noted, error) {
	n := &Noted{}
	var last [3]string
	section, sub := "", ""
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return nil, err
		}
		if title, box := boxTitle(last, line); box {
			section, _ = titleAndTime(title)
			sub = ""
		} else if len(line) >= 3 && strings.Trim(line, "-") == "" && len(line) == len(last[0]) &&
			last[1] == "" {
			sub = last[0]
			n.Linted = n.Linted || section == "Post Build" && sub == "lintian"
		}
		last = [3]string{line, last[0], last[1]}
		switch {
		case section == "Post Build" && sub == "lintian":
			if tag(line) && len(n.Tags) < mostNoted {
				n.Tags = append(n.Tags, withoutPlaces(line))
			}
		case section == "Build" && containsAny(line, []string{"warning:", "Warning:", "WARNING:"}):
			if len(n.Warnings) < mostNoted {
				n.Warnings = append(n.Warnings, withoutPlaces(line))
			}
		}
	}
}

// readLine reads a line, of which no more is kept than is looked at.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, more, err := in.ReadLine()
		if err != nil {
			return "", err
		}
		line = append(line, part[:min(len(part), widestRead-len(line))]...)
		if !more {
			return string(line), nil
		}
	}
}

// tag tells whether a line is one of lintian's, and not of what nsbuild says of lintian.
func tag(line string) bool {
	if len(line) < 3 || !strings.Contains("EWIPXOC", line[:1]) || line[1:3] != ": " {
		return false
	}
	of, name, ok := strings.Cut(line[3:], ": ")
	return ok && of != "" && (of != "lintian" || strings.Contains(name, "-"))
}

func withoutPlaces(line string) string {
	line = placeInFile.regexp().ReplaceAllStringFunc(line, func(s string) string {
		return strings.TrimLeft(s[:len(s)-1], ":0123456789") + strings.TrimRight(s[len(s)-1:],
			"0123456789")
	})
	line = buildID.regexp().ReplaceAllString(line, ".build-id/…")
	line = strings.TrimSpace(address.regexp().ReplaceAllString(line, "0x…"))
	if len(line) > widestNoted {
		line = line[:widestNoted] + "…"
	}
	return line
}

// TagLine is a tag of lintian as Note has it.
func TagLine(line string) string { return withoutPlaces(line) }

// Tags collects lintian's tags from what it writes, as Note has them.
type Tags struct {
	All  []string
	line []byte
}

func (t *Tags) Write(p []byte) (int, error) {
	for _, x := range p {
		switch {
		case x != '\n':
			if len(t.line) < widestRead {
				t.line = append(t.line, x)
			}
		default:
			if line := string(t.line); tag(line) && len(t.All) < mostNoted {
				t.All = append(t.All, withoutPlaces(line))
			}
			t.line = t.line[:0]
		}
	}
	return len(p), nil
}
