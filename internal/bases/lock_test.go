package bases

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
	"nsbuild/internal/lock"
	"nsbuild/internal/machine"
)

// locked makes a base with a lock, and changes the suite afterwards.
func locked(t *testing.T, w *world) *lock.File {
	t.Helper()
	file := filepath.Join(t.TempDir(), "crane.lock")
	w.create(func(o *Options) { o.LockTo, o.Include = file, []string{"tool"} })
	w.update(pack("apt", version("2")), pack("tool", version("4")))
	f, err := lock.Read(file)
	w.check(err)
	return f
}

// again makes the base of a lock anew.
func (w *world) again(f *lock.File, change ...func(*Options)) error {
	w.t.Helper()
	o, err := LockedOptions(f, w.Suites)
	w.check(err)
	o.Name = "again"
	for _, c := range change {
		c(&o)
	}
	_, err = w.Create(w.t.Context(), o)
	return err
}

// TestLocked makes a base of what a lock names: of the packages as they were, whatever the suite
// has by now, and without asking for its lists. It is never brought up to date.
func TestLocked(t *testing.T) {
	for _, c := range []struct {
		name   string
		mirror string // its place on the server; "" for that of the lock
	}{{"where the lock says", ""}, {"from another mirror", "other"}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack("tool", version("3")))
			f := locked(t, w)
			w.server.Mount("other", w.archive.Tree())
			w.server.ResetCounts()
			// what was fetched for the lock is fetched once more
			w.Keeper = newKeeper(t, w)
			w.check(w.again(f, func(o *Options) {
				if c.mirror != "" {
					o.Mirror = w.server.URL(c.mirror)
				}
			}))
			g := w.use("again")
			if w.has(g, "apt") != "1.0-1" || w.has(g, "tool") != "3" {
				t.Errorf("apt %s, tool %s", w.has(g, "apt"), w.has(g, "tool"))
			}
			from := "debian"
			if c.mirror != "" {
				from = c.mirror
			}
			if n := w.server.Count("dists/"); n > 0 {
				t.Errorf("it was asked for lists %d times", n)
			}
			if w.server.Count("^"+from+"/pool/") == 0 || w.server.Count(".") != w.server.Count("^"+
				from+"/pool/") {
				t.Errorf("requests: %+v", w.server.Requests())
			}
			if g.Manifest.Lock != f.Digest || len(g.Manifest.Include) != 1 ||
				len(g.Manifest.Releases) != 1 || g.Manifest.Releases[0].SHA256 !=
				f.Repositories[0].SHA256 {
				t.Errorf("%+v", g.Manifest)
			}
			if _, _, err := w.Update(t.Context(), "again", Hooks{}); !errors.Is(err, ErrLocked) {
				t.Errorf("it is brought up to date: %v", err)
			}
			used, err := w.Store.Use("again")
			w.check(err)
			releases, err := w.releases(t.Context(), g.Manifest)
			w.check(err)
			used, err = w.Renew(t.Context(), used, releases, nil)
			if err != nil || used.Number != 1 {
				t.Errorf("%+v, %v", used, err)
			}
			w.check(used.Close())
		})
	}
}

// TestLockGone tells what to do about a lock whose packages the mirror has no longer.
func TestLockGone(t *testing.T) {
	w := newWorld(t, pack("tool", version("3")))
	f := locked(t, w)
	w.Keeper = newKeeper(t, w)
	w.server.Fault("pool/.*tool", fakedebian.Fault{Status: 404})
	err := w.again(f)
	hint := "name a mirror that keeps old versions: --mirror 'deb [check-valid-until=no] URL " +
		"crane main' as of " + f.Repositories[0].Date.UTC().Format("2006-01-02 15:04 UTC")
	if says := f.Name + " asks for a version that is no longer there: "; err == nil ||
		!strings.HasPrefix(err.Error(), says) || fault.HintOf(err) != hint {
		t.Errorf("%v (%s), want %q (%s)", err, fault.HintOf(err), says, hint)
	}
	if left := w.left("again"); left != nil {
		t.Errorf("left: %v", left)
	}
}

// TestLockRefused refuses locks where packages are not nsbuild's to choose, and those that another
// nsbuild wrote.
func TestLockRefused(t *testing.T) {
	w := newWorld(t, pack("tool", version("3")))
	f := locked(t, w)
	for _, c := range []struct {
		name    string
		options func(*Options)
		says    string
	}{
		{"a lock of debootstrap", func(o *Options) {
			o.Bootstrapper, o.LockTo = "debootstrap", filepath.Join(t.TempDir(), "x")
		}, "--lock needs the native bootstrapper: debootstrap chooses"},
		{"a locked base of mmdebstrap", func(o *Options) {
			o.Bootstrapper, o.Locked = "mmdebstrap", f
		}, "--locked needs the native bootstrapper: mmdebstrap chooses"},
	} {
		_, err := w.Create(t.Context(), w.options(c.options))
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := w.Create(t.Context(), w.options(func(o *Options) {
		o.Name, o.LockTo = "x", filepath.Join(t.TempDir(), "no", "such")
	})); err == nil || w.left("x") != nil {
		t.Errorf("a lock that cannot be written: %v; left: %v", err, w.left("x"))
	}
	strange := *f
	strange.Layout = []string{"upside-down"}
	if _, err := LockedOptions(&strange, w.Suites); fault.KindOf(err) != fault.Usage ||
		!strings.Contains(err.Error(), "layout: ") {
		t.Errorf("%v", err)
	}
	// a suite that only the lock's maker knew
	strange = *f
	strange.Suite = "heron"
	o, err := LockedOptions(&strange, suites.New())
	if err != nil || o.Suite.Name != "heron" || o.Suite.Distribution != "" {
		t.Errorf("%+v, %v", o.Suite, err)
	}
}

// TestWithoutLogins keeps user names and passwords out of locks.
func TestWithoutLogins(t *testing.T) {
	for given, want := range map[string][]string{
		"":                             nil,
		"http://mirror.example/debian": {"http://mirror.example/debian"},
		"https://joe:secret@mirror.example/debian\n\n file:/srv/mirror \n": {
			"https://mirror.example/debian", "file:/srv/mirror"},
		"deb [trusted=yes] http://joe@mirror.example crane main": {
			"deb [trusted=yes] http://mirror.example crane main"},
		"http://joe:s@cret@mirror.example": {"http://mirror.example"},
		"http://mirror.example/a@b":        {"http://mirror.example/a@b"},
	} {
		if diff := cmp.Diff(want, withoutLogins(given)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", given, diff)
		}
	}
}

// TestRememberedRepos are those that a base was made of, as they are chosen now: with the options
// of then, also where no table knows its suite any more.
func TestRememberedRepos(t *testing.T) {
	w := newWorld(t)
	w.Suites = suites.New()
	m := base.Manifest{Suite: "crane", Arch: machine.Native(), Unverified: true,
		Components: []string{"main", "extra"}, Mirror: w.server.URL("debian")}
	repos, err := w.RememberedRepos(m)
	if err != nil || len(repos) == 0 || repos[0].URI != w.server.URL("debian") ||
		repos[0].Suite != "crane" || !repos[0].Trusted {
		t.Errorf("%+v, %v", repos, err)
	}
	if diff := cmp.Diff([]string{"main", "extra"}, repos[0].Components); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	m.Keyring, m.Unverified = "/keys.gpg", false
	if repos, err = w.RememberedRepos(m); err != nil || repos[0].Trusted {
		t.Errorf("%+v, %v", repos, err)
	}
	if diff := cmp.Diff([]string{"/keys.gpg"}, repos[0].Keyrings); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
