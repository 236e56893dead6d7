package pkgbuild

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/kept"
	"nsbuild/internal/proctree"
	"nsbuild/internal/sandbox"
)

// tested is crane with tests of its own: the names of programs of a world.
func tested(control string) fakedebian.Source {
	s := crane()
	s.Debian = []fakedebian.File{{Path: "tests/control", Body: control}}
	return s
}

// TestKeepChecks keeps the jails of checks that have failed, and nothing of those that have not.
func TestKeepChecks(t *testing.T) {
	w := newWorld(t)
	fails := func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if err := p.WriteFile(p.Getenv("AUTOPKGTEST_ARTIFACTS")+"/seen", "x", 0o644); err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(3)
	}
	w.replace("./debian/tests/good", fakejail.Prints("fine\n", 0))
	w.replace("./debian/tests/bad", fails)
	for _, name := range []string{"worse", "third", "fourth"} {
		w.replace("./debian/tests/"+name, fakejail.Prints("", 1))
	}
	w.replace("./debian/tests/hurt", fakejail.Prints("", 1))
	autopkgtest := func(r *Request) { keepAll(r); r.Autopkgtest = true }
	lintian := func(r *Request) { keepAll(r); r.Lintian = true }
	for _, c := range []struct {
		name, control string
		lintian       string
		with          func(*Request)
		failOn        string
		kept          string // the stages, the newest first
		lowers        string // of the newest
	}{
		{name: "it passes", control: "Tests: good\n", with: autopkgtest},
		{name: "it fails", control: "Tests: good bad\n", with: autopkgtest,
			kept: "autopkgtest: bad", lowers: "tree tree base"},
		{name: "on disk", control: "Tests: bad\n", with: func(r *Request) {
			autopkgtest(r)
			r.Scratch, r.ScratchSize = ScratchDisk, 0
		}, kept: "autopkgtest: bad", lowers: "tree tree base"},
		{name: "never", control: "Tests: bad\n",
			with: func(r *Request) { autopkgtest(r); r.Keep = KeepNever }},
		{name: "the build fails for it", control: "Tests: bad\n", with: autopkgtest,
			failOn: FailOnError, kept: "autopkgtest: bad", lowers: "tree tree base"},
		{name: "it does not count", control: "Tests: bad\nRestrictions: flaky\n",
			with: autopkgtest},
		{name: "no more than three", control: "Tests: bad worse third fourth\n",
			with:   func(r *Request) { autopkgtest(r); r.KeepLimits.Count = 10 },
			kept:   "autopkgtest: third, autopkgtest: worse, autopkgtest: bad",
			lowers: "tree tree base"},
		{name: "nothing could be installed", control: "Tests: bad\nDepends: nosuch\n",
			with: autopkgtest},
		{name: "the build fails for what could not be installed", failOn: FailOnError,
			control: "Tests: bad\nDepends: nosuch\n", with: autopkgtest},
		{name: "lintian", lintian: "E: hello: a tag\n", with: lintian, kept: "lintian",
			lowers: "tree layer base"},
		{name: "lintian again, of a layer", lintian: "E: hello: a tag\n", with: lintian,
			kept: "lintian", lowers: "tree layer base"},
		{name: "lintian warns", lintian: "W: hello: a tag\n", with: lintian},
		{name: "lintian warns, which counts", lintian: "W: hello: a tag\n", with: lintian,
			failOn: FailOnWarning, kept: "lintian", lowers: "tree layer base"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.forget()
			w.replace("lintian", fakejail.Prints(c.lintian, 0))
			b := w.build(w.source(tested(c.control)), c.with, func(r *Request) {
				r.FailOn = c.failOn
			})
			if (b.err != nil) != (c.failOn != "") || b.Kept != "" {
				t.Errorf("ends: %s, kept: %q (%v)", b.ends(), b.Kept, b.err)
			}
			all := w.allKept()
			var stages []string
			for _, k := range all {
				stages = append(stages, k.Stage)
			}
			if got := strings.Join(stages, ", "); got != c.kept || len(b.KeptChecks) != len(all) {
				t.Fatalf("kept: %q, want %q; %v; %q", got, c.kept, b.KeptChecks, b.said)
			}
			if len(all) > 0 && lowersOf(all[0].Lowers) != c.lowers {
				t.Errorf("it lies on %s, want %s", lowersOf(all[0].Lowers), c.lowers)
			}
		})
	}
}

