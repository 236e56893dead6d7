package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// many builds several sources with one command, and returns how each ended, in the order in which
// they did.
func (w *world) many(ctx context.Context, s *Several) (all []*Ended, order []int) {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	all = e.BuildMany(ctx, s, func(view *Env, d *Ended) {
		order = append(order, d.Index) // one call at a time
	}, func(*Env, *Outcome) { w.t.Error("something is kept") })
	if len(order) != len(s.Sources) {
		w.t.Errorf("%d of %d were told of", len(order), len(s.Sources))
	}
	return all, order
}

// TestMany builds several sources beside each other: each has its own results and its own end.
func TestMany(t *testing.T) {
	w := newWorld(t)
	named := func(name string) string {
		return w.source(fakedebian.Source{Name: name, Version: "1-1", BuildDepends: "libcrane-dev"})
	}
	sources := []string{named("one"), named("bad"), named("two"), named("one"), "nosuch"}
	var mu sync.Mutex
	var jobs []string
	w.replace("dpkg-buildpackage", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		mu.Lock()
		jobs = append(jobs, p.Getenv("DEB_BUILD_OPTIONS"))
		mu.Unlock()
		if strings.HasSuffix(p.Dir, "/bad-1") {
			return fakejail.Exit(2)
		}
		return programs.BuildPackage(ctx, p)
	})
	s := &Several{Request: w.request(""), Sources: sources, AtOnce: 2}
	s.ScratchSize = 0
	all, _ := w.many(t.Context(), s)
	var ends []string
	for i, d := range all {
		if d.Index != i || d.Time <= 0 {
			t.Errorf("%+v at %d", d, i)
		}
		ends = append(ends, d.Name+" "+string(d.Outcome.Status))
	}
	slices.Sort(ends)
	// of two builds of the same, either may be the one that is refused
	if want := []string{"bad_1-1 attempted", "nosuch given-back", "one_1-1 failed",
		"one_1-1 successful", "two_1-1 successful"}; !slices.Equal(ends, want) {
		t.Errorf("%q, want %q", ends, want)
	}
	if worst := Worst(all); fault.KindOf(worst) != fault.Usage ||
		!strings.Contains(worst.Error(), "and is not built twice") {
		t.Errorf("the worst is %v", worst)
	}
	for _, name := range []string{"one", "two"} {
		left, err := filepath.Glob(filepath.Join(s.Output, name+"_1-1_*"))
		w.check(err)
		if len(left) != 5 { // the log by two names
			t.Errorf("%s left %q", name, left)
		}
	}
	for _, options := range jobs {
		if !strings.HasPrefix(options, "parallel=") {
			t.Errorf("DEB_BUILD_OPTIONS=%s", options)
		}
	}
}

// TestManyInterrupted stops the first of several: no other is begun.
func TestManyInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.replace("dpkg-buildpackage", func(running context.Context, _ *fakejail.Proc) sandbox.Status {
		cancel()
		<-running.Done()
		return sandbox.Status{Signal: 9}
	})
	all, order := w.many(ctx, &Several{Request: w.request(""), AtOnce: 1,
		Sources: []string{w.source(crane()), "other", "https://mirror.example/x/third_1.dsc"}})
	if !slices.Equal(order, []int{0, 1, 2}) {
		t.Errorf("they ended in the order %v", order)
	}
	for i, name := range []string{"hello_2.10-3", "other", "third_1"} {
		if d := all[i]; d.Name != name || fault.KindOf(d.Err) != fault.Interrupted {
			t.Errorf("%s: %v", d.Name, d.Err)
		}
	}
	if began := all[1].Outcome.Result.Stages; len(began) > 0 {
		t.Errorf("the second began: %v", began)
	}
}

// TestChain builds a source with the packages of another one.
func TestChain(t *testing.T) {
	w := newWorld(t)
	lib := fakedebian.Source{Name: "libcrane", Version: "3.0-1", Packages: []fakedebian.Package{
		{Name: "libcrane-dev", Architecture: "any"}}}
	first := w.must(w.source(lib))
	s := crane()
	s.BuildDepends = "libcrane-dev (>= 3)"
	if b := w.build(w.source(s)); b.ends() != "given-back, install-deps, given back" {
		t.Errorf("without it: %s", b.ends())
	}
	b := w.must(w.source(s), func(r *Request) { r.Packages = first.Artefacts[:1] })
	w.tells("what was installed", fmt.Sprint(b.result.Inputs.Dependencies), "{libcrane-dev 3.0-1 ")
}

// TestWorst: an interruption stands for all, then a failure of ours, a wrong command line, a
// package that fails.
func TestWorst(t *testing.T) {
	kinds := []fault.Kind{fault.GivenBack, fault.Attempted, fault.Usage, fault.Internal,
		fault.Interrupted}
	all := []*Ended{{}}
	if err := Worst(all); err != nil {
		t.Error(err)
	}
	for _, kind := range kinds {
		all = append(all, &Ended{Err: fault.Wrap(kind, "", errors.New("x"))})
		if got := fault.KindOf(Worst(all)); got != kind {
			t.Errorf("with kind %d the worst is %d", kind, got)
		}
	}
	slices.Reverse(all)
	if got := fault.KindOf(Worst(all)); got != fault.Interrupted {
		t.Errorf("the other way round the worst is %d", got)
	}
}
