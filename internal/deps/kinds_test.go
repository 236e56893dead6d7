package deps

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/release"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// of gives a package an architecture.
func of(arch string) func(*fakedebian.Package) {
	return func(p *fakedebian.Package) { p.Architecture = arch }
}

// foreign is a package that serves any architecture.
func foreign(p *fakedebian.Package) { p.Architecture, p.MultiArch = "amd64", "foreign" }

// TestCross installs for another architecture: libraries of that one, tools of this one; and finds
// the layer again.
func TestCross(t *testing.T) {
	w := newWorld(t, pack("tool", "", foreign), pack("libx", "", of("amd64")),
		pack("libx", "", of("arm64"), version("1.0-1")), pack("old", ""))
	g := w.base("bookworm", pack("old", ""))
	r := w.request(g, "tool, libx")
	r.Host = "arm64"
	r.Reduced.Conflicts = w.relations("old")
	asksCross := "apt-get --print-uris --host-architecture=arm64 build-dep " +
		"sbuild-build-depends-main-dummy.dsc"
	got := w.install(r)
	if got.err != nil {
		t.Fatal(got.err)
	}
	want := []string{"dpkg --add-architecture arm64", asksCross,
		strings.Replace(asksCross, "--print-uris ", "", 1)}
	if diff := cmp.Diff(want, got.ran); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	var all []string
	for _, p := range got.Packages {
		all = append(all, p.Name+":"+p.Arch)
	}
	if diff := cmp.Diff([]string{"tool:amd64", "libx:arm64"}, all); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(got.jails[0].Root(), "usr/share/old/file")); err == nil {
		t.Error("what conflicts is still there")
	}
	if again := w.install(r); again.err != nil || !again.Cached || again.Key != got.Key {
		t.Errorf("the next build: %+v, %v", again.Installed, again.err)
	}
	r.Host = "amd64"
	if native := w.install(r); native.err != nil || native.Cached {
		t.Errorf("a build for this architecture: %+v, %v", native.Installed, native.err)
	}
}

// TestAspcud has aspcud installed first, and asked by apt with what makes a solution a good one.
func TestAspcud(t *testing.T) {
	w := newWorld(t, pack("aspcud", ""), pack("apt-cudf", ""), pack("tool", "lib"), pack("lib", ""))
	var asked []string
	aptGet := w.fake.Programs["apt-get"]
	w.fake.Programs["apt-get"] = func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		if slices.Contains(p.Argv, "APT::Solver=aspcud") {
			asked = append(asked, p.Argv[slices.IndexFunc(p.Argv, func(s string) bool {
				return strings.HasPrefix(s, "APT::Solver::aspcud::Preferences=")
			})])
		}
		return aptGet(ctx, p)
	}
	r := w.request(w.base("bookworm"), "tool")
	r.Resolver = ResolverAspcud
	got := w.install(r)
	if want := "apt-cudf 1.0-1, aspcud 1.0-1, lib 1.0-1, tool 1.0-1"; got.err != nil ||
		got.packages() != want {
		t.Errorf("%s, want %s: %v", got.packages(), want, got.err)
	}
	if again := w.install(r); again.err != nil || !again.Cached {
		t.Errorf("the next build: %+v, %v", again.Installed, again.err)
	}
	r.Resolver = "aspcud:-count(solution)"
	if own := w.install(r); own.err != nil || own.Cached && own.ran == nil {
		t.Errorf("with other criteria: %+v, %v", own.Installed, own.err)
	}
	const preferences = "APT::Solver::aspcud::Preferences="
	if first, last := asked[0], asked[len(asked)-1]; first != preferences+
		"-removed,-changed,-new" || last != preferences+"-count(solution)" {
		t.Errorf("apt was asked with %q", asked)
	}
	bare := newWorld(t, pack("tool", ""))
	request := bare.request(bare.base("bookworm"), "tool")
	request.Resolver = ResolverAspcud
	if none := bare.install(request); none.err == nil || !strings.Contains(none.err.Error(),
		"the resolver aspcud cannot be installed in bookworm") {
		t.Error(none.err)
	}
}

