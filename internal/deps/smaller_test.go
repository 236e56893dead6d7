package deps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// many are twelve packages, enough for a layer to be worth building upon, and the relations that
// want them.
func many(more ...func(*fakedebian.Package)) (packages []fakedebian.Package, wants string) {
	var names []string
	for i := range 12 {
		p := pack(fmt.Sprintf("lib%02d", i), "")
		if i == 0 {
			p = pack(p.Name, "", more...)
		}
		packages, names = append(packages, p), append(names, p.Name)
	}
	return packages, strings.Join(names, ", ")
}

// TestUponSmaller installs some packages, and then these and more: over the layer of the first
// where that makes no difference, and else anew.
func TestUponSmaller(t *testing.T) {
	conflict := func(r *Request, w *world) { r.Reduced.Conflicts = w.relations("nosuch") }
	for _, c := range []struct {
		name    string
		small   func(*fakedebian.Package) // changes a package of the smaller layer
		rest    func(*fakedebian.Package) // changes what is wanted besides
		request func(*Request, *world)
		again   func(*world) // happens in between
		upon    bool
		ran     []string
	}{
		{name: "the rest is installed over it", upon: true, ran: []string{asks, asks}},
		{name: "the rest makes an account", rest: script("#!/bin/sh\nadduser --system x\n")},
		{name: "the smaller one makes an account", small: script("#!/bin/sh\nadduser --system x\n")},
		{name: "the same alternative", small: script("#!/bin/sh\nupdate-alternatives --install /a a " +
			"/b 10\n"), rest: script("#!/bin/sh\nupdate-alternatives --install /a a /c 10\n")},
		{name: "another alternative", small: script("#!/bin/sh\nupdate-alternatives --install /a a " +
			"/b 10\n"), rest: script("#!/bin/sh\nupdate-alternatives --install /b b /c 10\n"),
			upon: true, ran: []string{asks, asks}},
		{name: "something may be removed", request: conflict},
		{name: "another newer version is wanted", again: func(w *world) {
			w.update(pack("lib03", "", version("2")))
		}},
		{name: "apt decides otherwise over it", ran: []string{asks, asks, asks},
			again: func(w *world) {
				apt := w.fake.Programs["apt-get"]
				w.fake.Programs["apt-get"] = func(ctx context.Context,
					p *fakejail.Proc) sandbox.Status {
					if layers := layerTrees(p.Jail().Spec.Root.Lowers); len(layers) > 0 {
						return fakejail.Exit(0) // it wants nothing more
					}
					return apt(ctx, p)
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			nothing := func(*fakedebian.Package) {}
			if c.small == nil {
				c.small = nothing
			}
			if c.rest == nil {
				c.rest = nothing
			}
			packages, small := many(c.small)
			w := newWorld(t, append(packages, pack("tool", "", c.rest))...)
			g := w.base("bookworm")
			first := w.install(w.request(g, small))
			if first.err != nil {
				t.Fatal(first.err)
			}
			if c.again != nil {
				c.again(w)
			}
			r := w.request(g, small+", tool")
			if c.request != nil {
				c.request(&r, w)
			}
			if c.ran == nil {
				c.ran = []string{asks}
			}
			got := w.install(r)
			if got.err != nil {
				t.Fatal(got.err)
			}
			if diff := cmp.Diff(append(c.ran, installs, purges), got.ran); diff != "" {
				t.Errorf("programs (-want +got):\n%s", diff)
			}
			// what was installed is the same in any case
			if n := len(got.Packages); n != 13 {
				t.Errorf("%d packages are installed: %s", n, got.packages())
			}
			root := got.jails[len(got.jails)-1].Root()
			for i := range 12 {
				name := fmt.Sprintf("usr/share/lib%02d/file", i)
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Error(err)
				}
			}
			upon := len(layerTrees(got.Lowers)) > 0
			if upon != c.upon || (got.Layer != nil) != c.upon {
				t.Errorf("it lies upon the smaller layer: %t", upon)
			}
			if says := strings.Contains(w.logged(), "has 12 of 13 packages"); says != c.upon {
				t.Errorf("the log says so: %t", says)
			}
			// the next build uses both, or the one
			again := w.install(r)
			if trees := layerTrees(again.Lowers); !again.Cached || again.err != nil ||
				(len(trees) == 2) != c.upon {
				t.Errorf("the next build: %+v, %v", again.Installed, again.err)
			}
			if c.upon && (again.Layer.Manifest.Below != first.Key || again.Size() !=
				first.Size()+again.Layer.Manifest.Size) {
				t.Errorf("%+v", again.Layer.Manifest)
			}
		})
	}
}

