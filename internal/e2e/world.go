package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// World is the directories and the environment that nsbuild works with in a test.
type World struct {
	State, Cache string
	Dir          string   // where it is called
	Env          []string // what it gets besides
	Mirror       string   // of ExcerptWorld, for other bases: a line of a sources.list
}

// NewWorld is one of the test's own.
func NewWorld(t *testing.T) *World {
	t.Helper()
	Program(t)
	top, err := os.MkdirTemp(current.dir, "world-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := discard(top); err != nil {
			t.Error(err)
		}
	})
	w := &World{State: filepath.Join(top, "state"), Cache: filepath.Join(top, "cache"),
		Dir: filepath.Join(top, "work")}
	if err := os.Mkdir(w.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// Environment is the environment of a run of nsbuild.
func (w *World) Environment() []string {
	env := append(os.Environ(), "NSBUILD_STATE="+w.State, "NSBUILD_CACHE="+w.Cache,
		"NSBUILD_CONFIG=")
	return append(env, w.Env...)
}

// RealWorld is a world with a base of bookworm from the mirror, which the tests of a package share.
func RealWorld(t *testing.T) *World {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	Program(t)
	w := &World{State: filepath.Join(current.dir, "state"), Cache: SharedCache(), Dir: t.TempDir()}
	current.real.Do(func() { linkWorld(t, current.shared.real(t), w) })
	return w
}

// ExcerptWorld is RealWorld with a base whose archive has no more than what tests install. What is
// tested with it is what nsbuild and the suite's programs do with packages, not how many there are.
func ExcerptWorld(t *testing.T) *World {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	Program(t)
	top := filepath.Join(current.dir, "excerpt")
	w := &World{State: filepath.Join(top, "state"), Cache: filepath.Join(top, "cache"),
		Dir: t.TempDir()}
	current.excerpt.Do(func() {
		Check(t, os.Mkdir(top, 0o700))
		var made *World
		made, current.served = current.shared.excerpt(t)
		linkWorld(t, made, w)
	})
	if current.served == nil {
		t.Fatal("another test could not make the base")
	}
	w.Mirror = current.served.line()
	return w
}

// SharedCache is the cache of RealWorld, for tests that make other bases of the same packages.
func SharedCache() string { return filepath.Join(current.dir, "cache") }

// TooLong ends a run that hangs.
const TooLong = 4 * time.Minute

// Command is a run of nsbuild that has not begun.
func (w *World) Command(t *testing.T, args ...string) (*exec.Cmd, func(error) Outcome) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "nsbuild", args...)
	c.WaitDelay = 5 * time.Second
	c.Dir, c.Env = w.Dir, w.Environment()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	return c, func(err error) Outcome {
		t.Helper()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("nsbuild %s: %v", strings.Join(args, " "), err)
		}
		o := Outcome{Status: c.ProcessState.ExitCode(), Stdout: stdout.String(),
			Stderr: stderr.String()}
		if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			o.Status = 128 + int(ws.Signal())
		}
		return o
	}
}

// Run runs nsbuild.
func (w *World) Run(t *testing.T, args ...string) Outcome {
	t.Helper()
	c, ended := w.Command(t, args...)
	timer := time.AfterFunc(TooLong, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	return ended(c.Run())
}

// Must runs what has to succeed.
func (w *World) Must(t *testing.T, args ...string) Outcome {
	t.Helper()
	o := w.Run(t, args...)
	if o.Status != 0 {
		t.Fatalf("nsbuild %s: %s", strings.Join(args, " "), o)
	}
	return o
}

// NothingLeft checks that a run which failed left no base, no draft, no scratch directory and no
// part of a download.
func (w *World) NothingLeft(t *testing.T) {
	t.Helper()
	for _, dir := range []string{filepath.Join(w.State, "bases"), filepath.Join(w.State, "run"),
		filepath.Join(w.Cache, "layers", "draft-*")} {
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			t.Errorf("left: %s", name)
		}
	}
}

// NoScratchOf is NoScratch after a run that was stopped. On a busy machine it may not have deleted
// everything in its time: then it says that the next command goes on, and here is the next.
func (w *World) NoScratchOf(t *testing.T, o Outcome) {
	t.Helper()
	if strings.Contains(o.Stderr, "the next nsbuild command goes on with that") {
		w.Sweep(t)
	}
	w.NoScratch(t)
}

// Sweep has nsbuild delete what runs have left that were stopped or killed: drafts of bases, too,
// after which list does not look. A command deletes for some seconds only.
func (w *World) Sweep(t *testing.T) {
	t.Helper()
	for range 20 {
		Refusal{Status: 1, Says: []string{"no such base"}, Hint: "nsbuild create"}.Check(t,
			w.Run(t, "update", "no-such-base"))
		if t.Failed() || len(w.scratch(t)) == 0 {
			return
		}
	}
}

// NoScratch checks that no directory of a run is left, and no draft of a base or layer.
func (w *World) NoScratch(t *testing.T) {
	t.Helper()
	for _, name := range w.scratch(t) {
		t.Errorf("left: %s", name)
	}
}

// scratch are the directories of runs, and the drafts.
func (w *World) scratch(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{filepath.Join(w.State, "run/*"),
		filepath.Join(w.State, "bases/*/draft-*"), filepath.Join(w.Cache, "layers/draft-*")} {
		found, err := filepath.Glob(pattern)
		Check(t, err)
		all = append(all, found...)
	}
	return all
}

// discard deletes a directory with state in it: what mapped ids own is nsbuild's to delete.
func discard(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "state", "bases")); err == nil {
		c := exec.Command("nsbuild", "remove", "--all")
		w := &World{State: filepath.Join(dir, "state"), Cache: filepath.Join(dir, "cache")}
		c.Env = w.Environment()
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("nsbuild remove --all: %w\n%s", err, out)
		}
	}
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	// Dependency layers belong to mapped ids, too.
	ctx := context.Background()
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		return err
	}
	h, err := sandbox.Start(ctx, sandbox.HolderSpec{IDs: ids})
	if err != nil {
		return err
	}
	return errors.Join(h.RemoveTree(ctx, dir), h.Close())
}
