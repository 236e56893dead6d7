package pkgbuild

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
)

// TestEach is the order of the builds of a command, and what each of them builds.
func TestEach(t *testing.T) {
	s := Several{Sources: []string{"a", "b"}, Matrix: Matrix{Suites: []string{"sid", "woody/updates"},
		Archs: []string{"amd64", "i386"}}}
	s.ArchAny, s.ArchAll, s.Source = true, true, true
	type build struct {
		Label, Suite, Arch, Under string
		ArchAll, Source           bool
	}
	var all []build
	for _, r := range s.Each() {
		all = append(all, build{s.label(&r), r.Suite, r.Arch, r.Under, r.ArchAll, r.Source})
	}
	if diff := cmp.Diff([]build{
		{"a sid amd64", "sid", "amd64", "sid", true, true},
		{"a sid i386", "sid", "i386", "sid", false, false},
		{"a woody/updates amd64", "woody/updates", "amd64", "woody-updates", true, true},
		{"a woody/updates i386", "woody/updates", "i386", "woody-updates", false, false},
	}, all[:4]); diff != "" {
		t.Error(diff)
	}
	if len(all) != 8 || all[4].Label != "b sid amd64" || !s.Many() {
		t.Errorf("%+v", all)
	}
}

// TestListed reads what a flag lists.
func TestListed(t *testing.T) {
	var s Several
	for text, want := range map[string][]string{"": nil, "sid": nil,
		"trixie, sid": {"trixie", "sid"}} {
		if all, err := s.Listed("dist", text); err != nil || !slices.Equal(all, want) {
			t.Errorf("%q: %q, %v", text, all, err)
		}
	}
	for text, says := range map[string]string{"sid,": "--dist sid,: a value is empty",
		",": "--dist ,: a value is empty", "sid,sid": "--dist sid,sid: sid is named twice"} {
		if _, err := s.Listed("dist", text); err == nil || err.Error() != says ||
			fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestMatrix builds a source for two suites: each has a directory of its own for results of the
// same names, and that of a build that failed is gone.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	const more = suiteName + "-more"
	w.makeBase(more)
	s := &Several{Request: w.request(""), Sources: []string{w.source(crane()), "nosuch"}, AtOnce: 2}
	s.ScratchSize = 0
	s.Output = filepath.Join(s.Output, "out")
	s.Suites = []string{suiteName, more}
	w.check(s.Validate())
	e := w.open(t.Context())
	defer e.end()
	var ends []string
	for _, d := range e.BuildMany(t.Context(), s, func(*Env, *Ended) {},
		func(*Env, *Outcome) { t.Error("something is kept") }) {
		ends = append(ends, d.Name+": "+string(d.Outcome.Status)+" "+
			d.Outcome.Result.Target.Distribution)
	}
	if diff := cmp.Diff([]string{"hello_2.10-3 crane: successful crane",
		"hello_2.10-3 crane-more: successful crane-more", "nosuch crane: given-back crane",
		"nosuch crane-more: given-back crane-more"}, ends); diff != "" {
		t.Error(diff)
	}
	for _, suite := range s.Suites {
		left, err := filepath.Glob(filepath.Join(s.Output, suite, "hello_2.10-3_*.changes"))
		w.check(err)
		if len(left) != 1 {
			t.Errorf("%s has %q", suite, left)
		}
	}
	s.Sources, s.Output = []string{"nosuch"}, s.Output+"2"
	e.BuildMany(t.Context(), s, func(*Env, *Ended) {}, func(*Env, *Outcome) {})
	if left, err := filepath.Glob(s.Output); err != nil || left != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}
