package buildlog

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// maxLine is where a line without an end is cut for the filter and for the kept lines, in
	// bytes. The file has the line whole.
	maxLine = 64 << 10
	// maxTailLine is how much of a line is kept for a report, in bytes.
	maxTailLine = 1 << 10
)

// Options of a Log. The zero value is a log to a file alone.
type Options struct {
	// also gets every line, with what a terminal would interpret made visible; nil for none
	Tee       io.Writer
	TailLines int              // how many of the last lines are kept; 0 means 50
	Now       func() time.Time // time.Now when nil
	NoExplain bool             // no causes of a failure are looked for
	LinkDir   string           // where Create makes the link to the log; "": beside it
}

// Line is a line of the log.
type Line struct {
	Number int    // counted from 1
	Text   string // without its end, at most 1 KiB of it
}

// Log is a build log being written. Its methods may be called from several goroutines; each line
// stays whole. An error of writing does not stop the build that writes to it: it is kept, and Close
// and Err return it.
type Log struct {
	mu      sync.Mutex
	w       io.Writer
	opt     Options
	filters []filter
	longest int // of the filters' texts
	line    int // lines ended so far
	tail    []Line
	next    int // where in tail the next line goes
	explain *Explainer
	out     *Stream // what Write and the formatting methods go through
	buf     bytes.Buffer
	err     error
	section string
	steps   steps
	doing   doing
	located located
	said    time.Time // when somebody wrote last, a whole line or not
}

type filter struct{ text, name []byte }

// New makes a Log that writes to w.
func New(w io.Writer, opt Options) *Log {
	if opt.TailLines <= 0 {
		opt.TailLines = 50
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	l := &Log{w: w, opt: opt}
	if !opt.NoExplain {
		l.explain = NewExplainer()
	}
	l.out = &Stream{log: l}
	return l
}

// Err is the first error of writing.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Write takes output of any kind, in any pieces. A line is written when its end arrives. It never
// fails and never blocks on anything but the file: see Err.
func (l *Log) Write(p []byte) (int, error) { return l.out.Write(p) }

// Flush ends a line that has no end yet.
func (l *Log) Flush() { l.out.Flush() }

// Stream returns a writer of its own into the log, for a second stream (stderr beside stdout) whose
// unfinished lines must not mix with those of the first. Flush it when it ends.
func (l *Log) Stream() *Stream { return &Stream{log: l} }

// LastWrite is when something was last written to it, by whatever stream.
func (l *Log) LastWrite() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said
}

// Stream is one source of lines.
type Stream struct {
	log  *Log
	part []byte // the line that has not ended yet
	// the last byte was a carriage return, which ended a line: a newline now belongs to it
	cr bool
	// the beginning of the line in part has already been written: it was longer than maxLine
	held bool
}

// Write takes output in any pieces. A carriage return ends a line as a newline does, as in sbuild:
// progress meters become lines.
func (s *Stream) Write(p []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.said = time.Now()
	s.take(p)
	s.log.drain()
	return len(p), nil
}

// take cuts output into lines.
func (s *Stream) take(p []byte) {
	for len(p) > 0 {
		if s.cr {
			s.cr = false
			if p[0] == '\n' {
				p = p[1:]
				continue
			}
		}
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			s.part = append(s.part, p...)
			s.cut()
			return
		}
		s.part = append(s.part, p[:i]...)
		s.cr = p[i] == '\r'
		p = p[i+1:]
		s.end()
	}
}

// Flush ends the line that has no end yet.
func (s *Stream) Flush() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.flush()
	s.log.drain()
}

func (s *Stream) flush() {
	s.cr = false
	if len(s.part) > 0 || s.held {
		s.end()
	}
}

// end writes a finished line.
func (s *Stream) end() {
	text := s.log.replace(s.part)
	s.log.buf.Write(text)
	s.log.buf.WriteByte('\n')
	s.log.keep(text)
	s.held = false
	if cap(s.part) > 4*maxLine {
		s.part = nil
	}
	s.part = s.part[:0]
}

// cut writes the beginning of a line that is too long to be held. What at its end may be the
// beginning of a filtered path stays held.
func (s *Stream) cut() {
	if len(s.part) <= maxLine+s.log.longest {
		return
	}
	text := s.log.replace(s.part)
	if n := len(text) - s.log.longest; n > 0 {
		s.log.buf.Write(text[:n])
		text, s.held = text[n:], true
	}
	s.part = append(make([]byte, 0, maxLine), text...)
}

// replace applies the filters, in the order in which they were announced.
func (l *Log) replace(line []byte) []byte {
	for _, f := range l.filters {
		if bytes.Contains(line, f.text) {
			line = bytes.ReplaceAll(line, f.text, f.name)
		}
	}
	return line
}

// keep counts a line, keeps it for Tail, and shows it to the explainer.
func (l *Log) keep(text []byte) {
	l.line++
	if len(text) > maxTailLine {
		text = text[:maxTailLine]
	}
	line := Line{Number: l.line, Text: string(text)}
	if len(l.tail) < l.opt.TailLines {
		l.tail = append(l.tail, line)
	} else {
		l.tail[l.next] = line
	}
	l.next = (l.next + 1) % l.opt.TailLines
	l.steps.step(line, l.opt.Now)
	l.doing.line(text, line.Text)
	l.located.line(l.section, line)
	if l.explain != nil {
		l.explain.Line(l.section, line)
	}
}

