package bases

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
)

// TestCreated makes bases in some ways, and looks at what is in them and what is recorded.
func TestCreated(t *testing.T) {
	for _, c := range []struct {
		name    string
		options func(*Options)
		as      string            // name of the base; "" for crane
		has     map[string]string // package → version
		record  base.Manifest     // what differs from the usual one
	}{
		{name: "as it is"},
		{name: "with a package more", options: func(o *Options) { o.Include = []string{"tool"} },
			has: map[string]string{"tool": "2"}, record: base.Manifest{Include: []string{"tool"}}},
		{name: "without a package", options: func(o *Options) { o.Exclude = []string{"extra"} },
			record: base.Manifest{Exclude: []string{"extra"}}},
		{name: "another variant", options: func(o *Options) { o.Variant = "minbase" },
			has: map[string]string{"build-essential": ""}, record: base.Manifest{Variant: "minbase"}},
		{name: "another name", options: func(o *Options) { o.Name = "mine" }, as: "mine"},
		{name: "without signatures", options: func(o *Options) { o.Unverified = true },
			record: base.Manifest{Unverified: true}},
		{name: "a component", options: func(o *Options) { o.Components = []string{"main", "extra"} },
			record: base.Manifest{Components: []string{"main", "extra"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("tool", version("2")))
			w.suite.AddTo("extra", pack("rare"))
			w.server.Mount("debian", w.archive.Tree())
			var change []func(*Options)
			if c.options != nil {
				change = append(change, c.options)
			}
			o := w.options(change...)
			number, err := w.Create(t.Context(), o)
			w.check(err)
			if c.as == "" {
				c.as = "crane"
			}
			g := w.use(c.as)
			if number != 1 || g.Number != 1 {
				t.Errorf("generation %d, told was %d", g.Number, number)
			}
			for name, want := range map[string]string{"dpkg": "1.22.6", "apt": "1.0-1",
				"build-essential": "1.0-1"} {
				if _, other := c.has[name]; !other && w.has(g, name) != want {
					t.Errorf("%s %s is installed", name, w.has(g, name))
				}
			}
			for name, want := range c.has {
				if got := w.has(g, name); got != want {
					t.Errorf("%s %s is installed, want %s", name, got, want)
				}
			}
			want := c.record
			want.Format, want.Suite, want.Distribution = base.ManifestVersion, "crane",
				o.Suite.Distribution
			want.Arch, want.Bootstrapper, want.IDs = machine.Native(), "native", w.IDs
			if want.Variant == "" {
				want.Variant = "buildd"
			}
			want.Created, want.Packages = g.Manifest.Created, g.Manifest.Packages
			want.Releases = g.Manifest.Releases
			if diff := cmp.Diff(want, g.Manifest); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
			if r := g.Manifest.Releases; len(r) != 1 || r[0].Suite != "crane" || len(r[0].SHA256) !=
				64 || (len(r[0].Keys) == 0) != want.Unverified {
				t.Errorf("releases: %+v", r)
			}
			if !strings.Contains(text(g.Tree(), "etc/passwd"), "\nbuilder:x:1000:") {
				t.Error("it has no builder")
			}
			if diff := cmp.Diff([]string{"current", "gen-1"}, w.left(c.as)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if text(filepath.Dir(g.Tree()), "bootstrap.log") == "" || w.copied != 1 {
				t.Errorf("no log, or copies were asked for %d times", w.copied)
			}
		})
	}
}

// TestNotCreated has the making of bases fail, and finds nothing left of them.
func TestNotCreated(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []struct {
		name    string
		options func(*Options)
		prepare func(*world)
		says    string
		hint    string // the beginning of it
		kind    fault.Kind
		there   bool // a base that was there before
	}{
		{name: "a name that is none", options: func(o *Options) { o.Name = "../x" },
			says: "cannot be the name of a base", hint: "use letters", kind: fault.Usage},
		{name: "it exists", there: true, says: "base crane exists already (generation 1)",
			hint: "nsbuild update crane, or nsbuild create --replace crane", kind: fault.Usage},
		{name: "a package that is not there", options: func(o *Options) {
			o.Include = []string{"nosuch"}
		}, says: "making base crane: suite crane has no package nosuch to include",
			hint: "check its name", kind: fault.Usage},
		{name: "a suite that nobody knows", options: func(o *Options) {
			o.Suite, o.Mirror = suites.Custom("heron"), "mirror"
		}, says: "making base heron: dpkg ", hint: "the suite is in no table, so it was made as the "},
		{name: "no mirror", prepare: func(w *world) {
			w.server.Fault("InRelease|Release", fakedebian.Fault{Flip: 200})
		}, says: "crane"},
		{name: "a package is damaged", prepare: func(w *world) {
			w.server.Fault("pool/.*mawk", fakedebian.Fault{Flip: 30})
		}, says: "hash mismatch", hint: "the mirror is broken"},
		{name: "a script fails", prepare: func(w *world) {
			w.system.Script = func(_ *fakejail.Proc, pkg, _, _ string) int { return 4 }
			w.suite.Add(pack("apt", version("2"), script("#!/bin/sh\n")))
			w.server.Mount("debian", w.archive.Tree())
		}, says: "returned error exit status 4"},
		{name: "no holder", prepare: func(w *world) { w.fake.Fail = failing("Start", broken) },
			says: broken.Error()},
		{name: "no tree", prepare: func(w *world) { w.fake.Fail = failing("MakeRoot", broken) },
			says: broken.Error()},
		{name: "no jail", prepare: func(w *world) { w.fake.Fail = failing("NewJail", broken) },
			says: "making base crane: " + broken.Error()},
		{name: "an architecture that nobody knows", options: func(o *Options) { o.Arch = "nosuch" },
			says: `architecture "nosuch" is not known`, kind: fault.Usage, hint: "use one of"},
		{name: "a variant that nobody knows", options: func(o *Options) { o.Variant = "x" },
			says: `unknown variant "x"`, kind: fault.Usage, hint: "use one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.there {
				w.create()
			}
			if c.prepare != nil {
				c.prepare(w)
			}
			var change []func(*Options)
			if c.options != nil {
				change = append(change, c.options)
			}
			o := w.options(change...)
			if o.Mirror == "mirror" {
				o.Mirror = w.server.URL("debian")
				s := w.archive.Suite("heron")
				s.Architectures, s.Compressions = w.suite.Architectures, w.suite.Compressions
				s.Add(pack("dpkg", essential), pack("mawk"), pack("apt"),
					pack("build-essential", script("#!/bin/sh\nexit 4\n")))
				w.server.Mount("debian", w.archive.Tree())
				o.Keyring = fakedebian.Keyring(t, fakedebian.KeyArchive)
			}
			_, err := w.Create(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(
				fault.HintOf(err), c.hint) || fault.KindOf(err) != c.kind {
				t.Errorf("%v (%s, %d), want %q (%s…, %d)", err, fault.HintOf(err),
					fault.KindOf(err), c.says, c.hint, c.kind)
			}
			names, err := w.Store.Names()
			if err != nil || len(names) > 0 != c.there {
				t.Errorf("there are the bases %v, %v", names, err)
			}
			entries, err := os.ReadDir(w.Store.Dir())
			if err != nil || len(entries) > 0 != c.there {
				t.Errorf("left are %v, %v", entries, err)
			}
		})
	}
}

