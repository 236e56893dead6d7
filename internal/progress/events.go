package progress

import (
	"slices"
	"time"
)

// Event is what happened to a phase, for programs: begun, progress (something was counted since the
// last event, at most one a second), ended.
type Event struct {
	Kind    string // "phase-begun", "progress", "phase-ended"
	Task    string // of several pieces of work, which; see Task
	Phase   string
	Outcome string // of an ended phase: "done", "failed", "stopped"
	Elapsed time.Duration
	Done    int64
	Total   int64  // 0: not known
	Unit    string // of Done and Total
	Note    string
}

// eventEvery is how often progress is told.
const eventEvery = time.Second

// tell reports an event of a phase, where somebody listens. It is called without mu.
func (p *Progress) tell(kind string, ph *Phase, outcome string) {
	e := Event{Kind: kind, Phase: ph.name, Outcome: outcome, Elapsed: ph.Elapsed(),
		Done: ph.done.Load(), Total: ph.total.Load(), Unit: "bytes"}
	if ph.p.task != nil {
		e.Task = ph.p.task.name
	}
	if unit := ph.unit.Load(); unit != nil {
		e.Unit = *unit
	}
	if note := ph.note.Load(); note != nil {
		e.Note = *note
	}
	p.events(e)
}

// watch begins to tell of a phase.
func (p *Progress) watch(ph *Phase) {
	p.tell("phase-begun", ph, "")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.watched = append(p.watched, ph)
	if p.stopEvents == nil {
		p.stopEvents = make(chan struct{})
		go p.tellProgress(p.stopEvents)
	}
}

// unwatch tells of a phase's end.
func (p *Progress) unwatch(ph *Phase, err error) {
	p.mu.Lock()
	i := slices.Index(p.watched, ph)
	if i >= 0 {
		p.watched = slices.Delete(p.watched, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		return // closed before
	}
	words := map[outcome]string{outcomeDone: "done", outcomeFailed: "failed",
		outcomeStopped: "stopped"}
	p.tell("phase-ended", ph, words[outcomeOf(err)])
}

// tellProgress tells once in a while what was counted.
func (p *Progress) tellProgress(stop <-chan struct{}) {
	told := map[*Phase]int64{}
	t := time.NewTicker(eventEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		p.mu.Lock()
		now := slices.Clone(p.watched)
		p.mu.Unlock()
		for _, ph := range now {
			if done := ph.done.Load(); done != told[ph] {
				told[ph] = done
				p.tell("progress", ph, "")
			}
		}
		for ph := range told {
			if !slices.Contains(now, ph) {
				delete(told, ph)
			}
		}
	}
}