// drain hands what was gathered to the file and the terminal.
func (l *Log) drain() {
	if l.buf.Len() == 0 {
		return
	}
	if l.err == nil {
		if _, err := l.w.Write(l.buf.Bytes()); err != nil {
			l.err = fmt.Errorf("writing the build log: %w", err)
		}
	}
	if l.opt.Tee != nil {
		if _, err := l.opt.Tee.Write(Visible(l.buf.Bytes())); err != nil {
			l.opt.Tee = nil // the terminal is gone; the file goes on
		}
	}
	if l.buf.Cap() > 4*maxLine {
		l.buf = bytes.Buffer{}
	}
	l.buf.Reset()
}

// Tail returns the last n lines, oldest first, at most as many as are kept. They are as the package
// wrote them: Visible makes them safe for a terminal.
func (l *Log) Tail(n int) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.tail
	if len(l.tail) == l.opt.TailLines {
		all = append(append([]Line(nil), l.tail[l.next:]...), l.tail[:l.next]...)
	}
	return append([]Line(nil), all[max(0, len(all)-n):]...)
}

// Lines is how many lines were written.
func (l *Log) Lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}

// Explain returns the probable causes of a failure, the best first.
func (l *Log) Explain() []Cause {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.explain == nil {
		return nil
	}
	return l.explain.Causes()
}

// own writes text of ours, whole lines, after ending a line that the package left open.
func (l *Log) own(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.flush()
	// They go the way of all lines: filtered, counted and kept.
	s := Stream{log: l}
	s.take([]byte(text))
	s.flush()
	l.drain()
}

// Printf writes lines of our own. The text needs no newline at its end.
func (l *Log) Printf(format string, args ...any) { l.own(fmt.Sprintf(format, args...)) }

// Info writes a line with sbuild's prefix "I: ".
func (l *Log) Info(format string, args ...any) { l.own("I: " + fmt.Sprintf(format, args...)) }

// Warning writes a line with sbuild's prefix "W: ".
func (l *Log) Warning(format string, args ...any) { l.own("W: " + fmt.Sprintf(format, args...)) }

// Error writes a line with sbuild's prefix "E: ".
func (l *Log) Error(format string, args ...any) { l.own("E: " + fmt.Sprintf(format, args...)) }

// Filter replaces path by <<name>> in all that follows, and says so in the log. The slash before
// the path stays, as in sbuild. Announce a directory after those within it.
func (l *Log) Filter(path, name string) {
	text := strings.Trim(path, "/")
	if text == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.flush()
	line := fmt.Sprintf("I: NOTICE: Log filtering will replace '%s' with '<<%s>>'", text, name)
	l.buf.WriteString(line + "\n")
	l.keep([]byte(line))
	l.drain()
	l.filters = append(l.filters, filter{text: []byte(text), name: []byte("<<" + name + ">>")})
	l.longest = max(l.longest, len(text))
}

// Names of filtered paths, as sbuild has them.
const (
	NamePackage  = "PKGBUILDDIR"
	NameBuild    = "BUILDDIR"
	NameChroot   = "CHROOT"
	NameResolver = "RESOLVERDIR"
)

const timeInTitle = "Mon, 02 Jan 2006 15:04:05 -0700"

// title writes a box: an empty line, three lines, an empty line.
func (l *Log) title(text, rule string, at time.Time) {
	stamp := at.UTC().Format(timeInTitle)
	if gap := 76 - len(text) - len(stamp); gap > 0 {
		text += strings.Repeat(" ", gap)
	}
	text += stamp
	width := max(76, len(text))
	bar := "+" + strings.Repeat(rule, width+2) + "+"
	l.Printf("\n%s\n| %-*s |\n%s\n\n", bar, width, text, bar)
}

// Section begins a section: a box with the time.
func (l *Log) Section(title string) {
	l.title(title, "-", l.opt.Now())
	l.mu.Lock()
	l.section = title
	l.doing.section()
	l.mu.Unlock()
}

// Subsection begins a part of a section: an underlined line.
func (l *Log) Subsection(title string) {
	l.Printf("\n%s\n%s\n\n", title, strings.Repeat("-", len(title)))
}

// Separator writes the line of 80 dashes that stands before "Build finished at" and before the
// closing lines.
func (l *Log) Separator() { l.Printf("%s", strings.Repeat("-", 80)) }

// BuildFinished writes what follows the output of dpkg-buildpackage: when it ended, and whether
// well. Why it failed stands before the summary, as in sbuild: see Summary.Error.
func (l *Log) BuildFinished(at time.Time, ok bool) {
	l.Separator()
	l.Printf("Build finished at %s", at.UTC().Format(timeInFooter))
	l.Subsection("Finished")
	if ok {
		l.Info("Built successfully")
	}
}

// BuildFailure is sbuild's sentence for a dpkg-buildpackage that failed: with its exit status, or
// the number of the signal that ended it when that is not 0.
func BuildFailure(exit, signal int) string {
	if signal != 0 {
		return fmt.Sprintf("Build failure (dpkg-buildpackage died with signal %d)", signal)
	}
	return fmt.Sprintf("Build failure (dpkg-buildpackage died with exit %d)", exit)
}
