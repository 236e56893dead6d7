package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// soon is how long an end may take that was asked for: two seconds, and six for a busy machine.
// What is waited for without having been asked has ten and more.
const soon = 8 * time.Second

// bounded fails when work takes longer.
func bounded(t *testing.T, what string, limit time.Duration, work func()) {
	t.Helper()
	begin := time.Now()
	work()
	if took := time.Since(begin); took > limit {
		t.Errorf("%s took %v", what, took)
	}
}

// stopHelpers has jail root stop every process of the jail, the helper among them, once the command
// that began this has ended. PID 1 lets the helper go on, so that it was stopped cannot be seen of
// it: jail root tells of it in a file.
func stopHelpers(t *testing.T, o Options, id string) {
	t.Helper()
	all, err := List(t.Context(), o.StateDir, o.Log)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(s Info) bool { return s.ID == id })
	const script = "{ while kill -0 $$; do :; done; kill -STOP -1; touch /tmp/stopped; } " +
		">/dev/null 2>&1 &"
	if out, st, err := in(t, o, id, script); err != nil || !st.Success() {
		t.Fatal(out, st, err)
	}
	testenv.Eventually(t, "all was stopped", func() bool {
		_, err := os.Stat(filepath.Join(all[at].Path, "tmp/stopped"))
		return err == nil
	})
}

// TestStoppedHelper has a session whose helper jail root has stopped: its commands can be
// interrupted and have an end, it is listed, others too, and it can be ended.
func TestStoppedHelper(t *testing.T) {
	o, id := begun(t, "stopped")
	if _, err := beginWith(t.Context(), o, "other"); err != nil {
		t.Fatal(err)
	}
	stopHelpers(t, o, id)

	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	signals := make(chan os.Signal, 1)
	for name, want := range map[string]struct {
		change func(*Options)
		signal os.Signal
	}{
		"INT":     {signal: syscall.SIGINT},
		"TERM":    {signal: syscall.SIGTERM},
		"timeout": {change: func(o *Options) { o.Timeout = 300 * time.Millisecond }},
	} {
		p := o
		p.Stdin, p.Stdout, p.Stderr = null, null, null
		p.Signals, p.KillAfter = signals, KillAfter
		if want.change != nil {
			want.change(&p)
		}
		if want.signal != nil {
			time.AfterFunc(300*time.Millisecond, func() { signals <- want.signal })
		}
		bounded(t, name, soon, func() {
			p.Argv = []string{"/bin/sleep", "60"} // the streams may stay on their way to the helper
			st, err := runIn(t.Context(), p, id)
			var s fault.Stopped
			switch {
			case want.signal == nil && st.Code == TimeoutStatus && err == nil:
			case want.signal != nil && errors.As(err, &s) && s.Signal == want.signal:
			case want.signal != nil && st.Signal == want.signal && err == nil:
				// PID 1 has set its helper going again
			case err != nil && st == (sandbox.Status{}) && !errors.As(err, &s):
				t.Logf("%s: it did not wait: %v", name, err) // PID 1 has given its helper up
			default:
				t.Errorf("%s: %v %v", name, st, err)
			}
		})
	}
	bounded(t, "the list", soon, func() {
		all, err := List(t.Context(), o.StateDir, o.Log)
		if err != nil || len(all) != 2 {
			t.Errorf("%+v %v", all, err)
		}
		for _, i := range all {
			if i.ID == "other" && i.Silent {
				t.Error("the other session is silent, too")
			}
		}
	})
	for _, name := range []string{id, "other"} {
		bounded(t, "the end of "+name, soon, func() {
			if _, _, err := End(t.Context(), o.StateDir, name); err != nil {
				t.Errorf("the end of %s: %v", name, err)
			}
		})
	}
}

// TestStubborn has commands that do not end when they are asked to: they ignore it, or were
// stopped.
func TestStubborn(t *testing.T) {
	o, id := begun(t, "stubborn")
	signals := make(chan os.Signal, 1)
	o.Signals, o.KillAfter = signals, 200*time.Millisecond
	in := func(ctx context.Context, o Options) (sandbox.Status, error) { return runIn(ctx, o, id) }
	for where, run := range map[string]func(context.Context, Options) (sandbox.Status, error){
		"run": Run, "session": in} {
		for how, script := range map[string]string{
			"ignores":            "trap '' INT TERM HUP QUIT; sleep 60 & wait; sleep 60",
			"is stopped":         "kill -STOP $$; sleep 60",
			"stops all":          "kill -STOP 0; sleep 60",
			"stops its children": "trap '' INT TERM; sleep 60 & kill -STOP $!; wait",
		} {
			for what, signal := range map[string]os.Signal{"INT": syscall.SIGINT,
				"TERM": syscall.SIGTERM, "timeout": nil} {
				t.Run(where+", "+how+", "+what, func(t *testing.T) {
					p := o
					r, w := pair(t, "FIFO")
					defer r.Close()
					p.Stdout, p.Argv = w, []string{"/bin/sh", "-c", "echo begun; " + script}
					if signal == nil {
						p.Timeout = 300 * time.Millisecond
					}
					bounded(t, what, soon, func() {
						begun := make(chan struct{})
						go func() {
							defer close(begun)
							if _, err := r.Read(make([]byte, len("begun\n"))); err == nil &&
								signal != nil {
								signals <- signal
							}
						}()
						st, err := run(t.Context(), p)
						w.Close()
						<-begun
						if err != nil || signal == nil && st.Code != TimeoutStatus ||
							signal != nil && st.Signal == 0 {
							t.Error(st, err)
						}
					})
				})
			}
		}
	}
}