// TestKeptCheck says of a test's jail what is needed to go on there, has it replaced by that of the
// next failure, and lets no build go on with it.
func TestKeptCheck(t *testing.T) {
	w := newWorld(t)
	w.replace("./debian/tests/bad", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if err := p.WriteFile(p.Getenv("AUTOPKGTEST_ARTIFACTS")+"/seen", "x", 0o644); err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(3)
	})
	with := func(r *Request) { keepAll(r); r.Autopkgtest = true }
	spec := w.tree(tested("Tests: bad\nRestrictions: needs-root\n"))
	first := w.must(spec, with)
	b := w.must(spec, with)
	all := w.allKept()
	if len(all) != 1 || len(b.KeptChecks) != 1 || all[0].ID != b.KeptChecks[0].ID ||
		all[0].ID == first.KeptChecks[0].ID {
		t.Fatalf("%+v of %+v", b.KeptChecks, all)
	}
	m := all[0]
	want := kept.Check{Dir: "/build/reproducible-path/hello-2.10", Root: true, Env: m.Check.Env,
		Again: "./debian/tests/bad", Artifacts: "/tmp/autopkgtest/artifacts",
		Brought: m.Check.Brought}
	if diff := cmp.Diff(&want, m.Check); diff != "" {
		t.Error(diff)
	}
	w.tells("what was brought", strings.Join(m.Check.Brought, " ")+" ", "/build/check ",
		"/build/reproducible-path/hello_2.10-3.dsc ")
	w.tells("the environment", strings.Join(m.Check.Env, "\n"),
		"AUTOPKGTEST_ARTIFACTS="+want.Artifacts)
	if m.Why != "exit status 3" || m.Dir != want.Dir || m.DSC != "hello_2.10-3.dsc" ||
		m.Status != "successful" || m.Directory != spec {
		t.Errorf("%+v", m.Manifest)
	}
	seen := filepath.Join(w.dir, "state/kept", m.ID, "tree", m.Lowers[0].Tree, want.Artifacts, "seen")
	if got := w.read(seen); got != "x" {
		t.Errorf("the artifact has %q", got)
	}
	r := w.retry(m.ID, Retry{})
	if r.ends() != "failed, usage" {
		t.Errorf("ends: %s (%v)", r.ends(), r.err)
	}
	w.tells("the error", r.err.Error(), "no build, but the jail of a check (autopkgtest: bad)")
	w.tells("the hint", fault.HintOf(r.err), "nsbuild enter "+m.ID+" -- ./debian/tests/bad")
}

// TestHangingCheck ends a test that hangs: what ran in its jail is told, and that is kept.
func TestHangingCheck(t *testing.T) {
	w := newWorld(t)
	w.replace("./debian/tests/hangs", func(ctx context.Context, _ *fakejail.Proc) sandbox.Status {
		<-ctx.Done()
		return fakejail.Exit(143)
	})
	w.replace("applet "+proctree.Applet, fakejail.Prints("7 sleeping: hangs\n", 0))
	b := w.build(w.source(tested("Tests: hangs\n")), keepAll, func(r *Request) {
		r.Autopkgtest, r.Silence = true, time.Second
	})
	if b.err == nil || b.Kept != "" || len(b.KeptChecks) != 1 {
		t.Fatalf("ends: %s (%v); kept %q, %+v", b.ends(), b.err, b.Kept, b.KeptChecks)
	}
	w.tells("the error", b.err.Error(), "nothing to its log for --silence 1s")
	w.tells("the log", b.log, "What is running:\n7 sleeping: hangs\n")
	if all := w.allKept(); len(all) != 1 || all[0].Stage != "autopkgtest: hangs" {
		t.Errorf("%+v", all)
	}
}
