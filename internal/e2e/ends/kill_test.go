package ends

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// sleeper is a source whose build goes on until it is stopped.
func sleeper(t *testing.T, w *e2e.World) string {
	t.Helper()
	return w.WriteSource(t,
		fakedebian.Source{Name: "sleeper", Version: "1.0",
			Rules: e2e.BadRules("\t@echo asleep; sleep 600\n")})
}

// creating are the moments of the next create of a base, in their order. What earlier ones have
// left does not count.
func creating(t *testing.T, w *e2e.World, base string) []e2e.Moment {
	t.Helper()
	drafts := func() []string {
		found, err := filepath.Glob(filepath.Join(w.State, "bases", base, "draft-*"))
		e2e.Check(t, err)
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
	return []e2e.Moment{
		{Name: "its draft", Come: has("lock", "")},
		{Name: "unpacking", Come: has("tree/usr/bin/dpkg", "")},
		{Name: "configuring", Come: has("tree/var/log/dpkg.log", " configure ")},
	}
}

// sleeping are the moments of the next build of the sleeper, in their order.
func sleeping(t *testing.T, w *e2e.World) []e2e.Moment {
	t.Helper()
	file := filepath.Join(w.Dir, "sleeper_1.0_amd64.build")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	has := func(text string) func() bool {
		return func() bool {
			data, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(data), text)
		}
	}
	return []e2e.Moment{
		{Name: "its log", Come: has("")},
		{Name: "the package's own commands", Come: has("\nasleep\n")},
	}
}

// TestInterrupt presses Ctrl-C during create and during build.
func TestInterrupt(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := sleeper(t, w)
	create := []string{"create", "--name", "interrupted", "--variant=essential", "bookworm"}
	interrupt := func(m e2e.Moment, args ...string) {
		t.Run(args[0]+", "+m.Name, func(t *testing.T) {
			begin := time.Now()
			took, o := w.At(t, m, 0, syscall.SIGINT, args...)
			if ran := time.Since(begin) - took; took > max(e2e.StopTime(), ran) {
				t.Errorf("it ended after %s, having run for %s", took, ran)
			}
			if o.Status != 130 || !strings.Contains(o.Stderr, "nsbuild: stopped by SIGINT") {
				t.Error(o)
			}
			w.NoScratchOf(t, o)
			if _, err := os.Stat(filepath.Join(w.State, "bases", "interrupted")); err == nil {
				t.Error("a base is left that was not finished")
			}
			t.Logf("ended after %s", took)
		})
	}
	for i := range creating(t, w, "interrupted") {
		interrupt(creating(t, w, "interrupted")[i], create...)
	}
	moments := sleeping(t, w)
	interrupt(moments[len(moments)-1], "build", "-d", "bookworm", dsc)
	if log := e2e.Read(t, filepath.Join(w.Dir, "sleeper_1.0_amd64.build")); !strings.Contains(log,
		"Fail-Stage: abort") {
		t.Errorf("the log does not say that it was stopped")
	}
}

// TestKill kills nsbuild at moments of chance. The jail ends with it, and the next run finds
// nothing in its way.
func TestKill(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := sleeper(t, w)
	lock := filepath.Join(w.Dir, "killed.lock")
	chance := e2e.Chance(t)
	kill := func(moments func(*testing.T) []e2e.Moment, args ...string) {
		for range 10 {
			all := append(moments(t), e2e.AtStart)
			m, later := all[chance.IntN(len(all))], time.Duration(chance.Int64N(int64(time.Second)))
			t.Logf("%s killed %s after %s", args[0], later, m.Name)
			_, o := w.At(t, m, later, syscall.SIGKILL, args...)
			if o.Status == 128+int(syscall.SIGKILL) {
				return
			}
			if o.Status != 0 {
				t.Fatalf("it was not killed: %s", o)
			}
			t.Log("which was too late") // for a create: the build does not end
			w.Must(t, "remove", "killed")
			e2e.Check(t, os.Remove(lock))
		}
		t.Errorf("%s could not be killed", args[0])
	}
	for range 3 {
		kill(func(t *testing.T) []e2e.Moment { return creating(t, w, "killed") }, "create", "--name",
			"killed", "--variant=essential", "--lock", lock, "bookworm")
		kill(func(t *testing.T) []e2e.Moment { return sleeping(t, w) }, "build", "-d",
			"bookworm", dsc)
	}
	// Nobody is left who would hold a lock: the next run works, and sweeps.
	w.Must(t, "create", "--name", "killed", "--lock", lock, "bookworm")
	if left, err := filepath.Glob(filepath.Join(w.Dir, ".killed.lock*")); err != nil ||
		len(left) > 0 {
		t.Errorf("beside the lock: %q, %v", left, err)
	}
	small := w.WriteSource(t, fakedebian.Source{Name: "small", Version: "1.0"})
	w.Must(t, "build", "--base", "killed", "-d", "bookworm", small)
	w.NoScratch(t)
	w.Must(t, "remove", "killed")
	if _, err := os.Stat(filepath.Join(w.State, "bases", "killed")); err == nil {
		t.Error("remove has left something of the base")
	}
}

// TestTwoCreate makes one base twice at once: one of them waits and says so.
func TestTwoCreate(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	began := creating(t, w, "twice")[0]
	args := []string{"create", "--name", "twice", "--variant=essential", "bookworm"}
	first, firstEnded := w.Command(t, args...)
	second, secondEnded := w.Command(t, args...)
	said, err := os.Create(filepath.Join(w.Dir, "said"))
	e2e.Check(t, err)
	defer said.Close()
	second.Stderr = said
	e2e.Check(t, first.Start())
	// The first does not go on before the second has come, however fast it is.
	began.Until(t)
	e2e.Check(t, first.Process.Signal(syscall.SIGSTOP))
	e2e.Check(t, second.Start())
	// they may have ended
	timer := time.AfterFunc(e2e.TooLong, func() {
		_, _ = first.Process.Kill(), second.Process.Kill()
	})
	defer timer.Stop()
	e2e.Moment{Name: "waiting", Come: func() bool {
		return strings.Contains(e2e.Read(t, said.Name()),
			"another nsbuild is making base twice; waiting for it")
	}}.Until(t)
	e2e.Check(t, first.Process.Signal(syscall.SIGCONT))
	a, b := firstEnded(first.Wait()), secondEnded(second.Wait())
	if a.Status != 0 || b.Status != 0 {
		t.Errorf("%s\n%s\n%s", a, b, e2e.Read(t, said.Name()))
	}
	w.Must(t, "remove", "twice")
	w.NoScratch(t)
}
