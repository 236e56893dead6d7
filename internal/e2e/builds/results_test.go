package builds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestHostileResults builds sources whose .changes lists what no package has.
func TestHostileResults(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	// rules make a package, and do more.
	rules := func(more string) string {
		return "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN\n" + more +
			"\tdpkg-gencontrol -p$$(sed -n '/^Package: /{s///p;q}' debian/control) " +
			"-Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n"
	}
	list := func(name, command string) string {
		return fmt.Sprintf("\t%s\n\tdpkg-distaddfile %s misc optional\n", command, name)
	}
	// listed is a hole that the .changes lists, written by a hook: dpkg-genchanges would take an
	// hour for it.
	listed := func(name string, size int64) string {
		sums := ""
		for field, digits := range map[string]int{"Checksums-Sha1:": 40, "Checksums-Sha256:": 64} {
			sums += fmt.Sprintf(`;s/^%s/&\n %s %d %s/`, field, strings.Repeat("0", digits), size,
				name)
		}
		return fmt.Sprintf(
			`--finished-build-commands=cd /build/reproducible-path && truncate -s %d %s && sed -i 's/^Files:/&\n %s %d misc optional %s/%s' *.changes`,
			size, name, strings.Repeat("0", 32), size, name, sums)
	}
	for i, c := range []struct {
		name  string
		more  string
		there map[string]string // beforehand
		args  []string
		want  e2e.Refusal
	}{
		{name: "a terabyte of nothing", args: []string{listed("huge_1.0_all.img", 1<<40)},
			want: e2e.Refusal{Status: 1, Says: []string{"lists more than 64 GiB of files (with huge_1.0_all.img)"},
				Hint: "allow it with --max-results"}},
		{name: "more than was allowed",
			more: list("big_1.0_all.img", "truncate -s 11M ../big_1.0_all.img"),
			args: []string{"--max-results=10M"},
			want: e2e.Refusal{Status: 1, Says: []string{"lists more than 10 MiB of files"},
				Hint: "allow it with --max-results"}},
		{name: "a huge .buildinfo", args: []string{listed("other_1.0_all.buildinfo", 300<<20)},
			want: e2e.Refusal{Status: 1, Says: []string{"other_1.0_all.buildinfo has 314572800 bytes"},
				Hint: "look at the end of its log"}},
		{name: "a Makefile", more: list("Makefile", "echo all: >../Makefile"),
			want: e2e.Refusal{Status: 1, Says: []string{"lists Makefile, a name that says nothing of"},
				Hint: "with --output"}},
		{name: "the caller's Makefile", more: list("Makefile", "echo all: >../Makefile"),
			there: map[string]string{"out/Makefile": "mine"}, args: []string{"--output=out"},
			want: e2e.Refusal{Status: 1, Says: []string{"/Makefile is there already", "it is not replaced"},
				Hint: "move it away"}},
		{name: "another source's package",
			more:  list("bash_9_all.deb", "echo x >../bash_9_all.deb"),
			there: map[string]string{"bash_9_all.deb": "mine"},
			want: e2e.Refusal{Status: 1, Says: []string{"/bash_9_all.deb is there already", "does not come from the source"},
				Hint: "move it away"}},
		{name: "holes that are allowed",
			more: list("hole_1.0_all.img", "truncate -s 40M ../hole_1.0_all.img"),
			want: e2e.Refusal{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := *w
			here.Dir = t.TempDir()
			for name, text := range c.there {
				e2e.Check(t, os.MkdirAll(filepath.Dir(filepath.Join(here.Dir, name)), 0o755))
				e2e.Check(t, os.WriteFile(filepath.Join(here.Dir, name), []byte(text), 0o644))
			}
			source := here.WriteSource(t, fakedebian.Source{Name: fmt.Sprintf("hostile%d", i),
				Version: "1.0", Format: fakedebian.FormatNative, Rules: rules(c.more)})
			o := here.Run(t, append(append([]string{"build", "-d", "bookworm"}, c.args...),
				source)...)
			c.want.Check(t, o)
			for name, text := range c.there {
				if got := e2e.Read(t, filepath.Join(here.Dir, name)); got != text {
					t.Errorf("%s was replaced: %q", name, got)
				}
			}
			for _, name := range here.Files(t) {
				if c.want.Status != 0 &&
					(strings.HasPrefix(name, ".nsbuild") || strings.HasSuffix(name, ".changes") ||
						strings.HasSuffix(name, ".img")) {
					t.Errorf("left: %s", name)
				}
			}
		})
	}
}
