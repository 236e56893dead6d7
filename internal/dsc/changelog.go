package dsc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
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

// ParseChangelog reads the newest (first) entry of a changelog; no more of it is read.
func ParseChangelog(name string, r io.Reader) (*Entry, error) {
	sc := bufio.NewScanner(io.LimitReader(r, maxControl))
	sc.Buffer(nil, 1<<20)
	var e *Entry
	n := 0
	for sc.Scan() {
		n++
		line := strings.TrimRight(sc.Text(), " \t\r")
		switch {
		case line == "":
		case e == nil:
			if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "vim:") || strings.HasPrefix(line, "/*") {
				continue
			}
			var err error
			if e, err = parseHeading(line); err != nil {
				return nil, &Error{File: name, Line: n, Reason: err.Error()}
			}
		case strings.HasPrefix(line, " -- "):
			who, date, _ := strings.Cut(line[4:], ">  ")
			if who != line[4:] {
				who += ">"
			}
			e.Maintainer = strings.TrimSpace(who)
			// A date that cannot be read is the package's own matter: dpkg only warns.
			if at, err := time.Parse("Mon, _2 Jan 2006 15:04:05 -0700", strings.TrimSpace(date)); err == nil {
				e.Date = at
			}
			return e, nil
		case line[0] != ' ' && line[0] != '\t':
			return nil, &Error{File: name, Line: n, Reason: fmt.Sprintf("%s: expected a change, or the entry's last line ( -- NAME <ADDRESS>  DATE)", quote(line))}
		}
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, &Error{File: name, Line: n + 1, Reason: "the line is longer than 1 MiB"}
		}
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if e == nil {
		return nil, &Error{File: name, Reason: "has no entry"}
	}
	return nil, &Error{File: name, Line: n, Reason: "the first entry has no last line ( -- NAME <ADDRESS>  DATE)"}
}

// parseHeading reads "hello (2.10-3) unstable; urgency=medium".
func parseHeading(line string) (*Entry, error) {
	bad := func(why string) (*Entry, error) {
		return nil, fmt.Errorf("%s is not the first line of an entry, such as hello (2.10-3) unstable; urgency=medium: %s", quote(line), why)
	}
	head, meta, ok := strings.Cut(line, ";")
	if !ok {
		return bad("the ; is missing")
	}
	name, rest, ok := strings.Cut(head, " (")
	if !ok || !validPackageName(name) {
		return bad("it does not begin with the name of a package and a version in ( )")
	}
	text, dists, ok := strings.Cut(rest, ")")
	if !ok {
		return bad("the ) is missing")
	}
	v, err := ParseVersion(text)
	if err != nil {
		return bad(err.Error())
	}
	e := &Entry{Source: name, Version: v, Distributions: strings.Fields(dists)}
	if len(e.Distributions) == 0 {
		return bad("it names no distribution")
	}
	for _, d := range e.Distributions {
		if strings.IndexFunc(d, func(r rune) bool { return r >= 0x80 || !isNameByte(byte(r)) && r != '_' }) >= 0 {
			return bad(quote(d) + " is no distribution")
		}
	}
	for kv := range strings.SplitSeq(meta, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(kv), "=")
		switch strings.ToLower(key) {
		case "urgency":
			e.Urgency, _, _ = strings.Cut(strings.ToLower(value), " ")
		case "binary-only":
			e.BinaryOnly = value == "yes"
		}
	}
	return e, nil
}
