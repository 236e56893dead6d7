// Package progress shows a person what nsbuild is doing and how far it is.
//
// Work is reported as phases. On a terminal each running phase has one live line with its elapsed
// time and, where something is counted, how much of it is done and how fast; a finished phase
// leaves one line behind. Where there is no terminal there are plain lines: one for each finished
// phase, and one now and then for a phase that takes long. Quiet shows no phases at all.
//
// Everything else that is printed to the same stream goes through Writer, so that it never mixes
// with a live line. The terminal's modes are never changed and its cursor never hidden: a process
// that dies at any moment leaves at most the text of its live line.
//
// What the phases are called, which of them exist, and what is logged is left to the callers;
// results on standard output too.
package progress

import (
	"bytes"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// redraw is how often a live line is brought up to date.
	redraw = 100 * time.Millisecond
	// defaultInterval is how often a long phase gets a plain line.
	defaultInterval = 30 * time.Second
	// maxPartial limits how much of an unfinished line Writer holds back, in bytes.
	maxPartial = 64 << 10
	// plainWidth is where a plain line of a running phase is cut, in columns.
	plainWidth = 120
)

// Options say how progress is shown. The zero value decides by what the output is.
type Options struct {
	// Quiet shows no phases; Writer still works.
	Quiet bool
	// Plain shows plain lines even on a terminal.
	Plain bool
	// NoColor leaves out colours even on a terminal. They are also left out when the environment
	// variable NO_COLOR is set and not empty (https://no-color.org).
	NoColor bool
	// Events, when set, is told what happens, by several goroutines at once.
	Events func(Event)
	// Folds, when set, fold what goes through LogWriter, where there are no live lines.
	Folds Folds
	// Interval is how often a long phase gets a line where there is no terminal; 0 is 30 seconds.
	Interval time.Duration
}

// Folds are marks around a part of the output that a service shows folded, with a name. They are
// whole lines; id tells one from another.
type Folds interface {
	Begin(id int, name string) string
	End(id int) string
}

// Progress is one stream that phases and log lines share, or one task's view of it (Task). Its
// methods, and those of its phases and writers, may be called concurrently.
type Progress struct {
	*stream
	task *Phase // whose line shows the phases that begin here; nil for lines of their own
}

// stream is what all tasks share.
type stream struct {
	out      io.Writer
	term     terminal // nil where there are no live lines
	color    bool
	quiet    bool
	interval time.Duration

	folds Folds // nil: none

	mu      sync.Mutex
	fold    *Phase    // whose text is folded by the last mark; nil: none
	folded  int       // marks so far
	running []*Phase  // in the order in which they began
	writers []*writer // with an unfinished line
	drawn   []string  // the live lines on the screen, without colours
	paused  int
	closed  bool
	err     error // the first failure to write
	stop    chan struct{}
	stopped chan struct{}

	events     func(Event)
	watched    []*Phase // of which is told
	stopEvents chan struct{}
}

// New shows progress on out, which is standard error in the product. Live lines are used where out
// is a terminal and TERM is not "dumb".
func New(out io.Writer, o Options) *Progress {
	var term terminal
	if f, ok := out.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		term = openTerminal(f)
	}
	o.NoColor = o.NoColor || os.Getenv("NO_COLOR") != ""
	return newProgress(out, o, term)
}

func newProgress(out io.Writer, o Options, term terminal) *Progress {
	p := &Progress{stream: &stream{out: out, term: term, quiet: o.Quiet, interval: o.Interval,
		events: o.Events, color: term != nil && !o.NoColor}}
	if o.Plain || o.Quiet {
		p.term = nil
	}
	if p.term == nil {
		p.folds = o.Folds
	}
	if p.interval <= 0 {
		p.interval = defaultInterval
	}
	return p
}

// Live reports whether phases have live lines: the output is a terminal and neither Quiet nor Plain
// was asked for.
func (p *Progress) Live() bool { return p.term != nil }

// Phase begins a phase. Several may run at the same time; each has its own line. It ends with Done.
func (p *Progress) Phase(name string) *Phase {
	ph := &Phase{p: p, name: printable(name), began: time.Now()}
	ph.reported = ph.began
	if p.events != nil {
		p.watch(ph)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.quiet {
		return ph
	}
	p.begin(ph)
	return ph
}

// begin shows a phase from now on. The caller holds mu.
func (p *Progress) begin(ph *Phase) {
	switch {
	case p.task == nil:
		p.running = append(p.running, ph)
	case p.term != nil:
		p.task.inner = append(p.task.inner, ph)
	default:
		ph.name = p.task.name + ": " + ph.name
		p.running = append(p.running, ph)
	}
	if p.stop == nil {
		p.stop, p.stopped = make(chan struct{}), make(chan struct{})
		go p.tick(p.stop, p.stopped)
	}
	p.draw(nil)
}

// Writer returns a writer for log lines and other text. Whole lines are passed on at once, above
// the live lines; an unfinished line waits for its end, or for Close. Text is passed on as it is,
// escape sequences included. Each writer keeps its own unfinished line: use one for each source of
// text.
//
// Writing never fails for want of a terminal: a failure to write is reported by Close, and by the
// Write that met it.
func (p *Progress) Writer() io.Writer {
	w := &writer{p: p}
	if p.task != nil {
		w.prefix = []byte(p.task.name + ": ")
	}
	return w
}

// LogWriter is Writer for the log of the phase that runs. Where the output is shown by a service
// that folds, its text is, under the name of that phase; other text is never within a fold.
func (p *Progress) LogWriter() io.Writer {
	w, ok := p.Writer().(*writer)
	if ok && p.folds != nil && p.task == nil { // the texts of tasks are mixed
		w.folded = true
	}
	return w
}

// say shows text, whole lines, within a fold or not. The caller holds mu.
func (p *Progress) say(text []byte, folded bool) { p.draw(append(p.mark(folded), text...)) }

// mark is what has to stand before text that is folded or is not. The caller holds mu.
func (p *Progress) mark(folded bool) (out []byte) {
	if p.folds == nil {
		return nil
	}
	var want *Phase
	if folded && len(p.running) > 0 {
		want = p.running[0]
	}
	if want == p.fold {
		return nil
	}
	if p.fold != nil {
		out = append(out, p.folds.End(p.folded)...)
	}
	if p.fold = want; want != nil {
		p.folded++
		out = append(out, p.folds.Begin(p.folded, want.name)...)
	}
	return out
}

// Pause takes the live lines off the screen, for somebody else to use the terminal, until resume is
// called. Phases go on meanwhile; those that end leave their lines.
func (p *Progress) Pause() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused++
	p.draw(nil)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.paused--
		p.draw(nil)
	})
}

