package pkgbuild

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/kept"
	"nsbuild/internal/sandbox"
)

// keepAll has failed builds kept, within ample limits.
func keepAll(r *Request) {
	r.Keep = KeepFailed
	r.KeepLimits = kept.Limits{Count: 3, Bytes: 1 << 30, Age: time.Hour}
}

// allKept are the builds that are kept, the newest first.
func (w *world) allKept() []kept.Info {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	all, err := e.Kept.List()
	w.check(err)
	return all
}

// forget deletes what is kept.
func (w *world) forget() {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	var want int64
	all, err := e.Kept.List()
	w.check(err)
	for _, i := range all {
		want += i.Size
	}
	freed, err := e.ForgetAll(w.t.Context())
	w.check(err)
	if freed != want {
		w.t.Errorf("%d bytes were freed, of %d", freed, want)
	}
}

// lowersOf are the layers of a kept build in words.
func lowersOf(lowers []kept.Lower) string {
	var all []string
	for _, l := range lowers {
		switch {
		case l.Base:
			all = append(all, "base")
		case l.Layer != "":
			all = append(all, "layer")
		default:
			all = append(all, "tree")
		}
	}
	return strings.Join(all, " ")
}

// TestKeep keeps builds that have failed: which, what of them, and what it lies on.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	fails := then(fakejail.Prints("make: *** [build] Error 1\n", 2), func(p *fakejail.Proc) error {
		return p.WriteFile("debian/half-done", "x", 0o644)
	})
	for _, c := range []struct {
		name   string
		with   func(*Request)
		fails  bool
		lowers string // "" when it is not kept
		below  string
		said   string
	}{
		{name: "success", with: keepAll},
		{name: "failure", with: keepAll, fails: true, lowers: "tree layer base"},
		{name: "failure, never", with: func(r *Request) { r.Keep = KeepNever }, fails: true},
		{name: "success, always", with: func(r *Request) { keepAll(r); r.Keep = KeepAlways },
			lowers: "tree layer base"},
		{name: "on disk", with: func(r *Request) {
			keepAll(r)
			r.Scratch, r.ScratchSize = ScratchDisk, 0
		}, fails: true, lowers: "tree layer base"},
		{name: "without layers", with: func(r *Request) { keepAll(r); r.NoLayers = true },
			fails: true, lowers: "tree tree base"},
		{name: "in a plain tree", with: func(r *Request) { keepAll(r); r.Scratch = ScratchCopy },
			fails: true, lowers: "tree", below: "layer base"},
		{name: "with hooks after it", with: func(r *Request) {
			keepAll(r)
			r.Hooks = w.hooks("", map[string]string{"build-failed": "true", "cleanup": "true"})
		}, fails: true, lowers: "tree layer base"},
		{name: "too large", with: func(r *Request) { keepAll(r); r.KeepLimits.Bytes = 1 },
			fails: true, said: "what the build wrote is not kept: it takes "},
	} {
		w.in(c.name, func(t *testing.T) {
			w.forget()
			if c.fails {
				w.replace("dpkg-buildpackage", fails)
			}
			b := w.build(spec, c.with)
			if (b.err != nil) != c.fails {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			all := w.allKept()
			if (len(all) == 1) != (c.lowers != "") || (b.Kept != "") != (c.lowers != "") {
				t.Fatalf("kept: %q of %+v (%q)", b.Kept, all, b.said)
			}
			if w.tells("what is said", strings.Join(b.said, "\n"), c.said); len(all) == 0 {
				return
			}
			m := all[0]
			if lowersOf(m.Lowers) != c.lowers || lowersOf(m.Below) != c.below || m.ID != b.Kept ||
				m.Source != "hello" || m.Size <= 0 {
				t.Errorf("%+v", m)
			}
			dir := filepath.Join(w.dir, "state/kept", m.ID)
			w.tells("the kept log", w.read(filepath.Join(dir, "log")), "Package: hello")
			w.tells("the kept plan", w.read(filepath.Join(dir, "plan.json")), "libcrane-dev")
			if !c.fails {
				return
			}
			if m.Stage != "build" || m.Why != "Build failure (dpkg-buildpackage died with exit 2)" {
				t.Errorf("it failed at %q: %q", m.Stage, m.Why)
			}
			file := filepath.Join(dir, "tree", m.Lowers[0].Tree,
				"build/reproducible-path/hello-2.10/debian/half-done")
			if got := w.read(file); got != "x" {
				t.Errorf("it has %q", got)
			}
		})
	}
}

