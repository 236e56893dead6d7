package strays

import "testing"

func TestPolicy(t *testing.T) {
	for p, want := range map[Policy]struct{ known, shown bool }{
		Kill: {true, false}, Warn: {true, true}, Fail: {true, true}, "": {}, "Kill": {},
	} {
		if p.Known() != want.known || p.Shown() != want.shown {
			t.Errorf("%q: known %v, shown %v", p, p.Known(), p.Shown())
		}
	}
}