// TestNull installs nothing, and still learns whether the base is old.
func TestNull(t *testing.T) {
	w := newWorld(t)
	r := w.request(w.base("bookworm"), "nosuch")
	r.Resolver = ResolverNull
	if got := w.install(r); got.err != nil || got.ran != nil || got.Open != nil {
		t.Errorf("%+v, %v", got.Installed, got.err)
	}
	old := errors.New("it is old")
	if got := w.install(r, func(on *On) {
		on.Confirm = func() ([]*release.File, error) { return nil, old }
	}); !errors.Is(got.err, old) {
		t.Error(got.err)
	}
}

// TestKnownResolver has names of resolvers.
func TestKnownResolver(t *testing.T) {
	for name, want := range map[string]bool{"apt": true, "aptitude": true, "null": true,
		"aspcud": true, "aspcud:-new": true, "aspcud:": false, "xapt": false, "": false} {
		if KnownResolver(name) != want {
			t.Errorf("%q is known: %t", name, !want)
		}
	}
}

// TestAptitude has aptitude installed first, and then do the rest.
func TestAptitude(t *testing.T) {
	packages := []fakedebian.Package{pack("aptitude", "libsigc"), pack("libsigc", ""),
		pack("tool", "lib | nosuch"), pack("lib", ""),
		pack("fails", "", script("#!/bin/sh\nexit 3\n"))}
	simulates := func(option string) string {
		return strings.TrimSpace("aptitude "+option) + " install sbuild-build-depends-main-dummy"
	}
	first := []string{"apt-get --print-uris install aptitude", "apt-get install aptitude",
		simulates("-s")}
	all := append(slices.Clone(first), simulates(""), purges)
	for _, c := range []struct {
		name     string
		wants    string
		aptitude fakejail.Program // in the place of the made-up one
		ran      []string
		packages string
		hint     string
		says     string // of a failure
	}{
		{name: "what is needed", wants: "tool", ran: all,
			packages: "libsigc 1.0-1, aptitude 1.0-1, lib 1.0-1, tool 1.0-1"},
		{name: "a later alternative", wants: "nosuch | lib", ran: all,
			packages: "libsigc 1.0-1, aptitude 1.0-1, lib 1.0-1"},
		{name: "nothing has it", wants: "nosuch", ran: first, hint: "look elsewhere",
			says: "apt found no solution: aptitude (exit status 1)"},
		{name: "a script fails", wants: "fails", ran: all[:4],
			says: "aptitude install: exit status 1"},
		{name: "it gives up what was asked for", wants: "lib", ran: all[:4],
			aptitude: func(_ context.Context, p *fakejail.Proc) sandbox.Status {
				p.Printf("Inst lib (1.0-1 Debian:bookworm [all])\n")
				return fakejail.Exit(0)
			}, says: "aptitude found no solution"},
		{name: "it wants what no list has", wants: "lib", ran: first,
			aptitude: fakejail.Prints("Inst lib (9 Debian:bookworm [all])\n", 0),
			says:     "aptitude wants lib_9_all.deb, which the suite's indices do not list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, packages...)
			if c.aptitude != nil {
				w.fake.Programs["aptitude"] = c.aptitude
			}
			r := w.request(w.base("bookworm"), c.wants)
			r.Resolver = ResolverAptitude
			got := w.install(r)
			if diff := cmp.Diff(c.ran, got.ran); diff != "" {
				t.Errorf("programs (-want +got):\n%s", diff)
			}
			if c.says != "" {
				if got.err == nil || !strings.Contains(got.err.Error(), c.says) ||
					fault.HintOf(got.err) != c.hint {
					t.Errorf("%v (%s), want %q (%s)", got.err, fault.HintOf(got.err), c.says,
						c.hint)
				}
				return
			}
			if got.err != nil || got.packages() != c.packages {
				t.Errorf("%s: %v", got.packages(), got.err)
			}
			again := w.install(r)
			if again.err != nil || !again.Cached || again.ran != nil {
				t.Errorf("the next build: %+v, %v", again.Installed, again.err)
			}
			// other words for it: aptitude is asked, and the layer is found
			r.Reduced.Depends = append(r.Reduced.Depends, r.Reduced.Depends...)
			again = w.install(r)
			if diff := cmp.Diff(first, again.ran); diff != "" || !again.Cached ||
				again.Key != got.Key {
				t.Errorf("other words: %v\nprograms (-want +got):\n%s", again.err, diff)
			}
			entries, err := os.ReadDir(w.Work.Path())
			if err != nil || len(entries) > 0 {
				t.Errorf("left in the working directory: %v, %v", entries, err)
			}
		})
	}
}