// TestReplaced makes a base anew, in the place of the one that is there.
func TestReplaced(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.update(pack("apt", version("2")))
	number, err := w.Create(t.Context(), w.options(func(o *Options) { o.Replace = true }))
	if g := w.use("crane"); err != nil || number != 2 || w.has(g, "apt") != "2" {
		t.Errorf("generation %d has apt %s: %v", number, w.has(g, "apt"), err)
	}
}

// TestMadeByAnother waits for another process that makes the same base. What that one has made
// counts, but where it must be of just these packages.
func TestMadeByAnother(t *testing.T) {
	for _, c := range []struct {
		name    string
		options func(*Options, string)
		number  int
		says    string
	}{
		{name: "any will do", options: func(*Options, string) {}, number: 1},
		{name: "in the place of any", options: func(o *Options, _ string) { o.Replace = true },
			number: 2},
		{name: "one whose lock is wanted", options: func(o *Options, dir string) {
			o.LockTo = filepath.Join(dir, "crane.lock")
		}, says: "was made by another nsbuild meanwhile, perhaps of other packages"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			other, err := w.Store.Begin(t.Context(), "crane", nil)
			w.check(err)
			o := w.options(func(o *Options) { c.options(o, t.TempDir()) })
			done := make(chan error)
			number := 0
			go func() {
				var err error
				number, err = w.Create(t.Context(), o)
				done <- err
			}()
			w.waitFor("another nsbuild is making base crane; waiting for it")
			w.check(os.Mkdir(other.Tree(), 0o755))
			_, err = other.Commit(base.Manifest{Suite: "crane"})
			w.check(err)
			err = <-done
			if c.says == "" && err != nil || number != c.number || c.says != "" && (err == nil ||
				!strings.Contains(err.Error(), c.says)) {
				t.Errorf("generation %d, %v; want %d, %q", number, err, c.number, c.says)
			}
			for _, name := range w.left("crane") {
				if strings.HasPrefix(name, "draft") {
					t.Errorf("%s is left", name)
				}
			}
			if o.LockTo != "" {
				entries, err := os.ReadDir(filepath.Dir(o.LockTo))
				if err != nil || len(entries) > 0 {
					t.Errorf("left beside the lock: %v, %v", entries, err)
				}
			}
		})
	}
}

