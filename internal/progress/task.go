package progress

import "time"

// Task begins one of several pieces of work that are done side by side, each of which has phases of
// its own. On a terminal it has one live line, which tells of its phase, and leaves one line
// behind; where there is no terminal, its phases have lines that begin with its name. Other text
// that goes through the view's writers begins with the name, too.
//
// The returned Progress is the task's view of the stream; it ends with done, and is not to be
// closed. note is what the last line says.
func (p *Progress) Task(name string) (view *Progress, done func(note string, err error)) {
	t := &Phase{p: p, name: printable(name), began: time.Now()}
	view = &Progress{stream: p.stream, task: t}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.quiet {
		return view, func(string, error) {}
	}
	if p.term != nil {
		p.begin(t)
	}
	return view, func(note string, err error) {
		t.Note(note)
		if p.term != nil {
			t.Done(err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed {
			p.say([]byte(p.finishedLine(t, outcomeOf(err), time.Now())), false)
		}
	}
}
