package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// sleeper is a source whose build goes on until it is stopped.
func (w *world) sleeper(t *testing.T) string {
	t.Helper()
	return w.writeSource(t,
		fakedebian.Source{Name: "sleeper", Version: "1.0",
			Rules: badRules("\t@echo asleep; sleep 600\n")})
}

// moment is when something can be seen of a run from outside. A time after its start would mean
// another moment on each machine.
type moment struct {
	name string
	come func() bool
}

// atStart comes at once.
var atStart = moment{"its start", func() bool { return true }}

// until waits for a moment.
func (m moment) until(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(tooLong); !m.come(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to %s", m.name)
		}
	}
}

// creating are the moments of the next create of a base, in their order. What earlier ones have
// left does not count.
func (w *world) creating(t *testing.T, base string) []moment {
	t.Helper()
	drafts := func() []string {
		found, err := filepath.Glob(filepath.Join(w.state, "bases", base, "draft-*"))
		check(t, err)
		return found
	}
	old := drafts()
	has := func(file, text string) func() bool {
		return func() bool {
			return slices.ContainsFunc(drafts(), func(dir string) bool {
				if slices.Contains(old, dir) {
					return false
				}
				data, err := os.ReadFile(filepath.Join(dir, file))
				return err == nil && strings.Contains(string(data), text)
			})
		}
	}
	return []moment{{"its draft", has("lock", "")}, {"unpacking", has("tree/usr/bin/dpkg", "")},
		{"configuring", has("tree/var/log/dpkg.log", " configure ")}}
}

// sleeping are the moments of the next build of the sleeper, in their order.
func (w *world) sleeping(t *testing.T) []moment {
	t.Helper()
	file := filepath.Join(w.dir, "sleeper_1.0_amd64.build")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	has := func(text string) func() bool {
		return func() bool {
			data, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(data), text)
		}
	}
	return []moment{{"its log", has("")}, {"the package's own commands", has("\nasleep\n")}}
}

// at runs nsbuild and sends it a signal at a moment, or some time later. It returns how long the
// end took, and how it was: a run that ends before gets no signal.
func (w *world) at(t *testing.T, m moment, later time.Duration, signal syscall.Signal,
	args ...string) (time.Duration, outcome) {
	t.Helper()
	c, ended := w.command(t, args...)
	check(t, c.Start())
	timer := time.AfterFunc(tooLong, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	end := make(chan error, 1)
	go func() { end <- c.Wait() }()
	for wait, come := time.Duration(0), false; ; wait = 2 * time.Millisecond {
		if !come && m.come() {
			wait, come = later, true
		}
		select {
		case err := <-end:
			return 0, ended(err)
		case <-time.After(wait):
		}
		if come {
			break
		}
	}
	if err := c.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	begin := time.Now()
	err := <-end
	return time.Since(begin), ended(err)
}

// stopTime is how long an end that was asked for may take: a second, with as much again for a
// machine that is busy with other tests; or as long as what is to be ended has taken so far, since
// its files are deleted.
const stopTime = 2 * time.Second

// noScratch checks that no directory of a run is left, and no draft of a base or layer.
func (w *world) noScratch(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"run/*", "bases/*/draft-*"} {
		found, err := filepath.Glob(filepath.Join(w.state, pattern))
		check(t, err)
		for _, name := range found {
			t.Errorf("left: %s", name)
		}
	}
	found, err := filepath.Glob(filepath.Join(w.cache, "layers", "draft-*"))
	check(t, err)
	for _, name := range found {
		t.Errorf("left: %s", name)
	}
}

