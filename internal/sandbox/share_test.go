package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nsbuild/internal/sandbox/wire"
	"nsbuild/internal/testenv"
)

// guest joins a jail as another process would.
func guest(t *testing.T, j *Jail) *Jail {
	t.Helper()
	f, err := j.Share()
	if err != nil {
		t.Fatal(err)
	}
	g, err := Join(f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuests(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	one, other := guest(t, j), guest(t, j)
	if out, st := sh(t, one,
		"echo from one >/srv/note; sleep 6001 >/dev/null 2>&1 & echo $!"); !st.Success() {
		t.Fatal(out, st)
	} else if got, st := sh(t, other, "cat /srv/note; kill "+strings.TrimSpace(
		out)); got != "from one\n" || !st.Success() {
		t.Errorf("%q %v", got, st)
	}
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			g := guest(t, j)
			for range 3 {
				if out, st := sh(t, g,
					fmt.Sprintf("cat /srv/note; exit %d", n)); out != "from one\n" ||
					st.Code != n {
					t.Errorf("%d: %q %v", n, out, st)
				}
			}
			if err := g.Leave(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, _, err := one.h.call(&wire.Message{Op: wire.OpStop, Jail: one.id}); err == nil {
		t.Error("a guest could stop the jail")
	}
	if _, err := j.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Start(Command{Argv: []string{"true"}}); !errors.Is(err, syscall.ESHUTDOWN) {
		t.Errorf("a stopped jail says %v", err)
	}
	if err := errors.Join(one.Leave(), other.Leave()); err != nil {
		t.Error(err)
	}
}

// leaveWhile has a guest leave while its command runs, which makes /srv/ready once it does.
func leaveWhile(t *testing.T, j *Jail, c Command) {
	t.Helper()
	g := guest(t, j)
	if _, err := g.Start(c); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the command runs", func() bool {
		f, err := j.Open("/srv/ready")
		if err == nil {
			f.Close()
		}
		return err == nil
	})
	if err := g.Leave(); err != nil {
		t.Fatal(err)
	}
}

// TestGuestGone leaves while a command runs: it dies with its children, and a daemon that it
// started lives.
func TestGuestGone(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	// In the middle of its execve(2) a process has its new name and no command line yet.
	const script = `trap '' HUP TERM; sleep 6002 & setsid sleep 6003 &
		until grep -aq '^sleep' /proc/$!/cmdline; do :; done; : >/srv/ready; wait`
	leaveWhile(t, j, Command{Argv: []string{"/bin/sh", "-c", script}})
	testenv.Eventually(t, "the command is dead", func() bool {
		u, err := h.Usage()
		if err != nil {
			t.Fatal(err)
		}
		return u.Processes == 1
	})
	strays, err := j.Stop()
	if err != nil || len(strays) != 1 || strays[0].Command != "sleep 6003" {
		t.Errorf("%+v %v", strays, err)
	}
}

// TestFirstGone is TestGuestGone for a command that is PID 1 of its own namespace, which outlives
// its parent if nothing is done.
func TestFirstGone(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	leaveWhile(t, j, Command{PID1: true, Argv: []string{"/bin/sh", "-c",
		"setsid sleep 6005 & sleep 6006 & : >/srv/ready; wait"}})
	testenv.Eventually(t, "all are dead", func() bool {
		u, err := h.Usage()
		return err == nil && u.Processes == 0
	})
}

func TestUsage(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	p, err := j.Start(Command{Argv: []string{"/bin/sleep", "6004"}})
	if err != nil {
		t.Fatal(err)
	}
	if out, st := sh(t, j, "head -c 5000000 /dev/zero >/srv/zeros"); !st.Success() {
		t.Fatal(out, st)
	}
	u, err := h.Usage()
	if err != nil || u.Processes != 1 || u.Memory < 4096 || u.Memory > 50<<20 || u.Disk < 5000000 ||
		u.Disk > 20<<20 {
		t.Errorf("%+v %v", u, err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(context.Background()); err != nil || st.Signal != syscall.SIGKILL {
		t.Error(st, err)
	}
}
