package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
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
	return w.writeSource(t, fakedebian.Source{Name: "sleeper", Version: "1.0", Rules: badRules("\tsleep 600\n")})
}

// after runs nsbuild and sends it a signal after a while. It returns how long the end took, and how it was.
func (w *world) after(t *testing.T, wait time.Duration, signal syscall.Signal, args ...string) (time.Duration, outcome) {
	t.Helper()
	c, ended := w.command(t, args...)
	check(t, c.Start())
	timer := time.AfterFunc(tooLong, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	time.Sleep(wait)
	check(t, c.Process.Signal(signal))
	begin := time.Now()
	err := c.Wait()
	return time.Since(begin), ended(err)
}

// stopTime is how long an end that was asked for may take: a second, with as much again for a machine that is busy with other tests.
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
	for _, c := range []struct {
		name string
		wait time.Duration
		args []string
	}{
		{"create, at once", 150 * time.Millisecond, []string{"create", "--name", "interrupted", "bookworm"}},
		{"create, unpacking", 1500 * time.Millisecond, []string{"create", "--name", "interrupted", "bookworm"}},
		{"create, configuring", 4 * time.Second, []string{"create", "--name", "interrupted", "bookworm"}},
		{"build", 4 * time.Second, []string{"build", "-d", "bookworm", dsc}},
	} {
		t.Run(c.name, func(t *testing.T) {
			took, o := w.after(t, c.wait, syscall.SIGINT, c.args...)
			if took > stopTime {
				t.Errorf("it ended after %s", took)
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
	if log := read(t, filepath.Join(w.dir, "sleeper_1.0_amd64.build")); !strings.Contains(log, "Fail-Stage: abort") {
		t.Errorf("the log does not say that it was stopped")
	}
}

// TestKill kills nsbuild at moments of chance. The jail ends with it, and the next run finds nothing in its way.
func TestKill(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.sleeper(t)
	for range 3 {
		for _, args := range [][]string{{"create", "--name", "killed", "--lock=killed.lock", "bookworm"}, {"build", "-d", "bookworm", dsc}} {
			wait := time.Duration(rand.Int64N(int64(4 * time.Second)))
			t.Logf("%s killed after %s", args[0], wait)
			if _, o := w.after(t, wait, syscall.SIGKILL, args...); o.status != 128+int(syscall.SIGKILL) {
				t.Errorf("it was not killed: %s", o)
			}
		}
	}
	// Nobody is left who would hold a lock: the next run works, and sweeps.
	w.must(t, "create", "--name", "killed", "--lock=killed.lock", "bookworm")
	if left, err := filepath.Glob(filepath.Join(w.dir, ".killed.lock*")); err != nil || len(left) > 0 {
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
	first, firstEnded := w.command(t, "create", "--name", "twice", "bookworm")
	second, secondEnded := w.command(t, "create", "--name", "twice", "bookworm")
	check(t, first.Start())
	time.Sleep(500 * time.Millisecond)
	check(t, second.Start())
	timer := time.AfterFunc(tooLong, func() { _, _ = first.Process.Kill(), second.Process.Kill() }) // they may have ended
	defer timer.Stop()
	a, b := firstEnded(first.Wait()), secondEnded(second.Wait())
	if a.status != 0 || b.status != 0 {
		t.Errorf("%s\n%s", a, b)
	}
	if !strings.Contains(b.stderr, "another nsbuild is making base twice; waiting for it") {
		t.Errorf("the second does not say that it waits: %s", b)
	}
	w.must(t, "remove", "twice")
	w.noScratch(t)
}
