package pkgbuild

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// TestLintianOfSets: lintian looks at each set by itself, and sees the packages and nothing else.
// How it fails is told.
func TestLintianOfSets(t *testing.T) {
	w := newWorld(t)
	w.suite.Add(fakedebian.Package{Name: "lintian", Version: "2.1", Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick})
	w.publish()
	dir := t.TempDir()
	was, is := filepath.Join(dir, "was"), filepath.Join(dir, "is")
	w.write(filepath.Join(was, "-a_1_all.deb"), "one")
	w.write(filepath.Join(is, "-a_2_all.deb"), "two")
	w.write(filepath.Join(is, "b_2_all.deb"), "three")
	w.write(filepath.Join(is, "b_2_all.dsc"), "not a package")
	looks := func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		entries, err := p.ReadDir(".")
		if err != nil {
			return p.Fail(err)
		}
		p.Printf("E: a: of-files [%d]\nN: a note\nW: a: %s\n", len(entries),
			strings.Join(p.Argv[3:], "-"))
		return sandbox.Status{Code: 2} // an error
	}
	for _, c := range []struct {
		name    string
		program fakejail.Program
		tags    [][]string
		err     string
	}{
		{"it looks", looks, [][]string{{"E: a: of-files [1]", "W: a: ./-a_1_all.deb"},
			{"E: a: of-files [2]", "W: a: ./-a_2_all.deb-./b_2_all.deb"}}, ""},
		{"it has nothing to say", fakejail.Prints("", 0), [][]string{nil, nil}, ""},
		{"it breaks down", fakejail.Prints("Can't locate Moo.pm\n", 255), nil,
			"lintian: exit status 255; its last words: "},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("lintian", c.program)
			e := w.open(t.Context())
			defer e.end()
			tags, suite, err := e.Lintian(t.Context(), Tool{Suite: suiteName},
				[]string{filepath.Join(was, "-a_1_all.deb")},
				[]string{filepath.Join(is, "-a_2_all.deb"), filepath.Join(is, "b_2_all.deb")})
			if c.err == "" && err != nil || c.err != "" && (err == nil ||
				!strings.Contains(err.Error(), c.err)) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.tags, tags); diff != "" || suite != suiteName {
				t.Errorf("of %q: %s", suite, diff)
			}
		})
	}
	w.in("a suite that is not known", func(t *testing.T) {
		e := w.open(t.Context())
		defer e.end()
		if _, _, err := e.Lintian(t.Context(), Tool{Suite: "nowhere"}); err == nil ||
			!strings.Contains(err.Error(), "nowhere") {
			t.Error(err)
		}
	})
}
