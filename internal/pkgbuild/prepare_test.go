package pkgbuild

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
)

// TestUnknownSource: that the archive has no source of a name is found before a base is made for
// it.
func TestUnknownSource(t *testing.T) {
	w := newWorld(t)
	w.suite.AddSource(crane())
	w.publish()
	w.check(os.RemoveAll(filepath.Join(w.dir, "state", "bases")))
	for _, from := range []string{"hell", "hell/" + suiteName, "hello=99"} {
		b := w.build(from)
		if fault.KindOf(b.err) != fault.GivenBack || !strings.Contains(b.err.Error(), "hell") ||
			strings.Contains(b.err.Error(), "making base") || len(b.jails.Calls()) > 0 {
			t.Errorf("%s: %v, after %v", from, b.err, b.jails.Calls())
		}
		if got := b.result.Source.From; got != from || b.result.Outcome.Status != "given-back" {
			t.Errorf("the result is of %s: %+v", got, b.result.Outcome)
		}
	}
}

// TestUnknownAdditions: neither is one made for what is to be added and is not there.
func TestUnknownAdditions(t *testing.T) {
	w := newWorld(t)
	dsc := w.source(crane())
	w.check(os.RemoveAll(filepath.Join(w.dir, "state", "bases")))
	for says, with := range map[string]func(*Request){
		"nosuch.deb": func(r *Request) { r.Packages = []string{"nosuch.deb"} },
		"extra repository": func(r *Request) {
			r.Repositories = []string{"deb " + w.mirror.URL("debian") + " nosuch main"}
		},
	} {
		b := w.build(dsc, with)
		if b.err == nil || !strings.Contains(b.err.Error(), says) || len(b.jails.Calls()) > 0 {
			t.Errorf("%s: %v, after %v", says, b.err, b.jails.Calls())
		}
	}
}

// TestOutputGoesAgain: a directory for results that was made is not left empty.
func TestOutputGoesAgain(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	made, there := filepath.Join(t.TempDir(), "made"), t.TempDir()
	early := func(dir string) func(*Request) {
		return func(r *Request) { r.Output, r.Packages = dir, []string{"nosuch.deb"} }
	}
	for _, dir := range []string{made, there} {
		w.build(spec, early(dir))
		if _, err := os.Stat(dir); os.IsNotExist(err) != (dir == made) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	w.replace("dpkg-buildpackage", fakejail.Prints("make: *** Error 1\n", 2))
	w.build(spec, func(r *Request) { r.Output = made })
	if left, err := os.ReadDir(made); err != nil || len(left) == 0 {
		t.Errorf("the log of a failed build: %v, %v", left, err)
	}
}

// changelog has an entry for each distribution, the newest first.
func changelog(distributions ...string) fakedebian.File {
	var text strings.Builder
	for _, d := range distributions {
		text.WriteString("hello (2.10-3) " + d + "; urgency=low\n\n  * x\n\n" +
			" -- A <a@b.example>  Mon, 01 Jan 2024 00:00:00 +0000\n\n")
	}
	return fakedebian.File{Path: "changelog", Body: text.String()}
}

// TestAnnounced: the first that is said is what is built for what, and how a changelog was taken
// that names no suite yet.
func TestAnnounced(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		distributions, asked, says string
	}{
		{"crane", "", ""},
		{"UNRELEASED UNRELEASED nowhere crane crane-more", "", " · UNRELEASED: crane"},
		{"unreleased crane", "", " · UNRELEASED: crane"},
		{"UNRELEASED nowhere", "crane", ""},
		{"nowhere crane", "crane", ""},
	} {
		s := crane()
		s.Debian = []fakedebian.File{changelog(strings.Fields(c.distributions)...)}
		r := w.request(w.tree(s))
		r.Suite = c.asked
		e := w.open(t.Context())
		o, err := e.Build(t.Context(), r)
		if err != nil || o.Result.Target.Distribution != "crane" {
			t.Errorf("%s: for %s: %v", c.distributions, o.Result.Target.Distribution, err)
		}
		first, want := e.said.AllEntries()[0], "hello 2.10-3 · crane "+w.arch+c.says
		if first.Message != want || first.Data[LogPlain] == nil {
			t.Errorf("%s: the first that is said is %q", c.distributions, first.Message)
		}
		e.end()
	}
	b := w.build(w.tree(fakedebian.Source{Name: "hello", Version: "2.10-3",
		Debian: []fakedebian.File{changelog("nowhere", "crane")}}),
		func(r *Request) { r.Suite = "" })
	if b.err == nil || !strings.Contains(b.err.Error(), "the changelog's distribution: ") {
		t.Errorf("a suite that nobody knows: %v", b.err)
	}
}
