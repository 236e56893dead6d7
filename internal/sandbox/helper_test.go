package sandbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/sandbox/wire"
)

// stopHelper is a shell command that sends the jail's helper a signal.
func stopHelper(signal string) string {
	return `for p in /proc/[0-9]*; do read -r name <$p/comm; [ "$name" != nsbuild-helper ] || kill -` + signal + ` ${p#/proc/}; done`
}

// inTime runs what must not hang.
func inTime(t *testing.T, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(wire.HelperPatience / 2):
		t.Fatal("it hangs")
	}
}

// TestHelperStopped stops the helper from inside the jail, again and again. Commands start all the
// same, and the jail can be closed.
func TestHelperStopped(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	inTime(t, func() {
		for range 20 {
			if out, st := sh(t, j, stopHelper("STOP")+"; echo stopped"); out != "stopped\n" ||
				!st.Success() {
				t.Errorf("%q %v", out, st)
			}
		}
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestHelperKilled kills the helper from inside: the next command is refused with the reason, and
// the jail can be closed.
func TestHelperKilled(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	// The command may end the helper before that has answered.
	if p, err := j.Start(Command{Argv: []string{"/bin/sh", "-c", stopHelper("KILL")}}); err == nil {
		if _, err := p.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	inTime(t, func() {
		for range 2 {
			_, err := j.Start(Command{Argv: []string{"/bin/true"}})
			if err == nil ||
				!strings.Contains(err.Error(), "the jail's helper has ended: killed by signal 9") {
				t.Errorf("after the helper's death: %v", err)
			}
		}
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}
