package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestHostileResults builds sources whose .changes lists what no package has.
func TestHostileResults(t *testing.T) {
	w := realWorld(t)
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
		want  refusal
	}{
		{name: "a terabyte of nothing", args: []string{listed("huge_1.0_all.img", 1<<40)},
			want: refusal{1, []string{"lists more than 64 GiB of files (with huge_1.0_all.img)"},
				"allow it with --max-results"}},
		{name: "more than was allowed",
			more: list("big_1.0_all.img", "truncate -s 11M ../big_1.0_all.img"),
			args: []string{"--max-results=10M"},
			want: refusal{1, []string{"lists more than 10 MiB of files"},
				"allow it with --max-results"}},
		{name: "a huge .buildinfo", args: []string{listed("other_1.0_all.buildinfo", 300<<20)},
			want: refusal{1, []string{"other_1.0_all.buildinfo has 314572800 bytes"},
				"look at the end of its log"}},
		{name: "a Makefile", more: list("Makefile", "echo all: >../Makefile"),
			want: refusal{1, []string{"lists Makefile, a name that says nothing of"},
				"with --output"}},
		{name: "the caller's Makefile", more: list("Makefile", "echo all: >../Makefile"),
			there: map[string]string{"out/Makefile": "mine"}, args: []string{"--output=out"},
			want: refusal{1, []string{"/Makefile is there already", "it is not replaced"},
				"move it away"}},
		{name: "another source's package",
			more:  list("bash_9_all.deb", "echo x >../bash_9_all.deb"),
			there: map[string]string{"bash_9_all.deb": "mine"},
			want: refusal{
				1, []string{"/bash_9_all.deb is there already", "does not come from the source"},
				"move it away"}},
		{name: "holes that are allowed",
			more: list("hole_1.0_all.img", "truncate -s 40M ../hole_1.0_all.img"), want: refusal{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := *w
			here.dir = t.TempDir()
			for name, text := range c.there {
				check(t, os.MkdirAll(filepath.Dir(filepath.Join(here.dir, name)), 0o755))
				check(t, os.WriteFile(filepath.Join(here.dir, name), []byte(text), 0o644))
			}
			source := here.writeSource(t, fakedebian.Source{Name: fmt.Sprintf("hostile%d", i),
				Version: "1.0", Format: fakedebian.FormatNative, Rules: rules(c.more)})
			o := here.run(t, append(append([]string{"build", "-d", "bookworm"}, c.args...),
				source)...)
			c.want.check(t, o)
			for name, text := range c.there {
				if got := read(t, filepath.Join(here.dir, name)); got != text {
					t.Errorf("%s was replaced: %q", name, got)
				}
			}
			for _, name := range here.files(t) {
				if c.want.status != 0 &&
					(strings.HasPrefix(name, ".nsbuild") || strings.HasSuffix(name, ".changes") ||
						strings.HasSuffix(name, ".img")) {
					t.Errorf("left: %s", name)
				}
			}
		})
	}
}