// Close ends the display: phases still running are shown as stopped, unfinished lines of writers
// are completed, live lines removed. It returns the first error that was met when writing. Later
// calls do nothing; writers stay usable.
func (p *Progress) Close() error {
	p.mu.Lock()
	if p.closed {
		defer p.mu.Unlock()
		return p.err
	}
	p.closed = true
	if p.stopEvents != nil {
		close(p.stopEvents)
	}
	p.watched = nil
	var text []byte
	for _, w := range p.writers {
		if len(w.partial) > 0 {
			text = append(append(text, w.prefixed(w.partial)...), '\n')
			w.partial = nil
		}
	}
	now := time.Now()
	for _, ph := range p.running {
		text = append(text, p.finishedLine(ph, outcomeStopped, now)...)
	}
	p.running = nil
	p.say(text, false)
	stop, stopped, err := p.stop, p.stopped, p.err
	p.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
	}
	return err
}

// tick keeps the display up to date until stop is closed.
func (p *Progress) tick(stop <-chan struct{}, stopped chan<- struct{}) {
	defer close(stopped)
	every := redraw
	if p.term == nil {
		every = min(p.interval, time.Second)
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-t.C:
			p.mu.Lock()
			p.update(now)
			p.mu.Unlock()
		}
	}
}

// update redraws the live lines, or prints the periodic plain ones. The caller holds mu.
func (p *Progress) update(now time.Time) {
	if p.term != nil {
		p.draw(nil)
		return
	}
	var text []byte
	for _, ph := range p.running {
		ph.speed.sample(now, ph.done.Load())
		if now.Sub(ph.reported) >= p.interval {
			ph.reported = now
			text = append(text, cut(p.runningLine(ph, now), plainWidth)...)
			text = append(text, " …\n"...) // not its end
		}
	}
	if len(text) > 0 {
		p.write(text)
	}
}

// draw prints text, whole lines, above the live lines and brings those up to date, in a single
// write: nothing of another process can come between. The caller holds mu.
func (p *Progress) draw(text []byte) {
	if p.term == nil {
		if len(text) > 0 {
			p.write(text)
		}
		return
	}
	width, height := p.term.size()
	var lines []string
	if !p.term.foreground() {
		p.drawn = nil // what is there now is the shell's
	} else if p.paused == 0 && !p.closed {
		lines = p.liveLines(width, height, time.Now())
	}
	if len(text) == 0 && slices.Equal(lines, p.drawn) {
		return
	}
	var b bytes.Buffer
	b.WriteString(erase(p.drawn, width))
	b.Write(text)
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l)
	}
	p.drawn = lines
	if b.Len() > 0 {
		p.write(b.Bytes())
	}
}

// write sends bytes out. Progress that cannot be shown must not end the work: the error is kept for
// Close. The caller holds mu.
func (p *Progress) write(b []byte) {
	if _, err := p.out.Write(b); err != nil && p.err == nil {
		p.err = err
	}
}

// writer is one source of text that shares the stream.
type writer struct {
	p       *Progress
	prefix  []byte // of each line
	folded  bool
	partial []byte
}

// Write passes on whole lines and keeps the rest.
func (w *writer) Write(b []byte) (int, error) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	defer w.note()
	end := bytes.LastIndexByte(b, '\n') + 1
	if p.closed {
		end = len(b)
	}
	if end == 0 && len(w.partial)+len(b) <= maxPartial {
		w.partial = append(w.partial, b...)
		return len(b), nil
	}
	var text []byte
	if end == 0 {
		// Too long to wait for its end: it is broken here.
		text = append(append(w.partial, b...), '\n')
		w.partial = nil
	} else {
		text = append(w.partial, b[:end]...)
		w.partial = append([]byte(nil), b[end:]...)
	}
	before := p.err
	p.say(w.prefixed(text), w.folded)
	if before == nil && p.err != nil {
		return 0, p.err
	}
	return len(b), nil
}

// note has Close know of the writer while it has an unfinished line, and no longer.
func (w *writer) note() {
	at := slices.Index(w.p.writers, w)
	switch unfinished := len(w.partial) > 0; {
	case unfinished && at < 0:
		w.p.writers = append(w.p.writers, w)
	case !unfinished && at >= 0:
		w.p.writers = slices.Delete(w.p.writers, at, at+1)
	}
}

// prefixed is text, whole lines, with the prefix before each.
func (w *writer) prefixed(text []byte) []byte {
	if len(w.prefix) == 0 {
		return text
	}
	var out []byte
	for line := range bytes.Lines(text) {
		out = append(append(out, w.prefix...), line...)
	}
	return out
}
