package deps

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/sandbox"
)

const (
	asks     = "apt-get --print-uris install sbuild-build-depends-main-dummy.deb"
	installs = "apt-get install sbuild-build-depends-main-dummy.deb"
	purges   = "dpkg --purge sbuild-build-depends-main-dummy"
)

// TestLayersOfBuilds follows the builds of sources over one base: which programs run for each, what
// is installed, and which layer it gets.
func TestLayersOfBuilds(t *testing.T) {
	w := newWorld(t, pack("debhelper", "dh-lib"), pack("dh-lib", ""), pack("cmake", ""))
	g := w.base("bookworm", pack("essential", ""))
	all := []string{asks, installs, purges}
	var order []string // of the steps that have a layer
	keys := map[string]string{}
	for _, step := range []struct {
		name     string
		before   func()
		wants    string
		request  func(*Request)
		on       func(*On)
		ran      []string
		packages string
		cached   bool
		same     string // the step that had the same layer
		none     bool   // no layer is kept
	}{
		{name: "first", wants: "debhelper", ran: all,
			packages: "dh-lib 1.0-1, debhelper 1.0-1"},
		{name: "again", wants: "debhelper", cached: true, same: "first"},
		{name: "other words", wants: "debhelper, dh-lib", ran: []string{asks}, cached: true,
			same: "first"},
		{name: "other words again", wants: "debhelper, dh-lib", cached: true, same: "first"},
		{name: "another", wants: "cmake", ran: all, packages: "cmake 1.0-1"},
		{name: "nothing", wants: "essential", ran: all},
		{name: "nothing again", wants: "essential", cached: true, same: "nothing"},
		{name: "conflicts", wants: "debhelper", ran: all,
			request:  func(r *Request) { r.Reduced.Conflicts = w.relations("essential") },
			packages: "dh-lib 1.0-1, debhelper 1.0-1"},
		{name: "hooks have changed the root", wants: "debhelper", ran: all,
			on:       func(on *On) { on.Hooked.Key = "x" },
			packages: "dh-lib 1.0-1, debhelper 1.0-1"},
		{name: "the same hooks", wants: "debhelper", on: func(on *On) { on.Hooked.Key = "x" },
			cached: true, same: "hooks have changed the root"},
		{name: "nobody knows what hooks have changed", wants: "debhelper", ran: all, none: true,
			on:       func(on *On) { on.Hooked.Unknowable = true },
			packages: "dh-lib 1.0-1, debhelper 1.0-1"},
		{name: "no layers", wants: "debhelper", ran: all, none: true,
			request:  func(r *Request) { r.NoLayers = true },
			packages: "dh-lib 1.0-1, debhelper 1.0-1"},
		{name: "news that change nothing", before: func() { w.update(pack("other", "")) },
			wants: "debhelper", ran: []string{asks}, cached: true, same: "first",
			request: func(r *Request) { r.Base = w.base("newer", pack("essential", "")) }},
		{name: "and once more", wants: "debhelper", cached: true, same: "first",
			request: func(r *Request) { r.Base = w.base("same", pack("essential", "")) }},
		{name: "news", before: func() { w.update(pack("dh-lib", "", version("2"))) },
			wants: "debhelper", ran: all, packages: "dh-lib 2, debhelper 1.0-1",
			request: func(r *Request) { r.Base = w.base("newest", pack("essential", "")) }},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.before != nil {
				step.before()
			}
			r := w.request(g, step.wants)
			if step.request != nil {
				step.request(&r)
			}
			w.confirmed = 0
			got := w.install(r, func(on *On) {
				if step.on != nil {
					step.on(on)
				}
			})
			if got.err != nil {
				t.Fatal(got.err)
			}
			if diff := cmp.Diff(step.ran, got.ran); diff != "" {
				t.Errorf("programs (-want +got):\n%s", diff)
			}
			if got.packages() != step.packages || got.Cached != step.cached {
				t.Errorf("cached: %t, installed: %s", got.Cached, got.packages())
			}
			if confirms := len(step.ran) > 0; confirms != (w.confirmed > 0) {
				t.Errorf("the base was to be confirmed %d times", w.confirmed)
			}
			if trees := layerTrees(got.Lowers); (len(trees) > 0) != step.cached {
				t.Errorf("layers: %v", trees)
			}
			if n := len(got.Lowers); n != 2 || got.Lowers[1].Path != r.Base.Tree() ||
				!step.cached && got.Lowers[0] != (sandbox.Lower{Jail: 1}) {
				t.Errorf("lowers: %+v", got.Lowers)
			}
			kept, err := w.Layers.Use(got.Key)
			w.check(err)
			if (kept == nil) != step.none {
				t.Errorf("layer %q is there: %t", got.Key, kept != nil)
			}
			if kept != nil {
				w.check(kept.Close())
			}
			before := "" // the first step that had this layer
			for _, other := range order {
				if keys[other] == got.Key && before == "" {
					before = other
				}
			}
			if before != step.same {
				t.Errorf("the layer is that of %q, want %q", before, step.same)
			}
			if !step.none {
				keys[step.name], order = got.Key, append(order, step.name)
			}
		})
	}
	if said := w.warned(); said != "" {
		t.Errorf("warnings: %s", said)
	}
}