// TestElsewhere takes packages from another repository, from files of the caller's own, and by
// preferences.
func TestElsewhere(t *testing.T) {
	w := newWorld(t, pack("tool", "lib"), pack("lib", ""))
	g := w.base("bookworm")
	other := w.archive.Suite("backports")
	other.Compressions = w.suite.Compressions
	other.Add(pack("lib", "", version("3~bpo1")))
	w.server.Mount("debian", w.archive.Tree())
	repo := w.repo
	repo.Suite = "backports"
	backports, err := w.Client.Release(t.Context(), repo)
	w.check(err)
	file := filepath.Join(t.TempDir(), "lib_2_all.deb")
	w.check(os.WriteFile(file, pack("lib", "", version("2")).Deb(t), 0o600))
	local, err := w.Client.Local(t.Context(), "copy:/run/nsbuild/extra", []string{file})
	w.check(err)
	file = filepath.Join(t.TempDir(), "lib_1_all.deb")
	own := pack("lib", "")
	own.Files[0].Body = "of the caller's own"
	w.check(os.WriteFile(file, own.Deb(t), 0o600))
	same, err := w.Client.Local(t.Context(), "copy:/run/nsbuild/extra", []string{file})
	w.check(err)
	keys := map[string]bool{}
	for _, c := range []struct {
		name     string
		extra    Extra
		packages string // "" for those of the first
	}{
		{"none", Extra{}, "lib 1.0-1, tool 1.0-1"},
		{"a repository", Extra{Releases: []*release.File{backports}}, "lib 3~bpo1, tool 1.0-1"},
		{"a file", Extra{Local: local}, "lib 2, tool 1.0-1"},
		{"a file of the archive's version", Extra{Local: same}, "lib 1.0-1, tool 1.0-1"},
		{"sources of a repository", Extra{Sources: []*release.File{backports}}, ""},
		{"preferences", Extra{Pins: "Package: *\nPin: release a=x\nPin-Priority: 1001\n"}, ""},
	} {
		r := w.request(g, "tool")
		r.Extra = c.extra
		keys[(&installation{Maker: w.Maker, Request: &r}).requestKey()] = true
		got := w.install(r)
		// that what is wanted is the same is known by its hashes, which apt tells
		cached := c.packages == ""
		if got.err != nil || got.Cached != cached || !cached && got.packages() != c.packages {
			t.Errorf("%s: cached: %t, %s: %v", c.name, got.Cached, got.packages(), got.err)
		}
		pinned := slices.ContainsFunc(w.fake.Calls("Run"), func(c fakejail.Call) bool {
			return slices.Contains(c.Args, "Dir::Etc::Preferences=/run/nsbuild/preferences") &&
				slices.Contains(c.Args, "APT::Get::allow-downgrades=true")
		})
		if pinned != (c.extra.Pins != "") {
			t.Errorf("%s: apt is told of preferences: %t", c.name, pinned)
		}
	}
	if len(keys) != 5 { // sources are not what apt installs
		t.Errorf("%d different requests", len(keys))
	}
}

