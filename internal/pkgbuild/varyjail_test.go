package pkgbuild

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/sandbox"
)

// faketime is the package of the library that sets clocks forward.
func (w *world) faketime(version, body string) fakedebian.Package {
	return fakedebian.Package{Name: clockPackage, Version: version, Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick, Files: []fakedebian.File{
			{Path: "usr/lib/some-triplet/faketime/libfaketime.so.1", Body: "other"},
			{Path: "usr/lib/some-triplet/faketime/libfaketimeMT.so.1", Body: body}}}
}

// seen is what the build's command has found of the clock.
type seen struct{ library, environment string }

// seeClock has dpkg-buildpackage look.
func (w *world) seeClock() *seen {
	var s seen
	w.replace("dpkg-buildpackage", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		text, _ := p.ReadFile(clockDir + "/libfaketimeMT.so.1") // or it is not there
		var env []string
		for _, e := range p.Env {
			if strings.Contains(e, "FAKE") || strings.HasPrefix(e, "LD_") {
				env = append(env, e)
			}
		}
		slices.Sort(env)
		s = seen{string(text), strings.Join(env, " ")}
		return programs.BuildPackage(ctx, p)
	})
	return &s
}

// TestClock has the newest library of the suite in the jail that builds, and the build's command
// alone uses it. The package is not installed.
func TestClock(t *testing.T) {
	w := newWorld(t)
	w.suite.Add(w.faketime("0.9.10-2", "old"), w.faketime("0.9.10-11", "new"))
	w.publish()
	saw := w.seeClock()
	spec := w.source(crane())
	b := w.must(spec, func(r *Request) { r.Vary.Clock = 400 * 24 * time.Hour })
	want := seen{"new", "FAKETIME=+34560000 FAKETIME_DONT_FAKE_MONOTONIC=1 " +
		"LD_PRELOAD=/usr/lib/nsbuild/libfaketimeMT.so.1 NO_FAKE_STAT=1"}
	if diff := cmp.Diff(want, *saw, cmp.AllowUnexported(seen{})); diff != "" {
		t.Error(diff)
	}
	for _, p := range b.result.Inputs.Dependencies {
		if p.Name == clockPackage {
			t.Errorf("it was installed: %v", p)
		}
	}
	w.must(spec)
	if diff := cmp.Diff(seen{}, *saw, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("another build: %s", diff)
	}
}

// TestClockMissing gives a build back whose clock cannot be set forward.
func TestClockMissing(t *testing.T) {
	w := newWorld(t)
	later := func(r *Request) { r.Vary.Clock = time.Hour }
	spec := w.source(crane())
	b := w.build(spec, later)
	if b.ends() != "given-back, install-deps, given back" {
		t.Errorf("%s: %v", b.ends(), b.err)
	}
	w.tells("the error", b.err.Error(), "the clock cannot be set forward",
		"have no package libfaketime")
	empty := w.faketime("1", "")
	empty.Files = empty.Files[:1]
	w.suite.Add(empty)
	w.publish()
	b = w.build(spec, later)
	w.tells("the error", b.err.Error(), "libfaketime_1_"+w.arch+": it has no /usr/lib/*/faketime/")
}

// TestVariedJail has the order of directories and the kernel's release in the jail that builds, and
// in no other.
func TestVariedJail(t *testing.T) {
	w := newWorld(t)
	b := w.must(w.source(crane()), func(r *Request) { r.Vary.Dirs, r.Vary.OldKernel = 5, true })
	var varied []*sandbox.Vary
	for _, h := range b.jails.Holders() {
		for _, j := range h.Jails() {
			if j.Spec.Vary != nil {
				varied = append(varied, j.Spec.Vary)
			}
		}
	}
	if diff := cmp.Diff([]*sandbox.Vary{{Dirs: 5, OldKernel: true}}, varied); diff != "" {
		t.Error(diff)
	}
}

// TestBearsOldKernel does not vary uname where static programs would end by that.
func TestBearsOldKernel(t *testing.T) {
	for version, want := range map[string]bool{"2.31-13+deb11u11": false, "2.35-0ubuntu3": false,
		"2.36-9+deb12u14": true, "2.41-12": true, "": true} {
		packages := []base.Package{{Name: "libc6", Version: version}}
		if version == "" {
			packages = nil
		}
		if got := bearsOldKernel(packages); got != want {
			t.Errorf("libc6 %s: %t", version, got)
		}
	}
}
