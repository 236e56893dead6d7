package sources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestBuildRefuses builds sources with every fault: none gets as far as the build.
func TestBuildRefuses(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w, all := e2e.ExcerptWorld(t), e2e.RealWorld(t) // which has sources, too
	testenv.HostState(t)
	replace := func(old, by string) func(string) string {
		return func(dsc string) string { return strings.ReplaceAll(dsc, old, by) }
	}
	for _, c := range []struct {
		name   string
		mutate func(dsc string) string
		damage func(t *testing.T, tarball string)
		spec   string
		source fakedebian.Source
		early  bool // before there is a log, so before anything is made
		want   e2e.Refusal
	}{
		{name: "missing file", early: true, damage: func(t *testing.T, f string) {
			e2e.Check(t, os.Remove(f))
		}, want: e2e.Refusal{Status: 3, Says: []string{"bad_1.0.tar.xz", "is listed, but not there"},
			Hint: "fetch the source package again"}},
		{name: "wrong size", early: true, damage: func(t *testing.T, f string) {
			e2e.Check(t, os.Truncate(f, 100))
		}, want: e2e.Refusal{
			Status: 3, Says: []string{"bad_1.0.tar.xz", "expected", "bytes, found 100"},
			Hint: "fetch the source package again"}},
		{name: "wrong hash", damage: flip,
			want: e2e.Refusal{Status: 3, Says: []string{"bad_1.0.tar.xz", "expected MD5"},
				Hint: "fetch the source package again"}},
		{name: "path that leads out", mutate: replace("bad_1.0.tar.xz", "../bad_1.0.tar.xz"),
			want: e2e.Refusal{Status: 3, Says: []string{"../bad_1.0.tar.xz"},
				Hint: "fetch the source package again"}},
		{name: "two Source fields",
			mutate: replace("Source: bad\n", "Source: bad\nSource: worse\n"),
			want: e2e.Refusal{Status: 3, Says: []string{"field Source: "},
				Hint: "fetch the source package again"}},
		{name: "no Source field", mutate: replace("Source: bad\n", ""),
			want: e2e.Refusal{Status: 3, Says: []string{"field Source: "},
				Hint: "fetch the source package again"}},
		{name: "no such package", spec: "nosuchpackage",
			want: e2e.Refusal{Status: 3, Says: []string{"source package nosuchpackage in bookworm",
				"no such package"}, Hint: "did you mean"}},
		{name: "no such version", spec: "hello=99.9",
			want: e2e.Refusal{Status: 3, Says: []string{"hello=99.9", "no such version"},
				Hint: "there is 2."}},
		{name: "unsatisfiable dependencies",
			source: fakedebian.Source{BuildDepends: "no-such-package (>= 7)"},
			want: e2e.Refusal{Status: 3, Says: []string{"installing the build dependencies",
				"Depends: no-such-package (>= 7) but it is not installable"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := *w
			if c.spec != "" {
				here = *all
			}
			here.Dir = t.TempDir()
			spec := c.spec
			if spec == "" {
				c.source.Name, c.source.Version, c.source.Mutate = "bad", "1.0", c.mutate
				spec = here.WriteSource(t, c.source)
			}
			if c.damage != nil {
				c.damage(t, filepath.Join(here.Dir, "bad_1.0.tar.xz"))
			}
			o := here.Run(t, "build", "-d", "bookworm", spec)
			c.want.Check(t, o)
			for _, name := range here.Files(t) {
				if strings.HasSuffix(name, ".deb") || strings.HasSuffix(name, ".changes") ||
					strings.HasPrefix(name, ".") || c.early && strings.HasSuffix(name, ".build") {
					t.Errorf("left: %s", name)
				}
			}
		})
	}
}

// flip changes a byte in the middle of a file.
func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	e2e.Check(t, err)
	data[len(data)/2] ^= 0xff
	e2e.Check(t, os.WriteFile(file, data, 0o644))
}