// TestKeptStage: the stage where a kept build failed is that of its last attempt.
func TestKeptStage(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	overlay := fakejail.Prints("mv: cannot move 'a' to 'b': Invalid cross-device link\n", 2)
	for _, c := range []struct {
		name, program string // that decides in the second attempt
		again         fakejail.Program
		usual         fakejail.Program
		stage         string
	}{
		{"success", "dpkg-buildpackage", programs.BuildPackage, overlay, ""},
		{"an earlier stage", "dpkg-source", fakejail.Prints("no\n", 25), w.programs["dpkg-source"],
			"unpack"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.forget()
			w.replace("dpkg-buildpackage", overlay)
			n := 0
			w.replace(c.program, func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
				if n++; n > 1 {
					return c.again(ctx, p)
				}
				return c.usual(ctx, p)
			})
			b := w.build(spec, keepAll, func(r *Request) { r.Keep = KeepAlways })
			all := w.allKept()
			if n < 2 || len(all) != 1 {
				t.Fatalf("%d runs, %d are kept: %s (%v)", n, len(all), b.ends(), b.err)
			}
			if all[0].Stage != c.stage {
				t.Errorf("it failed at %q, not at %q", all[0].Stage, c.stage)
			}
		})
	}
}

// TestKeptNamesNoGoneDirectory: a rebuild without --output has results in a directory of nsbuild's
// own, which goes with it. What is kept of it names none.
func TestKeptNamesNoGoneDirectory(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.replace("dpkg-buildpackage", fakejail.Prints("no\n", 2))
	own := filepath.Join(w.dir, "state", "run", "rebuilt-1")
	w.check(os.MkdirAll(own, 0o755))
	for out, want := range map[string]string{own: "", w.dir: w.dir} {
		b := w.build(spec, keepAll, func(r *Request) { r.Output = out })
		if all := w.allKept(); len(all) == 0 || all[0].ID != b.Kept || all[0].Output != want {
			t.Errorf("results in %s: %+v", out, all)
		}
	}
}

// TestKeptGiveWay: no more stay than the limits allow, and none where the disk is full.
func TestKeptGiveWay(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.replace("dpkg-buildpackage", fakejail.Prints("no\n", 2))
	for range 5 { // several in a second
		b := w.build(spec, keepAll, func(r *Request) { r.KeepLimits.Count = 2 })
		if all := w.allKept(); len(all) > 2 || all[0].ID != b.Kept {
			t.Errorf("%d are kept, the newest not first: %+v", len(all), all)
		}
	}
	w.in("what cannot be saved", func(t *testing.T) {
		w.forget()
		w.fail = func(c fakejail.Call) error {
			if c.Op == "SaveLayer" {
				return errors.New("no room")
			}
			return nil
		}
		defer func() { w.fail = nil }()
		b := w.build(spec, keepAll)
		if b.ends() != "attempted, build, attempted" || b.Kept != "" {
			t.Errorf("ends: %s, kept: %s", b.ends(), b.Kept)
		}
		w.tells("what is said", strings.Join(b.said, "\n"), "what the build wrote is not kept: ",
			"no room")
	})
	w.in("a full disk", func(t *testing.T) {
		w.forget()
		if b := w.build(spec, keepAll); b.Kept == "" {
			t.Fatal("it is not kept")
		}
		n := 0
		w.replace("dpkg-buildpackage", then(programs.BuildPackage, func(p *fakejail.Proc) error {
			if n++; n == 1 {
				p.Jail().Holder().Write(1 << 40)
				return errors.New("No space left on device")
			}
			return nil
		}))
		b := w.build(spec, keepAll, func(r *Request) { r.Scratch, r.ScratchSize = ScratchDisk, 0 })
		if b.ends() != "successful" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the log", b.log, "the disk is full; what was kept of other builds is forgotten")
		if all := w.allKept(); len(all) != 0 {
			t.Errorf("%d are kept", len(all))
		}
	})
}
