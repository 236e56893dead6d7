package pkgbuild

import (
	"context"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/keptroot"
	"nsbuild/internal/sandbox"
)

// retry goes on with a kept build, with a command of its own.
func (w *world) retry(id string, t Retry, with ...func(*Request)) *built {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	opener := keptroot.Opener{Kept: e.Kept, Bases: e.Store, Layers: e.Layers, Work: e.Work}
	root, err := opener.Use(id)
	w.check(err)
	defer func() { w.check(root.Close()) }()
	t.Root = root
	r := w.request("")
	for _, change := range with {
		change(&r)
	}
	b := &built{dir: r.Output, jails: e.jails}
	b.Outcome, b.err = e.Retry(w.t.Context(), t, r)
	b.result = *b.Outcome.Result
	if b.LogPath != "" {
		b.log = w.read(b.LogPath)
	}
	return b
}

// TestRetry goes on with builds that were kept: at which stage, with which options, and over what
// they had written.
func TestRetry(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	half := func(fails bool) fakejail.Program {
		return func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
			_, err := p.ReadFile("debian/half-done")
			if found := err == nil; found {
				p.Printf("half of it is done\n")
				return programs.BuildPackage(ctx, p)
			}
			if err := p.WriteFile("debian/half-done", "x", 0o644); err != nil || fails {
				return fakejail.Exit(2)
			}
			return programs.BuildPackage(ctx, p)
		}
	}
	for _, c := range []struct {
		name    string
		with    func(*Request)
		retry   Retry
		ends    string
		stages  string
		command string
	}{
		{name: "where it broke", retry: Retry{Opts: []string{"--hook-build=true"}},
			ends: "successful", stages: "kept state, build, collect",
			command: "-us -uc -b -nc --hook-build=true"},
		{name: "in a plain tree", with: func(r *Request) { r.Scratch = ScratchCopy },
			ends: "successful", stages: "kept state, build, collect", command: "-us -uc -b -nc"},
		{name: "at another stage", retry: Retry{From: "collect"},
			ends: "failed, parse-changes, internal", stages: "kept state, collect!"},
		{name: "at none", retry: Retry{From: "lunch"}, ends: "failed, usage"},
		{name: "with an option that is ours", retry: Retry{Opts: []string{"-S"}},
			ends: "failed, usage"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("dpkg-buildpackage", half(true))
			failed := w.build(spec, keepAll, c.with)
			if failed.Kept == "" {
				t.Fatalf("nothing is kept: %v %q", failed.err, failed.said)
			}
			b := w.retry(failed.Kept, c.retry)
			if b.ends() != c.ends || b.stages() != c.stages {
				t.Errorf("ends: %s; stages: %s (%v)", b.ends(), b.stages(), b.err)
			}
			ran := b.commands("dpkg-buildpackage")
			if c.command != "" && (len(ran) != 1 || !strings.HasSuffix(ran[0], c.command)) {
				t.Errorf("%q, want %q", ran, c.command)
			}
			if c.ends == "successful" {
				w.tells("the log", b.log, "half of it is done", "it is not from a clean tree",
					"Retry: "+failed.Kept)
				if !slices.Contains(b.files(), "hello_2.10-3_"+w.arch+".deb") {
					t.Errorf("%q", b.files())
				}
			}
			if b.result.RetryOf != failed.Kept && len(b.result.Stages) > 0 {
				t.Errorf("it is a retry of %q", b.result.RetryOf)
			}
		})
	}
	w.in("beside another", func(t *testing.T) {
		w.replace("dpkg-buildpackage", half(true))
		failed := w.build(spec, keepAll)
		e := w.open(t.Context())
		defer e.end()
		other, err := e.Kept.Use(failed.Kept)
		w.check(err)
		defer func() { w.check(other.Close()) }()
		for range 2 { // the first has changed nothing of what is kept
			b := w.retry(failed.Kept, Retry{})
			if b.ends() != "successful" {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			w.tells("the log", b.log, "half of it is done")
		}
	})
	w.in("before there was a source", func(t *testing.T) {
		w.replace("dpkg-source", fakejail.Prints("no\n", 25))
		failed := w.build(spec, keepAll)
		if failed.Kept == "" {
			t.Fatalf("nothing is kept: %v", failed.err)
		}
		b := w.retry(failed.Kept, Retry{})
		if b.ends() != "failed, usage" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the hint", b.result.Outcome.Hint, "nsbuild build ")
	})
}

// TestRetryOfExact goes on with a build over an exact root: at its path, in its environment.
func TestRetryOfExact(t *testing.T) {
	for _, exact := range []*Exact{
		{Tree: "/srv/made/here", Environment: []string{"DEB_BUILD_OPTIONS=parallel=7"}},
		{Environment: []string{}}} {
		w := newWorldAlone(t)
		var ran []string
		w.replace("dpkg-buildpackage", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
			ran = append(ran, p.Dir+" "+strings.Join(p.Env, " "))
			return fakejail.Exit(2)
		})
		failed := w.build(w.source(crane()), keepAll, func(r *Request) {
			r.Exact, r.Base = exact, suiteName
		})
		if failed.Kept == "" {
			t.Fatalf("nothing is kept: %v %q", failed.err, failed.said)
		}
		w.retry(failed.Kept, Retry{})
		if len(ran) != 2 || ran[1] != ran[0] {
			t.Errorf("it ran in %q", ran)
		}
	}
}
