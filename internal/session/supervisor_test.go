package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// beginWith begins a session in a jail as options have it.
func beginWith(ctx context.Context, o Options, name string) (string, error) {
	return Begin(ctx, Spec{Name: name, Jail: o.Jail, StateDir: o.StateDir}, o.Stderr, o.Log)
}

// runIn runs a command in a session as options have it.
func runIn(ctx context.Context, o Options, id string) (sandbox.Status, error) {
	return RunIn(ctx, o.Host, id, o.Command, o.Streams)
}

// begun begins a session over the small tree.
func begun(t *testing.T, name string) (Options, string) {
	t.Helper()
	o := tree(t)
	id, err := beginWith(t.Context(), o, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, _, err := End(context.Background(), o.StateDir, id); err != nil &&
			!errors.Is(err, ErrNone) && !errors.Is(err, errStale) {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(o.StateDir, "run", "*")); err != nil ||
			len(left) > 0 {
			t.Error("left:", left, err)
		}
	})
	return o, id
}

// in runs a shell command in a session.
func in(t *testing.T, o Options, id, script string) (string, sandbox.Status, error) {
	t.Helper()
	return outputOf(t, o, script, func(ctx context.Context, o Options) (sandbox.Status, error) {
		return runIn(ctx, o, id)
	})
}

func TestSession(t *testing.T) {
	o, id := begun(t, "work")
	if id != "work" {
		t.Errorf("it is called %q", id)
	}
	if _, err := beginWith(t.Context(), o, id); err == nil ||
		!strings.Contains(err.Error(), "there is a session work already") {
		t.Errorf("a second one of the name: %v", err)
	}
	out, st, err := in(t, o, id, "echo one >/srv/file; sleep 7001 >/dev/null 2>&1 & echo $!")
	if err != nil || !st.Success() {
		t.Fatal(out, st, err)
	}
	pid := strings.TrimSpace(out)
	o.User, o.Env = "someone", []string{"A=b"}
	if out, st, err := in(t, o, id, "cat /srv/file; id -un; echo $A; cat /proc/"+pid+
		"/comm; exit 3"); err != nil || st.Code != 3 || out != "one\nsomeone\nb\nsleep\n" {
		t.Errorf("%q %v %v", out, st, err)
	}
	o.User = ""
	all, err := List(t.Context(), o.StateDir, o.Log)
	if err != nil || len(all) != 1 || all[0].ID != id || all[0].Root != o.Root ||
		all[0].Processes != 1 || all[0].Memory == 0 || all[0].Disk == 0 {
		t.Errorf("%+v %v", all, err)
	}
	if out, st, err := in(t, o, id, "kill "+pid); err != nil || !st.Success() {
		t.Error(out, st, err)
	}
	testenv.Eventually(t, "the killed process is dead", func() bool {
		i, err := Find(t.Context(), o.StateDir, id)
		return err == nil && i.Processes == 0
	})
	out, st, err = in(t, o,
		id,
		"sleep 7002 >/dev/null 2>&1 & until grep -aq '^sleep' /proc/$!/cmdline; do :; done")
	if err != nil || !st.Success() {
		t.Error(out, st, err)
	}
	strays, _, err := End(t.Context(), o.StateDir, id)
	if err != nil || len(strays) != 1 || strays[0].Command != "sleep 7002" {
		t.Errorf("%+v %v", strays, err)
	}
	if _, _, err := in(t, o, id, "true"); !errors.Is(err, ErrNone) {
		t.Errorf("an ended session says %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Root, "srv/file")); err == nil {
		t.Error("what was written is not thrown away")
	}
}

func TestManyCommands(t *testing.T) {
	o, id := begun(t, "")
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			if out, st, err := in(t, o, id, fmt.Sprintf("echo %d; exit %d", n, n%50)); err != nil ||
				out != fmt.Sprintln(n) || st.Code != n%50 {
				t.Errorf("%d: %q %v %v", n, out, st, err)
			}
		})
	}
	all.Wait()
}

