package builds

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestMany builds several sources beside each other, of which one fails and one does not exist.
func TestMany(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	var sources []string
	for _, name := range []string{"first", "second", "third"} {
		s := fakedebian.Source{Name: name, Version: "1.0", Architecture: "all"}
		if name == "second" {
			s.Rules = "#!/usr/bin/make -f\n%:\n\techo it cannot be built; exit 1\n"
		}
		sources = append(sources, w.WriteSource(t, s))
	}
	for _, c := range []struct{ atOnce, parallel string }{{"1", ""}, {"3", "parallel=1"}} {
		t.Run(c.atOnce, func(t *testing.T) {
			o := w.Run(t,
				append([]string{"build", "-d", "bookworm", "--jobs-at-once", c.atOnce,
					"absent.dsc"}, sources...)...)
			if o.Status != 2 {
				t.Errorf("status %d, want the worst", o.Status)
			}
			if got := strings.Count(o.Stdout, ".changes\n"); got != 2 {
				t.Errorf("%d .changes on standard output", got)
			}
			table := regexp.MustCompile(
				`(?s)\nsource +version +status +time\nabsent +- +given-back +\S+\nfirst +1\.0 +successful +\S+\nsecond +1\.0 +attempted \(build\) +\S+\nthird +1\.0 +successful +\S+\n$`)
			for _, want := range []*regexp.Regexp{
				table, regexp.MustCompile(`(?m)^third_1.0: unpack `),
				regexp.MustCompile(`(?m)^second_1.0: (?:likely )?cause|^second_1.0: the last lines`),
				regexp.MustCompile(`(?m)^nsbuild: absent: .*no such file`)} {
				if !want.MatchString(o.Stderr) {
					t.Errorf("nothing matches %s", want)
				}
			}
			if log := w.LogOf(t, "first"); !strings.Contains(log, c.parallel) {
				t.Errorf("no %s in the log", c.parallel)
			}
			if t.Failed() {
				t.Log(o)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		o := w.Run(t, "build", "-q", "-d", "bookworm", sources[0], "./"+sources[0])
		e2e.Refusal{Status: 64, Says: []string{"is the same as", "not built twice"},
			Hint: "name it once"}.Check(t, o)
	})
}

// TestManySameLayer builds two sources with the same build dependency at once: only one of them
// installs it.
func TestManySameLayer(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	var sources []string
	for _, name := range []string{"left", "right"} {
		sources = append(sources,
			w.WriteSource(t,
				fakedebian.Source{Name: name, Version: "1.0", Architecture: "all",
					BuildDepends: "rename"}))
	}
	w.Must(t, append([]string{"build", "-q", "-d", "bookworm", "--jobs-at-once=2"}, sources...)...)
	logs := e2e.Read(t, filepath.Join(w.Dir, "left_1.0_amd64.build")) +
		e2e.Read(t, filepath.Join(w.Dir, "right_1.0_amd64.build"))
	if made, used := strings.Count(logs, "Setting up rename"),
		strings.Count(logs, "\nDependency layer "); made != 1 || used != 1 {
		t.Errorf("installed %d times, taken from the layer %d times:\n%s", made, used, logs)
	}
}

// TestManyStopped interrupts builds beside each other: all end, and nothing is left.
func TestManyStopped(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	var sources []string
	for _, name := range []string{"one", "two", "three"} {
		sources = append(sources,
			w.WriteSource(t,
				fakedebian.Source{Name: name, Version: "1.0",
					Rules: "#!/usr/bin/make -f\n%:\n\techo waiting; sleep 1000\n"}))
	}
	c, ended := w.Command(t, append([]string{"build", "-d", "bookworm", "--jobs-at-once=2"},
		sources...)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(e2e.TooLong)
	for _, name := range []string{"one", "two"} {
		// it is not there at first
		for log := []byte(nil); !strings.Contains(string(log), "\nwaiting"); log, _ = os.ReadFile(
			filepath.Join(w.Dir, name+"_1.0_amd64.build")) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not begin", name)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	o := ended(c.Wait())
	if o.Status != 130 || strings.Count(o.Stderr, " stopped ") < 3 {
		t.Error(o)
	}
	if _, err := os.Stat(filepath.Join(w.Dir, "three_1.0_amd64.build")); err == nil {
		t.Error("the third build was begun")
	}
}
