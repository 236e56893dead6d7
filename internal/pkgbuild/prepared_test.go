package pkgbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/sandbox"
)

// TestPrepared does a build twice that was prepared once, beside each other. What the mirror and
// the caller's directory have by then changes nothing, no mirror is asked, and one layer serves
// both.
func TestPrepared(t *testing.T) {
	w := newWorld(t)
	for _, from := range []string{w.source(crane()), w.tree(crane())} {
		w.check(os.RemoveAll(filepath.Join(w.dir, "cache/layers")))
		e := w.open(t.Context())
		r := w.request(from)
		r.AppendToVersion, r.ArchAll, r.Maintainer = "~one", false, "A B <ab@mirror.example>"
		p, err := e.Prepare(t.Context(), r)
		w.check(err)
		w.suite.Add(fakedebian.Package{Name: "libcrane-dev", Version: fmt.Sprint(w.count, ".0-1"),
			Architecture: w.arch, DataCompression: quick, ControlCompression: quick})
		w.publish()
		w.mirror.ResetCounts()
		if !strings.HasSuffix(from, ".dsc") {
			w.check(os.RemoveAll(filepath.Join(from, "debian")))
		}
		var outcomes [2]*Outcome
		var errs [2]error
		var both sync.WaitGroup
		for i := range outcomes {
			dir := w.request("").Output
			both.Go(func() {
				outcomes[i], errs[i] = p.Build(t.Context(), fmt.Sprint(i), func(r *Request) {
					r.Output = dir
				})
			})
		}
		both.Wait()
		p.Close()
		for _, err := range errs {
			w.check(err)
		}
		if n := w.mirror.Count("dists/"); n != 0 {
			t.Errorf("%s: the mirror was asked %d times: %v", from, n, w.mirror.Requests())
		}
		a, b := outcomes[0], outcomes[1]
		a.Result.Inputs.Layer.Cached, b.Result.Inputs.Layer.Cached = false, false
		if d := cmp.Diff(a.Result.Inputs, b.Result.Inputs); d != "" {
			t.Errorf("%s: %s", from, d)
		}
		for i, file := range a.Artefacts {
			if strings.HasSuffix(file, ".deb") && w.read(file) != w.read(b.Artefacts[i]) {
				t.Errorf("%s is not %s", file, b.Artefacts[i])
			}
		}
		if len(a.Artefacts) != 3 || len(b.Artefacts) != 3 {
			t.Errorf("%q, %q", a.Artefacts, b.Artefacts)
		}
		e.end()
		w.nothingLeft()
	}
}

// TestVary builds with all that can be otherwise. It is so for the package, and nowhere else.
func TestVary(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"sed", "chown", "localedef"} {
		w.replace(name, fakejail.Prints("", 0))
	}
	w.replace("taskset", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		return p.Exec(ctx, p.Argv[3:]...)
	})
	var commands []sandbox.Command
	for _, name := range []string{"dpkg-source", "dpkg-buildpackage"} {
		program := programs.Build()[name]
		w.replace(name, func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
			commands = append(commands, p.Command)
			return program(ctx, p)
		})
	}
	v := Vary{Host: "varied", Domain: "varied.example", User: "someone", Group: "some", UID: 30001,
		GID: 30002, Home: "/nonexistent/varied", Umask: "0002", Locale: "fr_CH.UTF-8",
		Dir: "/build/varied", OneProcessor: true, Env: []string{"TZ=VRD-13:45"}, Dirs: 7,
		OldKernel: true}
	held := -1 // how many of these commands had run when the build was held
	b := w.must(w.source(crane()), func(r *Request) {
		r.Vary, r.Hold = v, func(context.Context) error {
			held = len(commands)
			return nil
		}
	})
	if held != 1 {
		t.Errorf("the build was held after %d commands, and is to be before the second", held)
	}
	var specs []sandbox.Spec
	for _, h := range b.jails.Holders() {
		for _, j := range h.Jails() {
			specs = append(specs, j.Spec)
		}
	}
	if len(specs) != 2 || specs[0].Hostname != "nsbuild" || specs[0].Vary != nil ||
		specs[1].Hostname != "varied" || specs[1].Domain != "varied.example" ||
		specs[1].Vary == nil || *specs[1].Vary != (sandbox.Vary{Dirs: 7, OldKernel: true}) {
		t.Errorf("%+v", specs)
	}
	unpack, build := commands[0], commands[1]
	if unpack.UID != 1000 || unpack.Dir != "/build/varied" ||
		slices.Contains(unpack.Env, "HOME=/nonexistent/varied") {
		t.Errorf("unpacked by %+v", unpack)
	}
	if build.UID != 30001 || build.GID != 30002 || build.Dir != "/build/varied/hello-2.10" ||
		slices.Contains(build.Argv, "--sanitize-env") {
		t.Errorf("built by %+v", build)
	}
	env := strings.Join(build.Env, " ")
	w.tells("the environment", env, "HOME=/nonexistent/varied", "USER=someone", "LC_ALL=C ",
		"LOGNAME=someone", "TZ=VRD-13:45", "LC_COLLATE=C.UTF-8")
	if strings.Contains(env, "builder") || strings.Count(env, "parallel=") != 1 {
		t.Error(env)
	}
	var calls []string
	for _, c := range b.jails.Calls("Run") {
		calls = append(calls, strings.Join(c.Args, " "))
	}
	said := strings.Join(calls, "\n")
	w.tells("the jail", said, "chown -h -R -P 30001:30002 /build/varied\n",
		"s|^builder:.*|someone:x:30001:30002::/nonexistent/varied:/bin/sh|", "umask 0002; exec ")
	if len(b.result.Tried) > 0 {
		t.Errorf("the build is said to have written %+v", b.result.Tried)
	}
}