// TestInterrupt presses Ctrl-C during create and during build.
func TestInterrupt(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.sleeper(t)
	create := []string{"create", "--name", "interrupted", "bookworm"}
	interrupt := func(m moment, args ...string) {
		t.Run(args[0]+", "+m.name, func(t *testing.T) {
			begin := time.Now()
			took, o := w.at(t, m, 0, syscall.SIGINT, args...)
			if ran := time.Since(begin) - took; took > max(stopTime, ran) {
				t.Errorf("it ended after %s, having run for %s", took, ran)
			}
			if o.status != 130 || !strings.Contains(o.stderr, "nsbuild: stopped by SIGINT") {
				t.Error(o)
			}
			w.noScratch(t)
			if _, err := os.Stat(filepath.Join(w.state, "bases", "interrupted")); err == nil {
				t.Error("a base is left that was not finished")
			}
			t.Logf("ended after %s", took)
		})
	}
	for i := range w.creating(t, "interrupted") {
		interrupt(w.creating(t, "interrupted")[i], create...)
	}
	moments := w.sleeping(t)
	interrupt(moments[len(moments)-1], "build", "-d", "bookworm", dsc)
	if log := read(t, filepath.Join(w.dir, "sleeper_1.0_amd64.build")); !strings.Contains(log,
		"Fail-Stage: abort") {
		t.Errorf("the log does not say that it was stopped")
	}
}

// TestKill kills nsbuild at moments of chance. The jail ends with it, and the next run finds
// nothing in its way.
func TestKill(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.sleeper(t)
	lock := filepath.Join(w.dir, "killed.lock")
	kill := func(moments func(*testing.T) []moment, args ...string) {
		for range 10 {
			all := append(moments(t), atStart)
			m, later := all[rand.IntN(len(all))], rand.N(time.Second)
			t.Logf("%s killed %s after %s", args[0], later, m.name)
			_, o := w.at(t, m, later, syscall.SIGKILL, args...)
			if o.status == 128+int(syscall.SIGKILL) {
				return
			}
			if o.status != 0 {
				t.Fatalf("it was not killed: %s", o)
			}
			t.Log("which was too late") // for a create: the build does not end
			w.must(t, "remove", "killed")
			check(t, os.Remove(lock))
		}
		t.Errorf("%s could not be killed", args[0])
	}
	for range 3 {
		kill(func(t *testing.T) []moment { return w.creating(t, "killed") }, "create", "--name",
			"killed", "--lock", lock, "bookworm")
		kill(w.sleeping, "build", "-d", "bookworm", dsc)
	}
	// Nobody is left who would hold a lock: the next run works, and sweeps.
	w.must(t, "create", "--name", "killed", "--lock", lock, "bookworm")
	if left, err := filepath.Glob(filepath.Join(w.dir, ".killed.lock*")); err != nil ||
		len(left) > 0 {
		t.Errorf("beside the lock: %q, %v", left, err)
	}
	small := w.writeSource(t, fakedebian.Source{Name: "small", Version: "1.0"})
	w.must(t, "build", "--base", "killed", "-d", "bookworm", small)
	w.noScratch(t)
	w.must(t, "remove", "killed")
	if _, err := os.Stat(filepath.Join(w.state, "bases", "killed")); err == nil {
		t.Error("remove has left something of the base")
	}
}

// TestTwoCreate makes one base twice at once: one of them waits and says so.
func TestTwoCreate(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	began := w.creating(t, "twice")[0]
	first, firstEnded := w.command(t, "create", "--name", "twice", "bookworm")
	second, secondEnded := w.command(t, "create", "--name", "twice", "bookworm")
	said, err := os.Create(filepath.Join(w.dir, "said"))
	check(t, err)
	defer said.Close()
	second.Stderr = said
	check(t, first.Start())
	// The first does not go on before the second has come, however fast it is.
	began.until(t)
	check(t, first.Process.Signal(syscall.SIGSTOP))
	check(t, second.Start())
	// they may have ended
	timer := time.AfterFunc(tooLong, func() { _, _ = first.Process.Kill(), second.Process.Kill() })
	defer timer.Stop()
	moment{"waiting", func() bool {
		return strings.Contains(read(t, said.Name()),
			"another nsbuild is making base twice; waiting for it")
	}}.until(t)
	check(t, first.Process.Signal(syscall.SIGCONT))
	a, b := firstEnded(first.Wait()), secondEnded(second.Wait())
	if a.status != 0 || b.status != 0 {
		t.Errorf("%s\n%s\n%s", a, b, read(t, said.Name()))
	}
	w.must(t, "remove", "twice")
	w.noScratch(t)
}
