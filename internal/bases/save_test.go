package bases

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// shell is what a shell does in a throwaway root over a base: the lower that is to be saved.
func (w *world) shell(h jails.Holder, lowers []sandbox.Lower, do func(*fakejail.Proc) error) (
	all []sandbox.Lower) {
	w.t.Helper()
	w.fake.Programs["shell"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		w.check(do(p))
		return fakejail.Exit(0)
	}
	j, err := h.NewJail(w.t.Context(), sandbox.Spec{Root: sandbox.Root{Lowers: lowers}})
	w.check(err)
	_, err = j.Run(w.t.Context(), sandbox.Command{Argv: []string{"shell"}})
	w.check(err)
	_, err = j.Close()
	w.check(err)
	return append([]sandbox.Lower{{Jail: j.ID()}}, lowers...)
}

// hold starts a holder for the length of the test.
func (w *world) hold() jails.Holder {
	w.t.Helper()
	h, err := w.Work.Hold(w.t.Context(), w.IDs)
	w.check(err)
	w.t.Cleanup(func() { w.check(h.Close()) })
	return h
}

// TestSave makes generations of what shells have done over a base, after what has become of the
// base meanwhile.
func TestSave(t *testing.T) {
	touch := func(p *fakejail.Proc) error { return p.WriteFile("/etc/mine", "mine", 0o644) }
	for _, c := range []struct {
		name      string
		install   []string
		do        func(*fakejail.Proc) error
		meanwhile func(*world)
		as        string
		number    int
		installed int
		conflict  bool
		warns     string
	}{
		{name: "a file", as: "crane", number: 2},
		{name: "packages", install: []string{"tool"}, as: "crane", number: 2, installed: 1},
		{name: "sources of apt", do: func(p *fakejail.Proc) error {
			return errors.Join(touch(p),
				p.WriteFile("/etc/apt/sources.list.d/x.list", "deb", 0o644))
		}, as: "crane", number: 2, warns: "the apt sources of crane were changed"},
		{name: "the base is newer meanwhile", meanwhile: func(w *world) {
			_, err := w.Create(w.t.Context(), w.options(func(o *Options) { o.Replace = true }))
			w.check(err)
		}, as: "crane-saved-1", number: 1, conflict: true},
		{name: "and another was saved so", meanwhile: func(w *world) {
			for _, o := range []Options{{Replace: true}, {Name: "crane-saved-1"}} {
				_, err := w.Create(w.t.Context(), w.options(func(to *Options) {
					to.Replace, to.Name = o.Replace, o.Name
				}))
				w.check(err)
			}
		}, as: "crane-saved-2", number: 1, conflict: true},
		{name: "the base is gone meanwhile", meanwhile: func(w *world) {
			w.check(os.Remove(filepath.Join(w.Store.Dir(), "crane", "current")))
		}, as: "crane-saved-1", number: 1, conflict: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("tool"))
			g := w.create()
			h := w.hold()
			lowers := []sandbox.Lower{{Path: g.Tree()}}
			if c.install != nil {
				layer, err := w.InstallLayer(t.Context(), h, g, lowers, nil, c.install)
				w.check(err)
				lowers = append([]sandbox.Lower{layer}, lowers...)
			}
			if c.do == nil {
				c.do = touch
			}
			lowers = w.shell(h, lowers, c.do)
			if c.meanwhile != nil {
				c.meanwhile(w)
			}
			got, err := w.Save(t.Context(), h, g, lowers, nil)
			want := Saved{Name: c.as, Number: c.number, Conflict: c.conflict,
				Installed: c.installed}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
			saved := w.use(c.as)
			if text(saved.Tree(), "etc/mine") != "mine" || saved.Manifest.Digest == "" ||
				(w.has(saved, "tool") != "") != (c.install != nil) || w.has(saved, "apt") == "" {
				t.Errorf("%+v", saved.Manifest)
			}
			if _, err := os.Stat(filepath.Join(saved.Tree(), "run/nsbuild")); err == nil {
				t.Error("the mount point of apt was saved, too")
			}
			if text(g.Tree(), "etc/mine") != "" {
				t.Error("the generation before was changed")
			}
			if said := w.said(logrus.WarnLevel); !strings.HasPrefix(said, c.warns) ||
				(said == "") != (c.warns == "") {
				t.Errorf("warnings: %q, want %q", said, c.warns)
			}
			for _, name := range []string{"crane", c.as} {
				for _, left := range w.left(name) {
					if strings.HasPrefix(left, "draft") {
						t.Errorf("%s of %s is left", left, name)
					}
				}
			}
		})
	}
}