// TestUponTheLargest builds upon the layer that saves most.
func TestUponTheLargest(t *testing.T) {
	packages, all := many()
	_, some, _ := strings.Cut(all, "lib00, lib01, ")
	w := newWorld(t, append(packages, pack("tool", ""))...)
	g := w.base("bookworm")
	large := w.install(w.request(g, all))
	small := w.install(w.request(g, some)) // the one that was used last
	got := w.install(w.request(g, all+", tool"))
	if got.err != nil || got.Layer == nil || got.Layer.Key != large.Key {
		t.Errorf("it lies upon %+v, of %s and %s: %v", got.Layer, large.Key, small.Key, got.err)
	}
}

// TestDamagedLayers makes layers anew that are only half there, or lie upon one that is gone.
func TestDamagedLayers(t *testing.T) {
	manifest := func(dir string) string { return filepath.Join(dir, "manifest.json") }
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir, below string) error
	}{
		{"the manifest is cut short", func(_ *testing.T, dir, _ string) error {
			return os.Truncate(manifest(dir), 20)
		}},
		{"there is no manifest", func(_ *testing.T, dir, _ string) error {
			return os.Remove(manifest(dir))
		}},
		{"it was written before a crash", func(_ *testing.T, dir, _ string) error {
			text, err := os.ReadFile(manifest(dir))
			if err != nil {
				return err
			}
			text = []byte(strings.Replace(string(text), "{", `{"boot": "another",`, 1))
			return os.WriteFile(manifest(dir), text, 0o600)
		}},
		{"it is gone", func(_ *testing.T, dir, _ string) error { return os.RemoveAll(dir) }},
		{"what it lies upon is gone", func(_ *testing.T, _, below string) error {
			return os.RemoveAll(below)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			packages, small := many()
			w := newWorld(t, append(packages, pack("tool", ""))...)
			g := w.base("bookworm")
			below := w.install(w.request(g, small))
			r := w.request(g, small+", tool")
			first := w.install(r)
			if first.err != nil || len(layerTrees(first.Lowers)) != 1 {
				t.Fatalf("%+v, %v", first.Installed, first.err)
			}
			first.Close() // what is used is not deleted
			dir := func(key string) string { return filepath.Join(w.CacheDir, "layers", key) }
			w.check(c.damage(t, dir(first.Key), dir(below.Key)))
			got := w.install(r)
			if got.err != nil || got.Cached || len(got.Packages) != 13 {
				t.Errorf("%+v, %v", got.Installed, got.err)
			}
			if again := w.install(r); again.err != nil || !again.Cached {
				t.Errorf("the next build: %+v, %v", again.Installed, again.err)
			}
			if said := w.warned(); said != "" {
				t.Errorf("warnings: %s", said)
			}
		})
	}
}

// TestOneMakesIt has two builds want the same layer at once: the second waits, and has that of the
// first; or makes it itself when the first one has failed.
func TestOneMakesIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		fails bool
	}{{"the first makes it", false}, {"the first fails", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("tool", "", script("#!/bin/sh\n")))
			r := w.request(w.base("bookworm"), "tool")
			at, goOn := make(chan struct{}), make(chan struct{})
			scripts := 0
			w.system.Script = func(*fakejail.Proc, string, string, string) int {
				if scripts++; scripts > 1 {
					return 0
				}
				close(at)
				<-goOn
				if c.fails {
					return 1
				}
				return 0
			}
			first := make(chan outcome)
			go func() { first <- w.install(r) }()
			<-at
			second := make(chan outcome)
			go func() { second <- w.install(r) }()
			for all := w.fake.Holders(); len(all) < 2 || len(all[1].Jails()) == 0; {
				time.Sleep(time.Millisecond)
				all = w.fake.Holders()
			}
			close(goOn)
			a, b := <-first, <-second
			if (a.err != nil) != c.fails {
				t.Errorf("the first: %v", a.err)
			}
			if b.err != nil || b.Cached == c.fails {
				t.Errorf("the second: %+v, %v", b.Installed, b.err)
			}
		})
	}
}

// TestGivenUp waits no longer for another's layer than its own context lasts.
func TestGivenUp(t *testing.T) {
	w := newWorld(t, pack("tool", ""))
	r := w.request(w.base("bookworm"), "tool")
	first := w.install(r)
	key := first.Key
	first.Close()
	w.check(os.RemoveAll(filepath.Join(w.CacheDir, "layers", key)))
	making, _, err := w.Layers.Make(t.Context(), key, time.Second)
	w.check(err)
	defer making.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	on, h := w.on(r)
	defer h.Close()
	stopped := errors.New("the user has stopped it")
	w.fake.Fail = func(c fakejail.Call) error {
		if c.Op == "Open" { // what apt has parsed is looked for, after it has said what it wants
			cancel(stopped)
		}
		return nil
	}
	done, err := w.Install(ctx, r, on)
	if !errors.Is(err, stopped) || done.Open == nil {
		t.Errorf("%+v, %v", done, err)
	}
	done.Close()
	all, err := w.Layers.List()
	w.check(err)
	if slices.ContainsFunc(all, func(l layer.Info) bool { return l.Key == key }) {
		t.Error("the layer was made")
	}
}
