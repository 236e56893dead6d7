package deps

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/archive/release"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// TestFailures has installations fail, and looks at what is said of each: the kind of failure, what
// the user may do, what apt has said; and whether the jail is left open for a look.
func TestFailures(t *testing.T) {
	old := errors.New("the base cannot be brought up to date")
	broken := &os.PathError{Op: "mkdir", Path: "/x", Err: syscall.EIO}
	const brokenMirror = "the mirror is broken or was just being changed: try again in a few " +
		"minutes, or name another with --mirror"
	for _, c := range []struct {
		name    string
		wants   string
		prepare func(*world)
		request func(*Request)
		on      func(*On)
		kind    fault.Kind
		hint    string
		says    []string
		open    bool
	}{
		{name: "nothing has it", wants: "nosuch", kind: fault.GivenBack, hint: "look elsewhere",
			says: []string{"apt found no solution (exit status 100)",
				"sbuild-build-depends-main-dummy : Depends: nosuch", "held broken packages"},
			open: true},
		{name: "what was done is named", wants: "nosuch", kind: fault.GivenBack,
			request: func(r *Request) { r.What = "installing hooks' packages" },
			hint:    "look elsewhere", says: []string{"installing hooks' packages: apt found"},
			open: true},
		{name: "a script fails", wants: "fails", kind: fault.GivenBack, open: true,
			says: []string{"exit status 100", "dpkg: error processing package fails (--configure)",
				"post-installation script subprocess returned error exit status 3"}},
		{name: "a package is damaged", wants: "debhelper", kind: fault.GivenBack, open: true,
			prepare: func(w *world) {
				w.server.Fault("pool/.*dh-lib", fakedebian.Fault{Flip: 100})
			}, hint: brokenMirror, says: []string{"package dh-lib_1.0-1_all", "hash mismatch"}},
		{name: "a list is damaged", wants: "debhelper", kind: fault.GivenBack,
			prepare: func(w *world) {
				w.server.Fault("Packages|by-hash", fakedebian.Fault{Flip: 20})
			}, hint: brokenMirror, says: []string{"bookworm: fetching", "hash mismatch"}},
		{name: "the base is old", wants: "debhelper",
			on: func(on *On) {
				on.Confirm = func() ([]*release.File, error) { return nil, old }
			}, says: []string{old.Error()}},
		{name: "no jail", wants: "debhelper",
			prepare: func(w *world) { w.fake.Fail = failing("NewJail", broken) },
			says:    []string{broken.Error()}},
		{name: "nothing can be written in the jail", wants: "debhelper", open: true,
			prepare: func(w *world) { w.fake.Fail = failing("Mkdir", broken) },
			says:    []string{"preparing apt: " + broken.Error()}},
		{name: "the request cannot be put into the jail", wants: "debhelper", open: true,
			prepare: func(w *world) {
				w.fake.Fail = func(c fakejail.Call) error {
					if c.Op == "Create" && strings.HasSuffix(c.Args[0], "dummy.deb") {
						return broken
					}
					return nil
				}
			}, says: []string{"sbuild-build-depends-main-dummy.deb: " + broken.Error()}},
		{name: "apt wants what no list has", wants: "debhelper", kind: fault.GivenBack, open: true,
			prepare: func(w *world) {
				w.fake.Programs["apt-get"] = fakejail.Prints("'"+w.repo.URI+
					"/pool/x.deb' x_1_all.deb 5 SHA256:00\n", 0)
			}, says: []string{"pool/x.deb, which the suite's indices do not list"}},
		{name: "something else was planned", wants: "debhelper", kind: fault.GivenBack, open: true,
			request: func(r *Request) { r.Planned = []string{"debhelper_1.0-1_all.deb"} },
			hint:    "plan the build again", says: []string{"dh-lib_1.0-1_all.deb differs"}},
		{name: "the status is gone afterwards", wants: "debhelper", open: true,
			prepare: func(w *world) {
				dpkg := w.fake.Programs["dpkg"]
				w.fake.Programs["dpkg"] = func(ctx context.Context,
					p *fakejail.Proc) sandbox.Status {
					status := dpkg(ctx, p)
					w.check(p.Remove("/var/lib/dpkg/status"))
					return status
				}
			}, says: []string{"listing what is installed"}},
		{name: "the dummy cannot be taken away", wants: "debhelper", open: true,
			prepare: func(w *world) {
				w.fake.Programs["dpkg"] = fakejail.Prints("dpkg: error: no space\n", 2)
			}, says: []string{"dpkg --force-unsafe-io --purge", "exit status 2", "no space"}},
		{name: "no resolver aptitude", wants: "debhelper", kind: fault.GivenBack, open: true,
			request: func(r *Request) { r.Resolver = ResolverAptitude },
			hint:    "use --build-dep-resolver=apt",
			says:    []string{"the resolver aptitude cannot be installed in bookworm"}},
		{name: "an architecture that dpkg refuses", wants: "debhelper", open: true,
			prepare: func(w *world) {
				w.fake.Programs["dpkg"] = fakejail.Prints("dpkg: error: illegal architecture\n", 2)
			}, request: func(r *Request) { r.Host = "arm64" },
			says: []string{"dpkg --add-architecture arm64: exit status 2", "illegal architecture"}},
		{name: "cross, and nothing has it", wants: "nosuch", kind: fault.GivenBack, open: true,
			request: func(r *Request) { r.Host = "arm64" }, hint: "look elsewhere",
			says: []string{"builddeps:", "Depends: nosuch"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("debhelper", "dh-lib"), pack("dh-lib", ""),
				pack("fails", "", script("#!/bin/sh\nexit 3\n")))
			r := w.request(w.base("bookworm"), c.wants)
			if c.request != nil {
				c.request(&r)
			}
			if c.prepare != nil {
				c.prepare(w)
			}
			got := w.install(r, func(on *On) {
				if c.on != nil {
					c.on(on)
				}
			})
			if got.err == nil {
				t.Fatalf("it did not fail: %+v", got.Installed)
			}
			if fault.KindOf(got.err) != c.kind || fault.HintOf(got.err) != c.hint {
				t.Errorf("kind %d, hint %q: %v", fault.KindOf(got.err), fault.HintOf(got.err),
					got.err)
			}
			for _, text := range c.says {
				if !strings.Contains(got.err.Error(), text) {
					t.Errorf("it does not say %q: %v", text, got.err)
				}
			}
			if (got.Open != nil) != c.open {
				t.Errorf("the jail is open: %t", got.Open != nil)
			}
			if got.Cached || len(got.Packages) > 0 {
				t.Errorf("%+v", got.Installed)
			}
			// nobody else waits for what will not come
			w.fake.Fail = nil
			w.system.Install(w.fake)
			w.server.Heal()
			if c.wants == "debhelper" && c.on == nil {
				r := w.request(r.Base, c.wants)
				if again := w.install(r); again.err != nil {
					t.Errorf("the next build: %v", again.err)
				}
			}
		})
	}
}

