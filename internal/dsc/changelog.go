package dsc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is the head of one entry of a Debian changelog (deb-changelog(5)).
type Entry struct {
	Source        string
	Version       Version
	Distributions []string
	Urgency       string
	BinaryOnly    bool // the entry of a binNMU
	Maintainer    string
	Date          time.Time // zero when the trailer has none that can be read
}

// Distribution is the first of the entry's distributions: the suite it is meant for.
func (e *Entry) Distribution() string {
	if len(e.Distributions) == 0 {
		return ""
	}
	return e.Distributions[0]
}

// Unreleased tells whether the entry says that it is still being written.
func (e *Entry) Unreleased() bool { return strings.EqualFold(e.Distribution(), "UNRELEASED") }

// distributions are those of all entries that name one, the newest first, each once.
func distributions(changelog []byte) (all []string) {
	for line := range bytes.Lines(changelog) {
		heading := headingLine().FindSubmatch(bytes.TrimRight(line, whiteSpace+"\n"))
		if heading == nil {
			continue
		}
		e := Entry{Distributions: strings.Fields(string(heading[3]))}
		if d := e.Distribution(); !e.Unreleased() && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

// ParseChangelog reads the newest (first) entry of a changelog, as dpkg-parsechangelog does: what
// that builds with a warning is no error here. Text that is neither heading nor change is passed
// over, an entry may lack its last line (Maintainer is then "", Date zero), and with what looks
// like the beginning of another program's change log the file ends.
func ParseChangelog(name string, r io.Reader) (*Entry, error) {
	sc := bufio.NewScanner(io.LimitReader(r, maxControl))
	sc.Buffer(nil, 1<<20)
	p := changelogParser{}
	for sc.Scan() && !p.ended {
		p.line++
		if err := p.take(strings.TrimRight(sc.Text(), whiteSpace)); err != nil {
			return nil, &Error{File: name, Line: p.line, Reason: err.Error()}
		}
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil,
				&Error{File: name, Line: p.line + 1, Reason: "the line is longer than 1 MiB"}
		}
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	switch {
	case p.entry != nil:
		return p.entry, nil
	case p.text != "":
		return nil, &Error{File: name, Line: p.at, Reason: notAHeading(p.text)}
	}
	return nil, &Error{File: name, Reason: "has no entry"}
}

// whiteSpace is what dpkg takes for white space within a line.
const whiteSpace = " \t\r\f\v"

// changelogParser is a changelog that is being read up to its second entry.
type changelogParser struct {
	entry *Entry // nil before the first heading
	line  int    // counted from 1
	ended bool   // nothing more belongs to the entry
	text  string // the first line that might have been meant as a heading, and where it stands
	at    int
}

// Lines of a changelog (deb-changelog(5); dpkg's own parser says what it passes over).
var (
	headingLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(
			`(?i)^(\w[-+0-9a-z.]*) \(([^() \t]+)\)((?:\s+[-+0-9a-z.]+)+);(.*)$`)
	})
	lastLine = sync.OnceValue(func() *regexp.Regexp {
		const date = `(?:\w+,\s*)?\d{1,2}\s+\w+\s+\d{4}\s+\d{1,2}:\d\d:\d\d\s+[-+]\d{4}`
		return regexp.MustCompile(`^ -- (.*) <(.*)>  ?(` + date + `)$`)
	})
	editorLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)^(?:(?:;;\s*)?Local variables:|vim:)`)
	})
	ignoredLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:\$\w+:.*\$|# |/\*.*\*/)`)
	})
	// otherFormat begins what is no changelog of Debian's any more: GNU's, headings of long ago,
	// and single words.
	otherFormat = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)^(?:` + strings.Join([]string{
			`\w+\s+\w+\s+\d{1,2} \d{1,2}:\d{1,2}:\d{1,2}\s+[\w\s]*\d{4}\s+.*\s+[<(].*[)>]`,
			`\w+\s+\w+\s+\d{1,2},?\s*\d{4}\s+.*\s+[<(].*[)>]`,
			`\w[-+0-9a-z.]* \([^() \t]+\);?`,
			`[\w.+-]+[- ]\S+ Debian \S+`,
			`Changes from version .* to .*:`,
			`Changes for [\w.+-]+-[\w.+-]+:?\s*$`,
			`Old Changelog:\s*$`,
			`(?:\d+:)?\w[\w.+~-]*:?\s*$`,
		}, "|") + `)`)
	})
)

// take takes one line, without the white space at its end.
func (p *changelogParser) take(line string) error {
	heading := headingLine().FindStringSubmatch(line)
	switch {
	case heading != nil && p.entry != nil:
		p.ended = true
	case heading != nil:
		var err error
		p.entry, err = newEntry(heading)
		return err
	case line == "" || ignoredLine().MatchString(line):
	case editorLine().MatchString(line):
		p.ended = true
	case otherFormat().MatchString(line):
		p.note(line)
		p.ended = true
	case strings.IndexByte(whiteSpace, line[0]) < 0:
		p.note(line)
	case p.entry == nil && !strings.HasPrefix(line, " --"):
		return fmt.Errorf("%s: expected the first line of an entry before it", quote(line))
	default:
		p.takeLast(line)
	}
	return nil
}

// note remembers what is not the heading that is missing.
func (p *changelogParser) note(line string) {
	if p.entry == nil && p.text == "" {
		p.text, p.at = line, p.line
	}
}

// takeLast takes the line that ends an entry, with name and date, if it is one.
func (p *changelogParser) takeLast(line string) {
	m := lastLine().FindStringSubmatch(line)
	if m == nil || p.entry == nil || p.entry.Maintainer != "" {
		return
	}
	p.entry.Maintainer = m[1] + " <" + m[2] + ">"
	date := m[3]
	if _, rest, ok := strings.Cut(date, ","); ok { // the day of the week need not be right
		date = rest
	}
	// A date that cannot be read is the package's own matter: dpkg only warns.
	date = strings.Join(strings.Fields(date), " ")
	if at, err := time.Parse("2 Jan 2006 15:04:05 -0700", date); err == nil {
		p.entry.Date = at
	}
}

// newEntry is the entry of a heading: package, version, distributions, and what follows the
// semicolon.
func newEntry(heading []string) (*Entry, error) {
	if !validPackageName(heading[1]) {
		return nil, errors.New(notAHeading(heading[0]))
	}
	v, err := ParseVersion(heading[2])
	if err != nil {
		return nil, errors.New(notAHeading(heading[0]))
	}
	e := &Entry{Source: heading[1], Version: v, Distributions: strings.Fields(heading[3])}
	for kv := range strings.SplitSeq(heading[4], ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(kv), "=")
		switch strings.ToLower(key) {
		case "urgency":
			e.Urgency, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(value)), " ")
		case "binary-only":
			e.BinaryOnly = value == "yes"
		}
	}
	return e, nil
}

// notAHeading says what is expected instead of a line, and what it lacks.
func notAHeading(line string) string {
	const example = "hello (2.10-3) unstable; urgency=medium"
	return fmt.Sprintf("%s is not the first line of an entry, such as %s: %s", quote(line), example,
		headingFault(line))
}

func headingFault(line string) string {
	head, _, ok := strings.Cut(line, ";")
	if !ok {
		return "the ; is missing"
	}
	name, rest, ok := strings.Cut(head, " (")
	if !ok || !validPackageName(name) {
		return "it does not begin with the name of a package and a version in ( )"
	}
	version, dists, ok := strings.Cut(rest, ")")
	if !ok {
		return "the ) is missing"
	}
	if _, err := ParseVersion(version); err != nil {
		return err.Error()
	}
	if strings.TrimSpace(dists) == "" {
		return "it names no distribution"
	}
	return quote(strings.TrimSpace(dists)) + " is no distribution"
}
