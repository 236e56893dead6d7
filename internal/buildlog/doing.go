package buildlog

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// doing is what a build is busy with, as its log says: for somebody who waits. Of a line no more is
// looked at than its beginning.
type doing struct {
	mu    sync.Mutex // of nothing else: who asks may hold locks that a writer of the log waits for
	total int        // packages that dpkg is to install; 0: not known
	count [2]int     // those that it has begun to unpack, and to configure
	verb  int        // which of both
	step  string     // of debhelper
	last  string     // what it is about, or the last line
	dpkg  bool       // last is a package
}

// the beginnings of dpkg's lines, and what they mean
var dpkgVerbs = []struct {
	begins []byte
	verb   string
}{{[]byte("Unpacking "), "unpacking"}, {[]byte("Setting up "), "setting up"}}

var (
	stepBegins    = []byte("   dh_")
	commandBegins = []byte("\tdh_")
	ruleBegins    = []byte("   debian/rules ")
	sumBegins     = []byte(" newly installed")
)

// line takes a line of the log. The text is the caller's; all is what is kept of it.
func (d *doing) line(text []byte, all string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(text) == 0 {
		return
	}
	switch text[0] {
	case ' ', '\t':
		if d.begin(text) {
			return
		}
	case 'U', 'S':
		for i, v := range dpkgVerbs {
			name, ok := bytes.CutPrefix(text, v.begins)
			if !ok {
				continue
			}
			if end := bytes.IndexAny(name, " :"); end > 0 {
				d.verb = i
				d.count[i]++
				d.last, d.dpkg = string(name[:end]), true
				return
			}
		}
	case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if before, _, ok := bytes.Cut(text, sumBegins); ok { // "0 upgraded, 285 newly installed"
			d.total, d.count = sum(before), [2]int{}
		}
	}
	d.last, d.dpkg = all, false
}

// begin tells whether a line begins a step of debhelper.
func (d *doing) begin(text []byte) bool {
	rest, isRule := bytes.CutPrefix(text, ruleBegins)
	if !isRule && !bytes.HasPrefix(text, stepBegins) && !bytes.HasPrefix(text, commandBegins) {
		return false
	}
	if !isRule {
		rest = bytes.TrimLeft(text, " \t")
	}
	name, _, _ := bytes.Cut(rest, []byte(" "))
	d.step, d.last, d.dpkg = string(name), "", false
	return true
}

// sum adds up the numbers of "0 upgraded, 285".
func sum(text []byte) (n int) {
	for word := range bytes.FieldsSeq(text) {
		if i, err := strconv.Atoi(string(word)); err == nil && i > 0 && i < 1e6 {
			n += i
		}
	}
	return n
}

// section forgets what belongs to the section before.
func (d *doing) section() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total, d.count, d.step, d.last, d.dpkg = 0, [2]int{}, "", "", false
}

func (d *doing) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dpkg && d.total >= d.count[d.verb]:
		return fmt.Sprintf("%s %s (%d of %d)", dpkgVerbs[d.verb].verb, d.last, d.count[d.verb],
			d.total)
	case d.dpkg:
		return dpkgVerbs[d.verb].verb + " " + d.last
	}
	last := strings.Join(strings.Fields(d.last), " ")
	switch {
	case d.step == "":
		return last
	case last == "":
		return d.step
	}
	return d.step + ": " + last
}

// Doing says what the build is busy with: the package that is being installed and how many there
// are, the step of debhelper, the last line. It is safe for a terminal, and may be called at any
// time, also by whom Options.Tee waits for.
func (l *Log) Doing() string { return VisibleString(l.doing.String()) }