// TestAfterFailure finds what a failed build was about to make neither locked nor half there.
func TestAfterFailure(t *testing.T) {
	w := newWorld(t, pack("fails", "", script("#!/bin/sh\nexit 3\n")))
	r := w.request(w.base("bookworm"), "fails")
	if got := w.install(r); got.err == nil {
		t.Fatal("it did not fail")
	}
	w.system.Script = func(*fakejail.Proc, string, string, string) int { return 0 }
	got := w.install(r) // with the same key
	if got.err != nil || got.Cached {
		t.Errorf("%+v, %v", got.Installed, got.err)
	}
	if got := w.install(r); !got.Cached {
		t.Errorf("it is not kept: %+v, %v", got.Installed, got.err)
	}
}

// TestUnkept goes on with builds whose layers cannot be kept, and tells of that; the next build
// installs anew.
func TestUnkept(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  func(fakejail.Call) error
		warns string
	}{
		{"a full disk", failing("SaveLayer", errFull), "cannot be kept for the next build: " +
			errFull.Error()},
		{"the build was stopped", failing("SaveLayer", context.Canceled), ""},
		{"the draft cannot be deleted either", func(c fakejail.Call) error {
			switch c.Op {
			case "SaveLayer":
				return errFull
			case "RemoveTree":
				return errors.New("input/output error")
			}
			return nil
		}, "input/output error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("debhelper", ""))
			r := w.request(w.base("bookworm"), "debhelper")
			w.fake.Fail = c.fail
			got := w.install(r)
			if got.err != nil || got.packages() != "debhelper 1.0-1" || got.Size() != 0 {
				t.Errorf("%+v, %v", got.Installed, got.err)
			}
			if said := w.warned(); !strings.Contains(said, c.warns) || (said == "") !=
				(c.warns == "") {
				t.Errorf("warnings: %q, want %q", said, c.warns)
			}
			if w.Grown.Load() {
				t.Error("the cache is said to have grown")
			}
			w.fake.Fail = nil
			got = w.install(r)
			if got.err != nil || got.Cached || got.Size() == 0 || !w.Grown.Load() {
				t.Errorf("the next build: %+v, %v", got.Installed, got.err)
			}
			if got := w.install(r); !got.Cached || got.Size() == 0 {
				t.Errorf("the one after it: %+v, %v", got.Installed, got.err)
			}
		})
	}
}