// TestStopped ends the making of a base where the user wants that, and deletes what there is of it.
func TestStopped(t *testing.T) {
	w := newWorld(t, pack("tool", script("#!/bin/sh\n")))
	ctx, cancel := context.WithCancel(t.Context())
	w.system.Script = func(*fakejail.Proc, string, string, string) int {
		cancel()
		<-ctx.Done()
		return 1
	}
	_, err := w.Create(ctx, w.options(func(o *Options) { o.Include = []string{"tool"} }))
	if fault.KindOf(err) != fault.Interrupted {
		t.Errorf("%v", err)
	}
	if left := w.left("crane"); left != nil {
		t.Errorf("left: %v", left)
	}
	// one that cannot be deleted in time is the next command's
	w.fake.Fail = failing("RemoveTree", context.DeadlineExceeded)
	w.system.Script = func(*fakejail.Proc, string, string, string) int { return 1 }
	_, err = w.Create(t.Context(), w.options(func(o *Options) { o.Include = []string{"tool"} }))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if left := w.left("crane"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	w.fake.Fail, w.system.Script = nil, nil
	w.create()
	if diff := cmp.Diff([]string{"current", "gen-1"}, w.left("crane")); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestSwept deletes what nobody uses any more when the next base is made, and goes on where that is
// not possible.
func TestSwept(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  error
		warns string
		left  []string
	}{
		{name: "an old generation", left: []string{"current", "gen-2"}},
		{name: "one that cannot be deleted", fail: errors.New("input/output error"),
			warns: "base crane: what nobody uses any more cannot be deleted: ",
			left:  []string{"current", "gen-1", "gen-2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			for range 2 {
				_, err := w.Create(t.Context(), w.options(func(o *Options) { o.Replace = true }))
				w.check(err)
			}
			w.fake.Fail = failing("RemoveTree", c.fail)
			_, err := w.Create(t.Context(), w.options(func(o *Options) { o.Name = "other" }))
			w.check(err)
			var left []string
			for _, name := range w.left("crane") {
				if !strings.HasPrefix(name, "draft-") && !strings.Contains(name, "old") {
					left = append(left, name)
				}
			}
			if said := w.said(logrus.WarnLevel); !strings.HasPrefix(said, c.warns) || (said == "") !=
				(c.warns == "") {
				t.Errorf("warnings: %q, want %q", said, c.warns)
			}
			if diff := cmp.Diff(c.left, left); diff != "" && c.fail == nil {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOldSuite tells of a suite whose support has ended.
func TestOldSuite(t *testing.T) {
	w := newWorld(t)
	w.create(func(o *Options) { o.Suite.EOL = time.Date(2020, 6, 30, 0, 0, 0, 0, time.UTC) })
	if says := "suite crane: its support ended on 2020-06-30"; !strings.Contains(
		w.said(logrus.InfoLevel), says) {
		t.Errorf("it was not said: %s", says)
	}
}

// TestRemoved deletes a base, and refuses one that is not there or in use.
func TestRemoved(t *testing.T) {
	w := newWorld(t)
	g, err := w.Create(t.Context(), w.options())
	w.check(err)
	used, err := w.Store.Use("crane")
	w.check(err)
	if _, err := w.Remove(t.Context(), "crane"); err == nil {
		t.Errorf("generation %d was removed while it was in use", g)
	}
	w.check(used.Close())
	_, err = w.Remove(t.Context(), "crane")
	w.check(err)
	if left := w.left("crane"); left != nil {
		t.Errorf("left: %v", left)
	}
	if _, err := w.Remove(t.Context(), "crane"); !errors.Is(err, base.ErrNone) {
		t.Errorf("a base that is not there: %v", err)
	}
	w.fake.Fail = failing("Start", errFull)
	if _, err := w.Remove(t.Context(), "crane"); !errors.Is(err, errFull) {
		t.Errorf("without a holder: %v", err)
	}
}

// TestRequire refuses a base that is not there, and tells which may have been meant.
func TestRequire(t *testing.T) {
	w := newWorld(t)
	w.create()
	for name, hint := range map[string]string{"crane": "", "cranes": "did you mean crane?",
		"bookworm": "nsbuild list shows those that there are, nsbuild create --name bookworm " +
			"SUITE makes it"} {
		err := w.Require(name)
		if (err == nil) != (hint == "") || fault.HintOf(err) != hint {
			t.Errorf("%s: %v (%s)", name, err, fault.HintOf(err))
		}
	}
}