// TestParsedLists gives apt what an earlier apt has parsed over the same base, and only there.
func TestParsedLists(t *testing.T) {
	given := func(w *world) bool {
		return slices.ContainsFunc(w.fake.Calls("Create"), func(c fakejail.Call) bool {
			return strings.HasSuffix(c.Args[0], "/pkgcache.bin")
		})
	}
	w := newWorld(t, pack("tool", ""), pack("lib", ""), pack("other", ""), pack("more", ""))
	g := w.base("bookworm")
	another := w.base("another", pack("essential", ""))
	for _, c := range []struct {
		name    string
		wants   string
		request func(*Request)
		on      func(*On)
		fail    func(fakejail.Call) error
		given   bool
	}{
		{name: "first", wants: "tool"},
		{name: "the same lists", wants: "lib", given: true},
		{name: "another base", wants: "tool", request: func(r *Request) { r.Base = another }},
		{name: "changed by hooks", wants: "tool", on: func(on *On) { on.Hooked.Key = "x" }},
		{name: "changed by the same hooks", wants: "lib", given: true,
			on: func(on *On) { on.Hooked.Key = "x" }},
		{name: "changed by who knows what", wants: "tool",
			on: func(on *On) { on.Hooked.Unknowable = true }},
		{name: "it cannot be given", wants: "other", given: true,
			fail: func(c fakejail.Call) error {
				if c.Op == "Create" && strings.HasSuffix(c.Args[0], "/pkgcache.bin") {
					return errFull
				}
				return nil
			}},
		{name: "it cannot be looked at", wants: "more", given: true,
			fail: func(c fakejail.Call) error {
				if c.Op == "Open" && strings.HasSuffix(c.Args[0], "/pkgcache.bin") {
					return errFull
				}
				return nil
			}},
	} {
		r := w.request(g, c.wants)
		if c.request != nil {
			c.request(&r)
		}
		w.fake.Fail = c.fail
		got := w.install(r, func(on *On) {
			on.Lowers = []sandbox.Lower{{Path: r.Base.Tree()}}
			if c.on != nil {
				c.on(on)
			}
		})
		if got.err != nil || given(w) != c.given {
			t.Errorf("%s: apt was given what is parsed: %t, %v", c.name, given(w), got.err)
		}
	}
	if said := w.warned(); said != "" {
		t.Errorf("warnings: %s", said)
	}
}

// TestWanted plans a build: what would be installed is known and in the cache, and nothing is
// installed.
func TestWanted(t *testing.T) {
	for _, c := range []struct {
		name    string
		wants   string
		request func(*Request)
		on      func(*On)
		prepare func(*world)
		files   string
		says    string
		kind    fault.Kind
	}{
		{name: "packages", wants: "tool", files: "lib tool"},
		{name: "nothing", wants: "dpkg"},
		{name: "for another architecture", wants: "libx", files: "libx",
			request: func(r *Request) { r.Host = "arm64" }},
		{name: "aptitude", wants: "tool", says: ErrNoPlan.Error(),
			request: func(r *Request) { r.Resolver = ResolverAptitude }},
		{name: "nothing has it", wants: "nosuch", says: "Depends: nosuch", kind: fault.GivenBack},
		{name: "a package is damaged", wants: "tool", says: "hash mismatch", kind: fault.GivenBack,
			prepare: func(w *world) { w.server.Fault("pool/", fakedebian.Fault{Flip: 9}) }},
		{name: "the base is old", wants: "tool", says: "it is old",
			on: func(on *On) {
				on.Confirm = func() ([]*release.File, error) { return nil, errors.New("it is old") }
			}},
		{name: "no jail", wants: "tool", says: errFull.Error(),
			prepare: func(w *world) { w.fake.Fail = failing("NewJail", errFull) }},
		{name: "nothing can be written there", wants: "tool", says: errFull.Error(),
			prepare: func(w *world) { w.fake.Fail = failing("Symlink", errFull) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("tool", "lib"), pack("lib", ""), pack("libx", "", of("arm64")))
			r := w.request(w.base("bookworm"), c.wants)
			if c.request != nil {
				c.request(&r)
			}
			if c.prepare != nil {
				c.prepare(w)
			}
			on, h := w.on(r)
			defer h.Close()
			if c.on != nil {
				c.on(&on)
			}
			got, err := w.Wanted(t.Context(), r, on)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || fault.KindOf(err) !=
					c.kind {
					t.Errorf("%v (%d), want %q", err, fault.KindOf(err), c.says)
				}
			} else if err != nil {
				t.Error(err)
			}
			var names []string
			for _, p := range got {
				names = append(names, p.Package)
			}
			if diff := cmp.Diff(c.files, strings.Join(names, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, line := range ran(w.fake) {
				if !strings.Contains(line, "--print-uris") && !strings.Contains(line,
					"--add-architecture") {
					t.Errorf("%s was run", line)
				}
			}
			for _, j := range h.Jails() {
				if !j.Closed() {
					t.Error("the jail is still open")
				}
			}
		})
	}
}

