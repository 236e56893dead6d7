package batch

import "time"

// GivenBackTries is how often something is tried which its surroundings keep from being built.
const GivenBackTries = 3

// pause is how long the surroundings have to become better, after so many tries.
func pause(tries int) time.Duration { return 30 * time.Second << (2 * (tries - 1)) }

// ended decides what follows from how a try has ended. A failure of the surroundings (a mirror, the
// disk) that may be over is tried again, later. A build that failed while others ran may have
// lacked what they took: it is built once more, alone, before the failure counts.
func (it *Item) ended(at time.Time, e *Ended) {
	it.Last, it.Phase, it.Published = e, Finished, false
	switch {
	case e.Status == GivenBack && e.Transient:
		if it.givenBack++; it.givenBack < GivenBackTries {
			it.Phase, it.notBefore = Waiting, at.Add(pause(it.givenBack))
			if it.suspected {
				it.Phase = Suspect
			}
		}
		return
	case !e.Well() && e.Status != GivenBack && e.Beside && !it.suspected:
		it.Phase = Suspect
	}
	it.givenBack, it.notBefore = 0, time.Time{}
}

// interrupt has all tries under way be none.
func (b *Batch) interrupt() {
	for i := range b.Items {
		if it := &b.Items[i]; it.Phase == Running {
			it.interrupted()
		}
	}
}

// interrupted has a try be none.
func (it *Item) interrupted() {
	it.Tries--
	it.Phase = Waiting
	if it.suspected {
		it.Phase = Suspect
	}
}

// trustClock has nothing wait longer than it has to, by the clock of whoever goes on: the one of
// the machine that wrote the journal may have been another time's.
func (b *Batch) trustClock(now time.Time) {
	for i := range b.Items {
		it := &b.Items[i]
		if latest := now.Add(pause(max(1, it.givenBack))); it.notBefore.After(latest) {
			it.notBefore = latest
		}
	}
}