// TestSupervisorKilled kills the supervisor: everything dies with it, a command hears of it, and
// what is left is recognised.
func TestSupervisorKilled(t *testing.T) {
	o, id := begun(t, "")
	info, err := Find(t.Context(), o.StateDir, id)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := in(t, o, id, "echo >/srv/up; exec sleep 7003")
		ended <- err
	}()
	testenv.Eventually(t, "the command runs", func() bool {
		_, st, err := in(t, o, id, "test -e /srv/up")
		return err == nil && st.Success()
	})
	if err := syscall.Kill(info.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "has ended meanwhile") {
		t.Errorf("the command says %v", err)
	}
	testenv.Eventually(t, "PID 1 is dead", func() bool {
		if errors.Is(syscall.Kill(info.Init, 0), syscall.ESRCH) {
			return true
		}
		// HostState makes us the parent of orphans.
		pid, err := syscall.Wait4(info.Init, nil, syscall.WNOHANG, nil)
		return err == nil && pid == info.Init
	})
	if _, _, err := in(t, o, id, "true"); err == nil ||
		!strings.Contains(err.Error(), "its supervisor is dead") {
		t.Errorf("a stale session says %v", err)
	}
	if all, err := List(t.Context(), o.StateDir, o.Log); err != nil || len(all) > 0 {
		t.Errorf("%+v %v", all, err)
	}
}

// TestSessionOutlives ends by SIGTERM, not by SIGHUP, and when PID 1 dies.
func TestSessionOutlives(t *testing.T) {
	for name, end := range map[string]func(Info) error{
		"asked by a signal": func(i Info) error { return syscall.Kill(i.PID, syscall.SIGTERM) },
		"PID 1 dies":        func(i Info) error { return syscall.Kill(i.Init, syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			o, id := begun(t, "")
			info, err := Find(t.Context(), o.StateDir, id)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(info.PID, syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			if out, st, err := in(t, o, id, "echo here"); err != nil || !st.Success() ||
				out != "here\n" {
				t.Errorf("%q %v %v", out, st, err)
			}
			if err := end(info); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, "the session is gone", func() bool {
				_, err := os.Stat(directory(o.StateDir, id))
				return errors.Is(err, os.ErrNotExist)
			})
		})
	}
}

// TestEnding asks a session that is ending: it refuses, and says why.
func TestEnding(t *testing.T) {
	s := &supervisor{info: Info{ID: "work"}, ending: true}
	for what, ask := range map[string]func() error{
		"join": func() error { _, _, err := s.join(); return err },
		"end":  func() error { _, _, err := s.end(); return err },
	} {
		if err := ask(); !errors.Is(err, errEnding) || err.Error() != "session work: it is ending" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if info, err := s.usage(); err != nil || !info.Ending {
		t.Errorf("usage: %+v %v", info, err)
	}
}

func TestNames(t *testing.T) {
	for id, good := range map[string]bool{"a": true, "A9._+-": true, "": false, "-a": false,
		".a": false, "a/b": false, "ä": false, strings.Repeat("x", 101): false} {
		if err := checkID(id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, of := range []string{"bookworm", "/srv/a b", "..", strings.Repeat("/ä", 200)} {
		if id := newID(of); checkID(id) != nil {
			t.Errorf("of %q comes %q", of, id)
		}
	}
}

func TestNoSession(t *testing.T) {
	o, id := begun(t, "there")
	for _, c := range []struct{ id, want string }{{"other", "session other: no such session"},
		{"a/b", "cannot be the name"}, {"", "cannot be the name"}} {
		if _, err := runIn(t.Context(), o, c.id); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.id, err)
		}
	}
	bad := o
	bad.Root = filepath.Join(o.Root, "nowhere")
	if _, err := beginWith(t.Context(), bad, "bad"); err == nil ||
		!strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	if all, err := List(t.Context(), o.StateDir, o.Log); err != nil || len(all) != 1 ||
		all[0].ID != id {
		t.Errorf("%+v %v", all, err)
	}
}

// TestSessionTerminal sits at a terminal in a session.
func TestSessionTerminal(t *testing.T) {
	o, id := begun(t, "")
	keyboard, terminal := testenv.Terminal(t)
	o.Stdin, o.Stdout, o.Stderr = terminal, terminal, terminal
	o.Argv = []string{"/bin/sh", "-c", converse}
	shown := sitAt(t, keyboard, conversation...)
	status, err := runIn(t.Context(), o, id)
	if err != nil || status.ExitCode() != 130 {
		t.Errorf("%v %v", status, err)
	}
	if text := <-shown; !strings.HasPrefix(text, "/dev/pts/0\r\n41 111\r\n") {
		t.Errorf("%q", text)
	}
}
