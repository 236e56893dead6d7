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

	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// ranIn are the programs that were run in jails: their names, and what apt is to do.
func ranIn(m *fakejail.Maker) []string {
	var out []string
	for _, c := range m.Calls("Run") {
		line := filepath.Base(c.Args[0])
		if line == "apt-get" {
			if strings.Contains(strings.Join(c.Args, " "), "--print-uris") {
				line += " --print-uris"
			}
			line += " " + c.Args[len(c.Args)-1]
		}
		if line != "rm" {
			out = append(out, line)
		}
	}
	return out
}

// hooksOf are hooks of a base's operations: the stages that have one, each a program that is called
// as its stage.
func hooksOf(t *testing.T, o hook.Operation, files ...string) Hooks {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		name, text, _ := strings.Cut(name, "=")
		file := filepath.Join(dir, name)
		mode := os.FileMode(0o755)
		if text != "" {
			mode = 0o644
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	set, err := hook.Load(hook.Options{Operation: o, Hooks: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	return Hooks{Set: set}
}

// TestUpdate brings a base up to date after what has happened on the mirror: a generation is made
// where something is newer, or hooks are to run.
func TestUpdate(t *testing.T) {
	asksNews, upgrades := "apt-get --print-uris dist-upgrade", "apt-get dist-upgrade"
	for _, c := range []struct {
		name   string
		before func(w *world)
		hooks  []string
		after  int // number of the generation
		apt    string
		ran    []string
	}{
		{name: "nothing", after: 1, apt: "1.0-1"},
		{name: "another package is new", before: func(w *world) { w.update(pack("other")) },
			after: 1, apt: "1.0-1", ran: []string{asksNews}},
		{name: "a package is newer", before: func(w *world) {
			w.update(pack("apt", version("2")))
		}, after: 2, apt: "2", ran: []string{asksNews, asksNews, upgrades}},
		{name: "hooks", hooks: []string{"start.d/first", "updated.d/last"}, after: 2, apt: "1.0-1",
			ran: []string{"first", asksNews, upgrades, "last"}},
		{name: "hooks, and a package is newer", before: func(w *world) {
			w.update(pack("apt", version("2")))
		}, hooks: []string{"updated.d/last"}, after: 2, apt: "2",
			ran: []string{asksNews, upgrades, "last"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			old := w.create()
			if c.before != nil {
				c.before(w)
			}
			for _, name := range []string{"first", "last"} {
				w.fake.Programs[name] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
					w.check(p.WriteFile("/etc/"+name, name, 0o644))
					p.Printf("%s was here\n", name)
					return fakejail.Exit(0)
				}
			}
			var hooks Hooks
			if c.hooks != nil {
				hooks = hooksOf(t, hook.Update, c.hooks...)
			}
			w.fake.Forget()
			before, after, err := w.Update(t.Context(), "crane", hooks)
			if err != nil || before != 1 || after != c.after {
				t.Errorf("from generation %d to %d: %v; want %d", before, after, err, c.after)
			}
			if diff := cmp.Diff(c.ran, ranIn(w.fake)); diff != "" {
				t.Errorf("programs (-want +got):\n%s", diff)
			}
			g := w.use("crane")
			if got := w.has(g, "apt"); got != c.apt {
				t.Errorf("it has apt %s", got)
			}
			if g.Manifest.Releases[0].Date.Equal(w.suite.Date) != true {
				t.Errorf("the manifest has the news of %v", g.Manifest.Releases[0].Date)
			}
			hooked := c.hooks != nil
			log := text(filepath.Dir(g.Tree()), hooksLog)
			if (g.Manifest.Digest != "") != hooked ||
				(text(g.Tree(), "etc/last") != "") != hooked ||
				strings.Contains(log, "last was here") != hooked {
				t.Errorf("hooks have left their marks: %t; digest %q", !hooked, g.Manifest.Digest)
			}
			if w.has(old, "apt") != "1.0-1" || text(old.Tree(), "etc/last") != "" {
				t.Error("the generation before was changed")
			}
			// nothing is left to be done
			w.fake.Forget()
			if _, again, err := w.Update(t.Context(), "crane", Hooks{}); err != nil ||
				again != c.after || len(ranIn(w.fake)) > 0 {
				t.Errorf("once more: generation %d, %v, %q", again, err, ranIn(w.fake))
			}
		})
	}
}

// TestNotUpdated has updates fail: the base stays as it was, and is not in use any more.
func TestNotUpdated(t *testing.T) {
	broken := errors.New("input/output error")
	news := func(w *world) { w.update(pack("apt", version("2"))) }
	for _, c := range []struct {
		name    string
		base    string // default crane
		prepare func(*world)
		hooks   []string
		says    string
		kind    fault.Kind
	}{
		{name: "no such base", base: "heron", says: "base heron: no such base"},
		{name: "no mirror", prepare: func(w *world) {
			news(w)
			w.server.Fault("InRelease|Release", fakedebian.Fault{Flip: 200})
		}, says: "crane"},
		{name: "no holder", prepare: func(w *world) {
			news(w)
			w.fake.Fail = failing("Start", broken)
		}, says: "updating base crane: " + broken.Error()},
		{name: "a damaged list", prepare: func(w *world) {
			news(w)
			w.server.Fault("Packages|by-hash", fakedebian.Fault{Flip: 20})
		}, says: "hash mismatch"},
		{name: "no jail", prepare: func(w *world) {
			news(w)
			w.fake.Fail = failing("NewJail", broken)
		}, says: broken.Error()},
		{name: "apt does not know", prepare: func(w *world) {
			news(w)
			w.fake.Programs["apt-get"] = fakejail.Prints("E: there is no space\n", 100)
		}, says: "E: there is no space"},
		{name: "no copy of the tree", prepare: func(w *world) {
			news(w)
			w.fake.Fail = failing("CopyTree", broken)
		}, says: broken.Error()},
		{name: "a package is damaged", prepare: func(w *world) {
			news(w)
			w.server.Fault("pool/", fakedebian.Fault{Flip: 20})
		}, says: "hash mismatch"},
		{name: "a script fails", prepare: func(w *world) {
			w.update(pack("apt", version("2"), script("#!/bin/sh\nexit 5\n")))
		}, says: "returned error exit status 5"},
		{name: "a hook fails", hooks: []string{"start.d/first"}, prepare: func(w *world) {
			w.fake.Programs["first"] = fakejail.Prints("I cannot\n", 7)
		}, says: "/start.d/first failed: exit status 7"},
		{name: "the last hook fails", hooks: []string{"updated.d/last"}, prepare: func(w *world) {
			w.fake.Programs["last"] = fakejail.Prints("I cannot\n", 7)
		}, says: "I cannot"},
		{name: "the status is gone", prepare: func(w *world) {
			news(w)
			apt := w.fake.Programs["apt-get"]
			w.fake.Programs["apt-get"] = func(ctx context.Context,
				p *fakejail.Proc) sandbox.Status {
				status := apt(ctx, p)
				if p.Jail().Spec.Root.Dir != "" {
					w.check(p.Remove("/var/lib/dpkg/status"))
				}
				return status
			}
		}, says: "listing what is installed"},
		{name: "the base's link is gone meanwhile", prepare: func(w *world) {
			news(w)
			w.fake.Fail = func(c fakejail.Call) error {
				if c.Op == "Run" {
					w.check(os.RemoveAll(filepath.Join(w.Store.Dir(), "crane", "current")))
				}
				return nil
			}
		}, says: "base crane: no such base"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.Create(t.Context(), w.options())
			w.check(err)
			if c.prepare != nil {
				c.prepare(w)
			}
			if c.base == "" {
				c.base = "crane"
			}
			var hooks Hooks
			if c.hooks != nil {
				hooks = hooksOf(t, hook.Update, c.hooks...)
			}
			_, _, err = w.Update(t.Context(), c.base, hooks)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			for _, name := range w.left("crane") {
				if name != "current" && name != "gen-1" {
					t.Errorf("%s is left", name)
				}
			}
			if deletions := len(w.fake.Calls("RemoveTree")); deletions > 1 {
				t.Errorf("what was made is deleted %d times", deletions)
			}
			w.fake.Fail = nil
			if names, err := w.Store.Names(); err == nil && len(names) > 0 {
				if _, err := w.Remove(t.Context(), "crane"); err != nil {
					t.Errorf("it is still in use: %v", err)
				}
			}
		})
	}
}

// TestUpdateStopped ends an update where the user wants that.
func TestUpdateStopped(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.update(pack("apt", version("2"), script("#!/bin/sh\n")))
	ctx, cancel := context.WithCancelCause(t.Context())
	w.system.Script = func(*fakejail.Proc, string, string, string) int {
		cancel(errors.New("the user has stopped it"))
		return 1
	}
	_, _, err := w.Update(ctx, "crane", Hooks{})
	if fault.KindOf(err) != fault.Interrupted || err.Error() !=
		"updating base crane: the user has stopped it" {
		t.Errorf("%v (%d)", err, fault.KindOf(err))
	}
	if diff := cmp.Diff([]string{"current", "gen-1"}, w.left("crane")); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestUpdatedByAnother waits for another process that updates the same base, and takes what that
// has made; it is looked at once more.
func TestUpdatedByAnother(t *testing.T) {
	w := newWorld(t)
	g := w.create()
	w.update(pack("apt", version("2")))
	other, err := w.Store.Begin(t.Context(), "crane", nil)
	w.check(err)
	type result struct {
		after int
		err   error
	}
	done := make(chan result)
	go func() {
		_, after, err := w.Update(t.Context(), "crane", Hooks{})
		done <- result{after, err}
	}()
	w.waitFor("another nsbuild is making base crane; waiting for it")
	w.check(os.CopyFS(other.Tree(), os.DirFS(g.Tree())))
	m := g.Manifest
	m.Releases = nil // made of something else
	_, err = other.Commit(m)
	w.check(err)
	got := <-done
	if newest := w.use("crane"); got.err != nil || got.after != 3 || w.has(newest, "apt") != "2" {
		t.Errorf("generation %d: %v", got.after, got.err)
	}
	if left := w.left("crane"); strings.Contains(strings.Join(left, " "), "draft") {
		t.Errorf("left: %v", left)
	}
}

// TestRecordFails tells of a manifest that cannot be written, and does not keep the base in use.
func TestRecordFails(t *testing.T) {
	w := newWorld(t)
	_, err := w.Create(t.Context(), w.options())
	w.check(err)
	w.update(pack("other"))
	gen := filepath.Join(w.Store.Dir(), "crane", "gen-1")
	w.fake.Fail = func(c fakejail.Call) error {
		if c.Op == "Close" && c.Jail != 0 { // apt has said that nothing is newer
			w.check(os.Rename(gen, gen+"-away"))
		}
		return nil
	}
	if _, _, err = w.Update(t.Context(), "crane", Hooks{}); err == nil {
		t.Error("it is said to be recorded")
	}
	w.fake.Fail = nil
	w.check(os.Rename(gen+"-away", gen))
	if _, err := w.Remove(t.Context(), "crane"); err != nil {
		t.Errorf("it is still in use: %v", err)
	}
}

// named are options that a build gives.
func named(o *Options) { o.Name, o.Arch = "crane", machine.Native() }

// TestNews asks for what the mirrors have while a build gets ready, and renews the base with that.
func TestNews(t *testing.T) {
	w := newWorld(t)
	g, err := w.Take(t.Context(), w.options(named), nil)
	w.check(err)
	w.update(pack("apt", version("2")))
	news := w.Ask(t.Context(), g)
	releases, err := news.Wait()
	w.check(err)
	if Unchanged(g.Manifest, releases) {
		t.Error("nothing is said to be new")
	}
	hooked := 0
	hooks := func() (Hooks, error) { hooked++; return Hooks{}, nil }
	if g, err = w.Renew(t.Context(), g, releases, hooks); err != nil || g.Number != 2 ||
		w.has(g, "apt") != "2" || hooked != 1 {
		t.Errorf("%+v, %v; asked %d times for hooks", g, err, hooked)
	}
	// once more, with the same news: nothing is to be done, not even to ask for hooks
	if g, err = w.Renew(t.Context(), g, releases, hooks); err != nil || g.Number != 2 ||
		hooked != 1 || !Unchanged(g.Manifest, releases) {
		t.Errorf("%+v, %v; asked %d times for hooks", g, err, hooked)
	}
	w.check(g.Close())

	// hooks that cannot be had
	w.update(pack("apt", version("3")))
	g, err = w.Store.Use("crane")
	w.check(err)
	news = w.Ask(t.Context(), g)
	releases, err = news.Wait()
	w.check(err)
	none := errors.New("there are no hooks")
	if _, err = w.Renew(t.Context(), g, releases, func() (Hooks, error) {
		return Hooks{}, none
	}); !errors.Is(err, none) {
		t.Error(err)
	}
	g, err = w.Store.Use("crane")
	w.check(err)

	// a mirror that is broken is no fault of the package that was to be built
	w.update()
	w.server.Fault("InRelease|Release", fakedebian.Fault{Flip: 200})
	if _, err := w.Ask(t.Context(), g).Wait(); fault.KindOf(err) != fault.GivenBack {
		t.Errorf("%v", err)
	}
	// nobody waits for an answer that is no longer wanted
	w.server.Heal()
	w.server.Fault("InRelease|Release", fakedebian.Fault{Hang: true})
	given := w.Ask(t.Context(), g)
	given.End()
	if _, err := given.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	w.check(g.Close())
}

// TestTurns has builds of one command that need the same base make it once.
func TestTurns(t *testing.T) {
	w := newWorld(t)
	completed := 0
	as := func(o Options) (Options, error) { completed++; return o, nil }
	type taken struct {
		g   *base.Generation
		err error
	}
	all := make(chan taken)
	for range 3 {
		o := w.options(named)
		go func() {
			g, err := w.Take(t.Context(), o, as)
			all <- taken{g, err}
		}()
	}
	for range 3 {
		got := <-all
		if got.err != nil || got.g.Number != 1 {
			t.Fatalf("%+v", got)
		}
		w.check(got.g.Close())
	}
	if completed != 1 || len(w.fake.Holders()) != 1 {
		t.Errorf("it was made %d times, with %d holders", completed, len(w.fake.Holders()))
	}

	// whose turn does not come may give up
	release, err := w.Turns.alone(t.Context(), "base crane")
	w.check(err)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("the user has stopped it")
	cancel(stopped)
	if _, err := w.Take(ctx, w.options(named), as); !errors.Is(err, stopped) {
		t.Error(err)
	}
	g, err := w.Store.Use("crane")
	w.check(err)
	if _, err := w.Renew(ctx, g, nil, nil); !errors.Is(err, stopped) {
		t.Error(err)
	}
	lists, err := w.Turns.alone(t.Context(), "lists of crane")
	w.check(err)
	g, err = w.Store.Use("crane")
	w.check(err)
	if _, err := w.Ask(ctx, g).Wait(); !errors.Is(err, stopped) {
		t.Error(err)
	}
	w.check(g.Close())
	lists()
	release()
	_, err = w.Remove(t.Context(), "crane")
	w.check(err) // nobody has it in use

	// what it would be made as cannot be said, or it cannot be made
	unsaid := errors.New("no such suite")
	if _, err := w.Take(t.Context(), w.options(named), func(o Options) (Options, error) {
		return o, unsaid
	}); !errors.Is(err, unsaid) || !strings.HasPrefix(err.Error(), "making base crane: ") {
		t.Error(err)
	}
	w.fake.Fail = failing("Start", errFull)
	if _, err := w.Take(t.Context(), w.options(named), as); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

// TestHooksOfCreate runs hooks when a base is made, with the packages and the caches that they
// want, and leaves nothing of them but what they did.
func TestHooksOfCreate(t *testing.T) {
	w := newWorld(t, pack("tool"))
	seen := ""
	w.fake.Programs["first"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if _, err := p.ReadFile("/usr/share/tool/file"); err == nil {
			seen = p.Getenv("NSBUILD_OPERATION") + " with tool"
		}
		w.check(p.WriteFile("/etc/hooked", "yes", 0o644))
		p.Jail().Leave(sandbox.Stray{PID: 5, Command: "daemon"})
		return fakejail.Exit(0)
	}
	hooks := hooksOf(t, hook.Create, "created.d/first", "hook.conf=Depends: tool\nCache: yes\n")
	g := w.create(func(o *Options) { o.Hooks = hooks })
	if seen == "" || text(g.Tree(), "etc/hooked") != "yes" || w.has(g, "tool") != "1.0-1" {
		t.Errorf("the hook has seen %q; tool %s", seen, w.has(g, "tool"))
	}
	if _, err := os.Stat(filepath.Join(g.Tree(), "run/nsbuild-hooks/files")); err == nil {
		t.Error("the hook's files are left in the base")
	}
	if says := "left a process, which was ended: daemon"; !strings.Contains(
		w.said(logrus.WarnLevel), says) {
		t.Errorf("it was not said: %s", says)
	}
	log := text(filepath.Dir(g.Tree()), hooksLog)
	for _, says := range []string{"== ", "/created.d/first'.", "/created.d/first left a process"} {
		if !strings.Contains(log, says) {
			t.Errorf("the log does not say %q:\n%s", says, log)
		}
	}
}