// TestNotSaved has the saving of a root fail, and finds nothing left of that.
func TestNotSaved(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []struct {
		name    string
		prepare func(*world)
		says    string
	}{
		{"it cannot be copied", func(w *world) { w.fake.Fail = failing("SaveRoot", broken) },
			broken.Error()},
		{"what it has cannot be read", func(w *world) {
			w.fake.Fail = failing("NewJail", broken)
		}, broken.Error()},
		{"the base cannot be read", func(w *world) {
			w.check(os.WriteFile(filepath.Join(w.Store.Dir(), "crane", "gen-1", "manifest.json"),
				[]byte("{"), 0o600))
		}, "manifest.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.create()
			h := w.hold()
			lowers := w.shell(h, []sandbox.Lower{{Path: g.Tree()}}, func(*fakejail.Proc) error {
				return nil
			})
			c.prepare(w)
			_, err := w.Save(t.Context(), h, g, lowers, nil)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if diff := cmp.Diff([]string{"current", "gen-1"}, w.left("crane")); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			w.fake.Fail = nil
		})
	}
}

// TestInstallLayer installs packages over a base, and tells what went wrong.
func TestInstallLayer(t *testing.T) {
	for _, c := range []struct {
		name     string
		packages []string
		prepare  func(*world)
		says     string
		warns    string
	}{
		{name: "a package", packages: []string{"tool"}},
		{name: "one that is not there", packages: []string{"tool", "nosuch"},
			says: "installing tool nosuch: apt found no solution"},
		{name: "a script fails", packages: []string{"tool"}, prepare: func(w *world) {
			w.system.Script = func(*fakejail.Proc, string, string, string) int { return 6 }
		}, says: "returned error exit status 6"},
		{name: "a process is left", packages: []string{"tool"}, prepare: func(w *world) {
			w.system.Script = func(p *fakejail.Proc, _, _, _ string) int {
				p.Jail().Leave(sandbox.Stray{PID: 3, Command: "daemon"})
				return 0
			}
		}, warns: "a maintainer script left a process, which was ended: daemon"},
		{name: "no jail", packages: []string{"tool"}, prepare: func(w *world) {
			w.fake.Fail = failing("NewJail", errFull)
		}, says: errFull.Error()},
		{name: "nothing can be written there", packages: []string{"tool"}, prepare: func(w *world) {
			w.fake.Fail = failing("Mkdir", errFull)
		}, says: "preparing apt: " + errFull.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("tool", script("#!/bin/sh\n")))
			g := w.create()
			h := w.hold()
			if c.prepare != nil {
				c.prepare(w)
			}
			layer, err := w.InstallLayer(t.Context(), h, g, []sandbox.Lower{{Path: g.Tree()}},
				&sandbox.Caller{UID: 1000, GID: 1000}, c.packages)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			j := h.(*fakejail.Holder).Jails()[0]
			if err != nil || layer.Jail != j.ID() || j.Spec.Caller == nil {
				t.Errorf("%+v in %s: %v", layer, j, err)
			}
			if said := w.said(logrus.WarnLevel); said != c.warns {
				t.Errorf("warnings: %q, want %q", said, c.warns)
			}
		})
	}
}

// TestCheckPackages takes what apt-get install takes by name, and neither files nor options.
func TestCheckPackages(t *testing.T) {
	for name, ok := range map[string]bool{"hello": true, "g++": true, "libc6:i386": true,
		"hello=1:2.10-1~bpo1": true, "hello/bookworm-backports": true, "": false, "-y": false,
		"./x.deb": false, "Hello": false, "a b": false, "hello=": false} {
		if err := CheckPackages([]string{"tool", name}); (err == nil) != ok || err != nil &&
			fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", name, err)
		}
	}
}