// TestLeavings keeps what packing a source directory has left from maintainer scripts, and from the
// layer.
func TestLeavings(t *testing.T) {
	w := newWorld(t, pack("tool", "", script("#!/bin/sh\n")))
	r := w.request(w.base("bookworm"), "tool")
	seen := 0
	w.system.Script = func(p *fakejail.Proc, _, _, _ string) int {
		if _, err := p.ReadFile("/etc/left"); err == nil {
			seen++
		}
		return 0
	}
	w.fake.Programs["leave"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		w.check(p.WriteFile("/etc/left", "here", 0o644))
		return fakejail.Exit(0)
	}
	for _, noLayers := range []bool{false, true} {
		r.NoLayers = noLayers
		on, h := w.on(r)
		j, err := h.NewJail(t.Context(), sandbox.Spec{Root: sandbox.Root{Lowers: on.Lowers}})
		w.check(err)
		_, err = j.Run(t.Context(), sandbox.Command{Argv: []string{"leave"}})
		w.check(err)
		_, err = j.Close()
		w.check(err)
		on.Leavings = sandbox.Lower{Jail: j.ID()}
		on.Lowers = append([]sandbox.Lower{on.Leavings}, on.Lowers...)
		done, err := w.Install(t.Context(), r, on)
		w.check(err)
		done.Saved()
		w.settled()
		want := []sandbox.Lower{{Jail: 2}, {Jail: 1}, {Path: r.Base.Tree()}}
		if diff := cmp.Diff(want, done.Lowers); diff != "" {
			t.Errorf("lowers (-want +got):\n%s", diff)
		}
		// the build itself sees both
		both, err := h.NewJail(t.Context(), sandbox.Spec{Root: sandbox.Root{Lowers: done.Lowers}})
		w.check(err)
		for _, name := range []string{"etc/left", "usr/share/tool/file"} {
			f, err := both.Open(name)
			w.check(err)
			w.check(f.Close())
		}
		if kept := !noLayers; kept {
			l, err := w.Layers.Use(done.Key)
			w.check(err)
			if _, err := os.Stat(filepath.Join(l.Tree(), "etc/left")); err == nil {
				t.Error("the layer has it, too")
			}
			w.check(l.Close())
		}
		done.Close()
		w.check(h.Close())
	}
	if seen != 1 { // where no layer is kept, the jail is that of the build alone
		t.Errorf("%d scripts of two have seen it", seen)
	}
}

// TestStrays tells the log of processes that maintainer scripts have left.
func TestStrays(t *testing.T) {
	w := newWorld(t, pack("daemon", "", script("#!/bin/sh\n")))
	w.system.Script = func(p *fakejail.Proc, _, _, _ string) int {
		p.Jail().Leave(sandbox.Stray{PID: 9, Command: "daemon --no-end"})
		return 0
	}
	if got := w.install(w.request(w.base("bookworm"), "daemon")); got.err != nil {
		t.Error(got.err)
	}
	if says := "A maintainer script left a process, which was ended: daemon --no-end"; !strings.
		Contains(w.logged(), says) {
		t.Errorf("the log does not say %q:\n%s", says, w.logged())
	}
}

