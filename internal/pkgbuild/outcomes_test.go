package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// then is a program that does another thing after what it usually does.
func then(usual fakejail.Program, more func(p *fakejail.Proc) error) fakejail.Program {
	return func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		status := usual(ctx, p)
		if err := more(p); err != nil {
			return p.Fail(err)
		}
		return status
	}
}

// first is a program that does another thing before what it usually does.
func first(more func(p *fakejail.Proc), usual fakejail.Program) fakejail.Program {
	return func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		more(p)
		return usual(ctx, p)
	}
}

// TestOutcomes has a build end at each of its stages, and looks at what is told of it.
func TestOutcomes(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name     string
		source   func(*fakedebian.Source)
		with     func(*Request)
		programs map[string]fakejail.Program
		fail     func(fakejail.Call) error
		ends     string
		stages   string // as result.json has them; the failed one with a mark
		err      []string
		hint     string
		log      []string
		exit     int
		signal   syscall.Signal
	}{
		{name: "success", ends: "successful",
			stages: "check architectures, build dependencies, unpack, build, collect",
			log: []string{"Status: successful", "Arch check ok (" + w.arch + " included in any)",
				"Toolchain package versions: dpkg-dev_1.22.0", "I: Built successfully"}},
		{name: "other architecture", source: func(s *fakedebian.Source) {
			s.Architecture = "s390x"
		}, ends: "skipped", stages: "check architectures!",
			log: []string{"Arch check failed: nothing is built for " + w.arch +
				" by a source for: s390x", "Status: skipped"}},
		{name: "no such package", source: func(s *fakedebian.Source) {
			s.BuildDepends = "nosuch (>= 2)"
		}, ends: "given-back, install-deps, given back",
			stages: "check architectures, build dependencies!",
			err: []string{"installing the build dependencies: apt found no solution",
				"Depends: nosuch (>= 2) but it is not installable"},
			log: []string{"Filtered Build-Depends: nosuch (>= 2), build-essential",
				"Fail-Stage: install-deps"}},
		{name: "a relation that is none", source: func(s *fakedebian.Source) {
			s.BuildDepends = "libcrane-dev (>= ${x})"
		}, ends: "given-back, install-deps, given back",
			stages: "check architectures, build dependencies!",
			err:    []string{"no substitution variables hold there"}, hint: "correct debian/control"},
		{name: "no jail", fail: func(c fakejail.Call) error {
			if c.Op == "NewJail" {
				return errors.New("no namespace")
			}
			return nil
		}, ends: "given-back, unpack, given back", err: []string{"no namespace"},
			stages: "check architectures, build dependencies, unpack!"},
		{name: "dpkg-source fails", programs: map[string]fakejail.Program{
			"dpkg-source": fakejail.Prints("dpkg-source: error: broken\n", 25)},
			ends:   "given-back, unpack, given back",
			stages: "check architectures, build dependencies, unpack!",
			err:    []string{"dpkg-source -x hello_2.10-3.dsc: exit status 25"},
			log:    []string{"dpkg-source: error: broken", "Fail-Stage: unpack"}},
		{name: "the package fails", programs: map[string]fakejail.Program{
			"dpkg-buildpackage": fakejail.Prints("make: *** [build] Error 1\n", 2)},
			ends:   "attempted, build, attempted",
			stages: "check architectures, build dependencies, unpack, build!",
			err:    []string{"dpkg-buildpackage died"}, exit: 2,
			log: []string{"E: Build failure (dpkg-buildpackage died with exit 2)", "Status: attempted",
				"Fail-Stage: build"}},
		{name: "the package is killed", programs: map[string]fakejail.Program{
			"dpkg-buildpackage": func(context.Context, *fakejail.Proc) sandbox.Status {
				return sandbox.Status{Signal: syscall.SIGKILL}
			}},
			ends:   "attempted, build, attempted",
			stages: "check architectures, build dependencies, unpack, build!",
			err:    []string{"signal 9"}, signal: syscall.SIGKILL},
		{name: "there is no dpkg-buildpackage",
			programs: map[string]fakejail.Program{"dpkg-buildpackage": nil},
			ends:     "attempted, build, attempted",
			stages:   "check architectures, build dependencies, unpack, build!",
			err:      []string{"dpkg-buildpackage", "does not exist"}},
		{name: "no .changes", programs: map[string]fakejail.Program{
			"dpkg-buildpackage": fakejail.Prints("done\n", 0)},
			ends:   "failed, parse-changes, internal",
			stages: "check architectures, build dependencies, unpack, build, collect!",
			err:    []string{"the build left no hello_2.10-3_" + w.arch + ".changes"}},
		{name: "du says nothing",
			programs: map[string]fakejail.Program{"du": fakejail.Prints("du: no\n", 1)},
			ends:     "successful",
			stages:   "check architectures, build dependencies, unpack, build, collect",
			log:      []string{"Space: n/a"}},
	} {
		w.in(c.name, func(t *testing.T) {
			s := crane()
			if c.source != nil {
				c.source(&s)
			}
			for name, p := range c.programs {
				if w.replace(name, p); p == nil {
					delete(w.programs, name)
				}
			}
			w.fail = c.fail
			defer func() { w.fail = nil }()
			b := w.build(w.source(s), c.with)
			if got := b.ends(); got != c.ends {
				t.Errorf("ends: %s, want %s (%v)", got, c.ends, b.err)
			}
			if got := b.stages(); got != c.stages {
				t.Errorf("stages: %s, want %s", got, c.stages)
			}
			if len(c.err) > 0 {
				w.tells("the error", fmt.Sprint(b.err), c.err...)
				w.tells("result.json", b.result.Outcome.Error, c.err[0])
			}
			w.tells("the hint", b.result.Outcome.Hint, c.hint)
			w.tells("the log", b.log, c.log...)
			if got := b.result.Outcome; got.Exit != c.exit || got.Signal != int(c.signal) {
				t.Errorf("exit %d, signal %d", got.Exit, got.Signal)
			}
			if done := b.Status == "successful"; (len(b.Artefacts) > 0) != done {
				t.Errorf("artefacts: %v", b.files())
			}
		})
	}
}

