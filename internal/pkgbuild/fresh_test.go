package pkgbuild

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// newer gives the mirror a later version of a package.
func (w *world) newer(name, version string) {
	w.t.Helper()
	w.suite.Add(fakedebian.Package{Name: name, Version: version, Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick})
	w.publish()
}

// generation is what the base of the suite is now.
func (w *world) generation() (number int, packages []base.Package) {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	g, err := e.Store.Use(suiteName)
	w.check(err)
	defer func() { w.check(g.Close()) }()
	return g.Number, g.Manifest.Packages
}

// TestNewBase has a mirror with news: what was begun over the base as it was is dropped, and the
// build begun again over one that is up to date.
func TestNewBase(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.must(spec)
	for _, c := range []struct {
		name       string
		newer      [2]string
		with       func(*Request)
		generation int
		stages     string
		log        []string
	}{
		{"nothing in the base", [2]string{"libcrane1", "1.0-2"}, nil, 1,
			"check architectures, build dependencies, check architectures, build dependencies, " +
				"unpack, build, collect",
			[]string{"Suite changed", "The mirror has something newer than base crane " +
				"(generation 1) was compared with. What was begun over it is dropped."}},
		{"a package of the base", [2]string{"base-files", "12.1"}, nil, 2,
			"check architectures, build dependencies, check architectures, build dependencies, " +
				"unpack, build, collect",
			[]string{"Suite changed", "base-files_12.1"}},
		{"with hooks it is waited for", [2]string{"base-files", "12.2"}, func(r *Request) {
			r.Hooks = w.hooks("", map[string]string{"cleanup": "true"})
		}, 3, "check architectures, build dependencies, unpack, build, collect",
			[]string{"base-files_12.2"}},
	} {
		w.in(c.name, func(t *testing.T) {
			w.newer(c.newer[0], c.newer[1])
			b := w.must(spec, c.with)
			if got, _ := w.generation(); got != c.generation ||
				b.result.Inputs.Base.Generation != got {
				t.Errorf("generation %d, and %d in result.json", got,
					b.result.Inputs.Base.Generation)
			}
			if b.stages() != c.stages {
				t.Errorf("stages: %s, want %s", b.stages(), c.stages)
			}
			w.tells("the log", b.log, c.log...)
			if again := w.must(spec); strings.Contains(again.log, "Suite changed") {
				t.Error("the next build has news, too")
			}
		})
	}
	w.in("a stage that fails over an old base", func(t *testing.T) {
		w.newer("base-files", "12.3")
		b := w.build(spec, func(r *Request) { r.AddDepends = []string{"nosuch"} })
		over := b.result.Inputs.Base.Generation
		if b.ends() != "given-back, install-deps, given back" || over != 4 {
			t.Errorf("ends: %s over generation %d", b.ends(), over)
		}
	})
	w.in("the upgrade fails", func(t *testing.T) {
		w.newer("base-files", "12.4")
		w.fail = func(c fakejail.Call) error {
			if c.Op == "CopyTree" {
				return errors.New("no room")
			}
			return nil
		}
		defer func() { w.fail = nil }()
		b := w.build(spec)
		if b.ends() != "given-back, apt-get-upgrade, given back" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the error", fmt.Sprint(b.err), "updating base crane", "no room")
	})
}

// TestMirrorsFail builds while the mirror does not answer as it should.
func TestMirrorsFail(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.must(spec)
	w.in("it is gone", func(t *testing.T) {
		w.mirror.Fault(".*", fakedebian.Fault{Status: 503})
		defer w.mirror.Heal()
		b := w.build(spec)
		if b.ends() != "given-back, apt-get-update, given back" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
	})
	w.in("it is not asked", func(t *testing.T) {
		w.offline = true
		defer func() { w.offline = false }()
		w.must(spec)
	})
	w.in("a package is another", func(t *testing.T) {
		w.newer("libcrane-dev", "1.1-1")
		w.mirror.Fault(".*libcrane-dev_1.1-1.*", fakedebian.Fault{Flip: 200})
		defer w.mirror.Heal()
		b := w.build(spec)
		if b.ends() != "given-back, install-deps, given back" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the error", fmt.Sprint(b.err), "libcrane-dev_1.1-1")
	})
}

// TestBaseIsMade builds where there is no base: one is made of the suite, as it is asked for.
func TestBaseIsMade(t *testing.T) {
	w := newWorld(t)
	w.check(os.RemoveAll(filepath.Join(w.dir, "state/bases")))
	spec := w.source(crane())
	w.in("it cannot be", func(t *testing.T) {
		b := w.build(spec, func(r *Request) {
			r.NewBase = func(bases.Options) (bases.Options, error) {
				return bases.Options{}, errors.New("the configuration is broken")
			}
		})
		if b.ends() != "failed, internal" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the error", fmt.Sprint(b.err), "making base crane: the configuration is broken")
	})
	w.in("of another name", func(t *testing.T) {
		b := w.build(spec, func(r *Request) { r.Base = "heron" })
		if b.ends() != "failed, usage" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the error", fmt.Sprint(b.err), "--base: there is no base heron")
	})
	w.makeBase(suiteName)
	w.in("for another architecture", func(t *testing.T) {
		b := w.build(spec, func(r *Request) { r.Base, r.Arch = suiteName, "s390x" })
		if b.ends() != "failed, usage" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the error", fmt.Sprint(b.err), "base crane is for "+w.arch+
			", the build for s390x")
	})
	w.in("limits that cannot be set", func(t *testing.T) {
		w.prepare = func(h *fakejail.Holder) {
			h.SparedOnes = []string{"the number of processors is not limited: no controller"}
		}
		defer func() { w.prepare = nil }()
		b := w.must(spec, func(r *Request) { r.Limits = sandbox.Limits{CPUs: 1} })
		w.tells("what is said", strings.Join(b.said, "\n"), "no controller")
		w.tells("the log", b.log, "I: the number of processors is not limited: no controller")
	})
}
