package main

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

	"github.com/rogpeppe/go-internal/testscript"

	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// shared is the directory of what all tests of a run use: the cache, and the bases that are
// expensive to make. Only its owner may enter it, as with a home directory.
var shared string

func TestMain(m *testing.M) {
	ownParts()
	testenv.OwnMounts()
	testscript.Main(withShared{m}, map[string]func(){"nsbuild": main, "schroot": main,
		"sbuild": main})
}

// withShared makes the shared directory before the tests and deletes it after them.
type withShared struct{ m *testing.M }

func (w withShared) Run() int {
	var err error
	if shared, err = os.MkdirTemp("", "nsb-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := w.m.Run()
	if err := discard(shared); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	return status
}

// discard deletes a directory with state in it: what mapped ids own is nsbuild's to delete.
func discard(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "state", "bases")); err == nil {
		c := exec.Command("nsbuild", "remove", "--all")
		w := &world{state: filepath.Join(dir, "state"), cache: filepath.Join(dir, "cache")}
		c.Env = w.environment()
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

// world is the directories and the environment that nsbuild works with in a test.
type world struct {
	state, cache string
	dir          string // where it is called
	env          []string
}

// newWorld is one of the test's own.
func newWorld(t *testing.T) *world {
	t.Helper()
	top, err := os.MkdirTemp(shared, "world-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := discard(top); err != nil {
			t.Error(err)
		}
	})
	w := &world{state: filepath.Join(top, "state"), cache: filepath.Join(top, "cache"),
		dir: filepath.Join(top, "work")}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) environment() []string {
	env := append(os.Environ(), "NSBUILD_STATE="+w.state, "NSBUILD_CACHE="+w.cache,
		"NSBUILD_CONFIG=")
	return append(env, w.env...)
}

// outcome is how a run of nsbuild ended.
type outcome struct {
	status         int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("status %d\nstdout: %s\nstderr: %s", o.status, o.stdout, o.stderr)
}

// tooLong ends a run that hangs.
const tooLong = 4 * time.Minute

// command is a run of nsbuild that has not begun.
func (w *world) command(t *testing.T, args ...string) (*exec.Cmd, func(error) outcome) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "nsbuild", args...)
	c.WaitDelay = 5 * time.Second
	c.Dir, c.Env = w.dir, w.environment()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	return c, func(err error) outcome {
		t.Helper()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("nsbuild %s: %v", strings.Join(args, " "), err)
		}
		o := outcome{status: c.ProcessState.ExitCode(), stdout: stdout.String(),
			stderr: stderr.String()}
		if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			o.status = 128 + int(ws.Signal())
		}
		return o
	}
}

// run runs nsbuild.
func (w *world) run(t *testing.T, args ...string) outcome {
	t.Helper()
	c, ended := w.command(t, args...)
	timer := time.AfterFunc(tooLong, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	return ended(c.Run())
}

// must runs what has to succeed.
func (w *world) must(t *testing.T, args ...string) outcome {
	t.Helper()
	o := w.run(t, args...)
	if o.status != 0 {
		t.Fatalf("nsbuild %s: %s", strings.Join(args, " "), o)
	}
	return o
}

// refusal is what a user is to be told.
type refusal struct {
	status int
	says   []string // in the line "nsbuild: …"
	hint   string   // in the line "hint: …"
}

// check compares what the user was told with what was to be told.
func (r refusal) check(t *testing.T, o outcome) {
	t.Helper()
	if o.status != r.status {
		t.Errorf("exit status %d, want %d", o.status, r.status)
	}
	told, hint := told(o.stderr)
	for _, s := range r.says {
		if !strings.Contains(told, s) {
			t.Errorf("the message lacks %q", s)
		}
	}
	if !strings.Contains(hint, r.hint) || r.hint == "" && hint != "" {
		t.Errorf("the hint is %q, want %q", hint, r.hint)
	}
	if t.Failed() {
		t.Log(o)
	}
}

// told takes the message and the hint out of the standard error.
func told(stderr string) (message, hint string) {
	if i := strings.LastIndex("\n"+stderr, "\nhint: "); i >= 0 {
		stderr, hint = stderr[:i], strings.TrimPrefix(stderr[i:], "hint: ")
	}
	if i := strings.LastIndex("\n"+stderr, "\nnsbuild: "); i >= 0 {
		message = stderr[i:]
	}
	return message, strings.TrimSpace(hint)
}

// nothingLeft checks that a run which failed left no base, no draft, no scratch directory and no
// part of a download.
func (w *world) nothingLeft(t *testing.T) {
	t.Helper()
	for _, dir := range []string{filepath.Join(w.state, "bases"), filepath.Join(w.state, "run"),
		filepath.Join(w.cache, "layers", "draft-*")} {
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			t.Errorf("left: %s", name)
		}
	}
}
