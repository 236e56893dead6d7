package kept

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestRetry goes on with a build where it broke: what was made stays, what was changed comes in,
// and the result is one of a package that builds.
func TestRetry(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.WriteTree(t, "again-1.0")
	tree := filepath.Join(w.Dir, "again-1.0")
	rules := func(last string) {
		t.Helper()
		e2e.Check(t, os.WriteFile(filepath.Join(tree, "debian", "rules"), []byte(
			"#!/usr/bin/make -f\n%:\n\t@true\nbuild: made\n\t@cat step\nmade: input\n\tdate +%N > made\n"+
				"\t@echo making\nclean:\n\trm -f made\nbinary:\n\ttest -s made\n"+
				"\tmkdir -p debian/again/DEBIAN\n"+
				"\tcp made debian/again\n\tdpkg-gencontrol -Pdebian/again\n"+
				"\tdpkg-deb --root-owner-group -b debian/again ..\n\t"+last+"\n"), 0o755))
	}
	e2e.Check(t, os.WriteFile(filepath.Join(tree, "input"), nil, 0o644))
	rules("true")
	build := func(scratch string) string {
		t.Helper()
		o := w.Run(t, "build", "-q", "-d", "bookworm", "--scratch", scratch, "again-1.0")
		if o.Status != 2 {
			t.Fatal(o)
		}
		return id(t, o)
	}
	log := func() string { return w.LogOf(t, "again") }
	for _, scratch := range scratches("tmpfs") {
		t.Run(scratch, func(t *testing.T) {
			one := build(scratch)
			if !strings.Contains(log(), "making") {
				t.Fatal(log())
			}
			o := w.Run(t, "retry", "-q", one)
			again := id(t, o)
			if o.Status != 2 || strings.Contains(log(), "making") {
				t.Errorf("as it was: %s\n%s", o, log())
			}
			// the fixed source
			e2e.Check(t, os.WriteFile(filepath.Join(tree, "step"), []byte("fixed\n"), 0o644))
			defer func() { e2e.Check(t, os.Remove(filepath.Join(tree, "step"))) }()
			o = w.Must(t, "retry", again, "--source", "again-1.0", "-o", "results", "--", "-d")
			text := e2e.Read(t, filepath.Join(w.Dir, "results", "again_1.0_amd64.build"))
			e2e.WantIn(t, "the log", text, "^Retry: "+again+", not from a clean tree$",
				"^Command: dpkg-buildpackage .* -nc -d$", "^brought: step$", "^fixed$",
				"^Status: successful$")
			if strings.Contains(text, "making") || strings.Contains(text, "brought: input") {
				t.Errorf("what was made is made again:\n%s", text)
			}
			e2e.WantIn(t, "what is said", o.Stderr, "from one: nsbuild build -d bookworm again-1.0")
			// or by hand
			w.Must(t, "enter", one, "--write", "--", "sh", "-c", "echo by hand > step")
			w.Must(t, "retry", one, "-o", "results2", "--then-clean")
			for _, args := range [][]string{{"retry", one, "--from", "unpack"},
				{"retry", one, "--from", "nothing"}, {"retry", one, "--source", w.State},
				{"retry", "nothing-0000"}, {"retry", one, "--", "-B"}, {"retry", one, "--", "-j2"}} {
				if o := w.Run(t, args...); o.Status == 0 {
					t.Errorf("%q: %s", args, o)
				}
			}
			w.Must(t, "forget", one, again)
		})
	}
}