// TestCopies has copies made of the packages that were installed without one.
func TestCopies(t *testing.T) {
	for _, cross := range []bool{false, true} {
		w := newWorld(t, pack("tool", "lib"), pack("lib", "", func(p *fakedebian.Package) {
			p.DataCompression = fakedebian.XZ
		}))
		r := w.request(w.base("bookworm"), "tool")
		if cross {
			r.Host = "arm64"
		}
		if got := w.install(r); got.err != nil {
			t.Fatal(got.err)
		}
		if len(w.uncopied) == 0 {
			t.Errorf("cross: %t: no copy is to be made", cross)
		}
	}
}

// TestHookedRoot tells roots apart by what hooks have made of them, and those that cannot be.
func TestHookedRoot(t *testing.T) {
	w := newWorld(t)
	r := w.request(w.base("bookworm"), "dpkg")
	keys := map[string]string{}
	for _, c := range []struct {
		name  string
		do    func(*fakejail.Proc) error
		known []string
		same  string // as which
		says  string // why it cannot be known
	}{
		{name: "unchanged"},
		{name: "a file besides", do: func(p *fakejail.Proc) error {
			return p.WriteFile("/etc/other", "", 0o644)
		}, same: "unchanged"},
		{name: "an account", do: func(p *fakejail.Proc) error {
			return p.WriteFile("/etc/passwd", "root:x:0:0::/:/bin/sh\n", 0o644)
		}},
		{name: "a diversion", do: func(p *fakejail.Proc) error {
			return p.WriteFile("/var/lib/dpkg/diversions", "/a\n/b\n:\n", 0o644)
		}},
		{name: "told otherwise", known: []string{"x"}},
		{name: "a link", do: func(p *fakejail.Proc) error {
			if err := p.Remove("/etc/group"); err != nil {
				return err
			}
			return p.Symlink("passwd", "/etc/group")
		}, says: "etc/group"},
		{name: "a directory", do: func(p *fakejail.Proc) error {
			return p.MkdirAll("/var/lib/dpkg/statoverride")
		}, says: "var/lib/dpkg/statoverride"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.fake.Programs["hook"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
				if c.do != nil {
					w.check(c.do(p))
				}
				return fakejail.Exit(0)
			}
			on, h := w.on(r)
			defer h.Close()
			j, err := h.NewJail(t.Context(), sandbox.Spec{Root: sandbox.Root{Lowers: on.Lowers}})
			w.check(err)
			_, err = j.Run(t.Context(), sandbox.Command{Argv: []string{"hook"}})
			w.check(err)
			got, err := HookedRoot(j, c.known...)
			if c.says != "" {
				if err == nil || !got.Unknowable || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || got.Unknowable {
				t.Fatalf("%+v, %v", got, err)
			}
			for _, name := range slices.Sorted(maps.Keys(keys)) {
				if (keys[name] == got.Key) != (name == c.same) {
					t.Errorf("it is like %q: %t", name, keys[name] == got.Key)
				}
			}
			if c.same == "" {
				keys[c.name] = got.Key
			}
		})
	}
}

// TestNothingInstalled asks a build that has installed nothing for what it has.
func TestNothingInstalled(t *testing.T) {
	var none *Installed
	none.Saved()
	none.Close()
	if none.Size() != 0 {
		t.Error("what is not there has a size")
	}
}

// TestExplained reads what apt has said out of a long log.
func TestExplained(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.text.Printf("Reading package lists...")
	}
	w.text.Printf("E: there is no space left")
	in := &installation{Maker: w.Maker, Request: &Request{What: "installing"}, on: On{Log: w.text}}
	err := in.failed(errors.New("exit status 100"))
	if err.Error() != "installing: exit status 100:\n  E: there is no space left" {
		t.Errorf("%q", err)
	}
}