// TestInterrupted stops a build while a program of each stage runs.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.replace("lintian", fakejail.Prints("", 0))
	for _, c := range []struct{ program, stages string }{
		{"apt-get", "check architectures, build dependencies!"},
		{"dpkg-source", "check architectures, build dependencies, unpack!"},
		{"dpkg-buildpackage", "check architectures, build dependencies, unpack, build!"},
		{"du", "check architectures, build dependencies, unpack, build!"},
		{"lintian", "check architectures, build dependencies, unpack, build, collect, lintian!"},
	} {
		w.in(c.program, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			w.replace(c.program, func(running context.Context, _ *fakejail.Proc) sandbox.Status {
				cancel()
				<-running.Done()
				return sandbox.Status{Signal: syscall.SIGKILL}
			})
			b := w.buildIn(ctx, spec, func(r *Request) { r.NoLayers, r.Lintian = true, true })
			if got := b.ends(); got != "failed, abort, interrupted" {
				t.Errorf("ends: %s (%v)", got, b.err)
			}
			if got := b.stages(); got != c.stages {
				t.Errorf("stages: %s, want %s", got, c.stages)
			}
			w.tells("the log", b.log, "Fail-Stage: abort", "Status: failed")
		})
	}
}

// TestStrays leaves a process running, with each of the policies.
func TestStrays(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.replace("dpkg-buildpackage", then(programs.BuildPackage, func(p *fakejail.Proc) error {
		p.Jail().Leave(sandbox.Stray{PID: 7, PPID: 1, Command: "sleep 1d", Age: time.Second})
		return nil
	}))
	for _, c := range []struct {
		policy strays.Policy
		ends   string
		said   int
	}{
		{strays.Kill, "successful", 0}, {strays.Warn, "successful", 1},
		{strays.Fail, "attempted, build, attempted", 1},
	} {
		w.in(string(c.policy), func(t *testing.T) {
			b := w.build(spec, func(r *Request) { r.Strays = c.policy })
			if got := b.ends(); got != c.ends || len(b.said) != c.said {
				t.Errorf("ends: %s, said: %q", got, b.said)
			}
			w.tells("the log", b.log, "7 (parent 1, 1s old): sleep 1d",
				"The build left 1 running; they were ended.", "Strays: 1")
			if s := b.result.Strays; len(s) != 1 || s[0].PID != 7 || s[0].Command != "sleep 1d" {
				t.Errorf("result.json: %+v", s)
			}
			if c.policy == strays.Fail {
				w.tells("the error", b.err.Error(), "the build left 1 process running")
				w.tells("the hint", fault.HintOf(b.err), "--strays=warn")
			}
		})
	}
}

// TestMemory has the kernel kill for memory: what fails then is not the package's fault, and what
// does not fail is told of.
func TestMemory(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	kill := func(p *fakejail.Proc) { p.Jail().Holder().Kills += 2 }
	for _, c := range []struct {
		name    string
		program string
		run     fakejail.Program
		ends    string
	}{
		{"the package fails", "dpkg-buildpackage",
			first(kill, fakejail.Prints("cc: fatal error: Killed signal\n", 2)),
			"given-back, check-memory, given back"},
		{"the package bears it", "dpkg-buildpackage", first(kill, programs.BuildPackage),
			"successful"},
		{"killed earlier", "apt-get", first(kill, w.programs["apt-get"]), "attempted, build, attempted"},
	} {
		w.in(c.name, func(t *testing.T) {
			if c.program == "apt-get" {
				w.replace("dpkg-buildpackage", fakejail.Prints("no\n", 2))
			}
			w.replace(c.program, c.run)
			b := w.build(spec, func(r *Request) {
				r.Limits, r.NoLayers = sandbox.Limits{Memory: 8 << 30, CPUs: 1.5, PIDs: 99}, true
			})
			if got := b.ends(); got != c.ends {
				t.Errorf("ends: %s, want %s (%v)", got, c.ends, b.err)
			}
			if b.result.Use.OOMKills == 0 {
				t.Error("result.json does not tell of the kills")
			}
			w.tells("the log", b.log, "Limits: memory 8192 MiB, processors 1.5, processes 99")
			switch c.name {
			case "the package bears it":
				w.tells("what is said", strings.Join(b.said, "\n"), "killed 2")
			case "the package fails":
				w.tells("the hint", fault.HintOf(b.err), "--memory")
			}
		})
	}
}
