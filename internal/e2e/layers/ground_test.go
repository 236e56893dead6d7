package layers

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

// askingRules build a package and say what dpkg knows of some others, and whether they are there.
const askingRules = `#!/usr/bin/make -f
clean build build-arch build-indep:
binary-arch:
binary binary-indep:
	for p in okk tzdata; do dpkg-query -W -f 'known: $${db:Status-Abbrev}$${Package} $${Version}\n' $$p; done || true
	for f in /opt/okk /usr/share/zoneinfo/UTC; do ! test -e $$f || echo there: $$f; done
	mkdir -p debian/made/DEBIAN
	dpkg-gencontrol -pSOURCE -Pdebian/made
	dpkg-deb --root-owner-group -b debian/made ..
`

// asking is a source whose log says what askingRules tell.
func asking(t *testing.T, w *e2e.World, name, depends, conflicts string) string {
	t.Helper()
	return w.WriteSource(t, fakedebian.Source{
		Name: name, Version: "1.0", Architecture: "all", BuildDepends: depends,
		BuildConflicts: conflicts,
		Rules:          strings.ReplaceAll(askingRules, "SOURCE", name),
	})
}

// writeDeb puts a package that nobody else has into a directory.
func writeDeb(t *testing.T, w *e2e.World, dir, name, version string) {
	t.Helper()
	deb := fakedebian.Package{
		Name: name, Version: version, Architecture: "all",
		Files: []fakedebian.File{{Path: "opt/" + name, Body: version + "\n"}},
	}
	e2e.Check(t, os.MkdirAll(filepath.Join(w.Dir, dir), 0o755))
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, dir, name+".deb"), deb.Deb(t), 0o644))
}

// many makes packages that are quickly installed, as many as make a layer worth building upon, and
// more of them. They are the test's own, so that no layer of another test has them.
func many(t *testing.T, w *e2e.World, prefix string) (some, more string) {
	t.Helper()
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("%s-%02d", prefix, i))
		writeDeb(t, w, "pool", names[i], "1.0")
	}
	return strings.Join(names[:10], ", "), strings.Join(names, ", ")
}

// grounds builds a source and says whether its log has some lines and lacks others.
func grounds(t *testing.T, w *e2e.World, dsc string, has, lacks []string, args ...string) {
	t.Helper()
	args = append([]string{"build", "-q", "-d", "bookworm", "--extra-package=pool"}, args...)
	w.Must(t, append(args, dsc)...)
	log := w.LogOf(t, strings.TrimSuffix(dsc, "_1.0.dsc"))
	for _, line := range has {
		if !strings.Contains(log, line) {
			t.Errorf("%q: the log of %s lacks %q", args, dsc, line)
		}
	}
	for _, line := range lacks {
		if strings.Contains(log, line) {
			t.Errorf("%q: the log of %s has %q", args, dsc, line)
		}
	}
}

const (
	uponSmaller = "the others are installed over it."
	allThere    = "has what is needed"
)

// TestHooksAndSmallerLayers makes layers over roots that hooks have changed, and over the base as
// it is, each with a smaller layer of the other kind at hand.
func TestHooksAndSmallerLayers(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	writeDeb(t, w, "local", "okk", "1.0")
	w.Script(t, "local/before-deps.d/10-install", `dpkg -i "$NSBUILD_HOOK_DIR/okk.deb"`)
	known, there := "\nknown: ii okk 1.0\n", "\nthere: /opt/okk\n"
	const hooked, command = "--hook=./local", "--chroot-setup-commands=useradd -r okk-user"
	some, more := many(t, w, "hooked")

	grounds(t, w, asking(t, w, "grounda", some, ""), []string{known, there}, nil, hooked)
	grounds(t, w, asking(t, w, "groundb", more, ""), nil, []string{known, there, uponSmaller})
	grounds(t, w, asking(t, w, "groundc", some, ""), nil, []string{known, there})
	grounds(t, w, asking(t, w, "groundd", more, ""), []string{known, there}, []string{uponSmaller},
		hooked)

	// A hook that is told nothing of the source leaves one ground for all of them.
	grounds(t, w, asking(t, w, "grounde", some, ""), nil, []string{uponSmaller}, command)
	grounds(t, w, asking(t, w, "groundf", more, ""), []string{uponSmaller}, nil, command)
}

// TestConflictsAndSmallerLayers removes a package of the base in one build, and not in the next.
func TestConflictsAndSmallerLayers(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	known, there := "\nknown: ii tzdata ", "\nthere: /usr/share/zoneinfo/UTC\n"
	some, more := many(t, w, "conflicting")
	grounds(t, w, asking(t, w, "groundg", some, "tzdata"), nil, []string{known, there})
	grounds(t, w, asking(t, w, "groundh", more, ""), []string{known, there}, []string{uponSmaller})
}

// TestNewVersionOfHookPackage has a hook's package in a newer version than an earlier layer knows.
func TestNewVersionOfHookPackage(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.Script(t, "wants/start.d/10-look", "cat /opt/okk")
	w.Conf(t, "wants", "Depends: okk\n")
	some, _ := many(t, w, "newer")
	dsc := asking(t, w, "groundi", some, "")
	for _, version := range []string{"1.0", "1.1"} {
		writeDeb(t, w, "v"+version, "okk", version)
		known := "\nknown: ii okk " + version + "\n"
		args := []string{"--hook=./wants", "--extra-package=v" + version}
		grounds(t, w, dsc, []string{"\n" + version + "\n", known}, nil, args...)
	}
	args := []string{"--hook=./wants", "--extra-package=v1.1"}
	grounds(t, w, dsc, []string{"\nknown: ii okk 1.1\n", allThere}, nil, args...)
}

// TestHooksTellSourcesApart has a hook that does one thing for one source and another for the next.
func TestHooksTellSourcesApart(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	writeDeb(t, w, "only", "okk", "1.0")
	w.Script(t, "only/start.d/10-install",
		`test "$NSBUILD_SOURCE" != groundj || dpkg -i "$NSBUILD_HOOK_DIR/okk.deb"`)
	known := "\nknown: ii okk 1.0\n"
	some, _ := many(t, w, "apart")
	grounds(t, w, asking(t, w, "groundj", some, ""), []string{known}, nil, "--hook=./only")
	grounds(t, w, asking(t, w, "groundk", some, ""), nil, []string{known}, "--hook=./only")
}

// TestRightToMakeALayerIsGivenUp looks, while a build goes on, for the right to make a layer that
// cannot be made: other builds of the same command wait for who has it.
func TestRightToMakeALayerIsGivenUp(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	broken := fakedebian.Package{
		Name: "lintian", Version: "99", Architecture: "all",
		Scripts: map[string]string{"postinst": "#!/bin/sh\necho will not; exit 3\n"},
	}
	e2e.Check(t, os.Mkdir(filepath.Join(w.Dir, "bad"), 0o755))
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "bad", "lintian.deb"), broken.Deb(t), 0o644))
	look := "ls " + filepath.Join(w.Cache, "layers") + "; echo looked"
	for _, c := range []struct {
		name, depends string
		status        int
		args          []string
	}{
		{"groundl", "", 0, []string{"--run-lintian", "--post-build-commands=" + look}},
		{"groundm", "lintian", 3, []string{"--post-build-failed-commands=" + look}},
	} {
		args := append([]string{"build", "-q", "-d", "bookworm", "--extra-package=bad"}, c.args...)
		if o := w.Run(t,
			append(args, asking(t, w, c.name, c.depends, ""))...); o.Status != c.status {
			t.Error(o)
		}
		log := w.LogOf(t, c.name)
		if !strings.Contains(log, "\nlooked\n") || !strings.Contains(log, "will not") {
			t.Errorf("nothing was tried:\n%s", log)
		}
		if strings.Contains(log, "\nmaking-") {
			t.Errorf("%s: the right to make a layer is still held", c.name)
		}
	}
}

// TestSourceDirectoryIsNoGround has a package look, while it is installed, for what a source
// directory has left in the root: another source uses the same layer.
func TestSourceDirectoryIsNoGround(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	curious := fakedebian.Package{
		Name: "curious", Version: "1.0", Architecture: "all",
		Scripts: map[string]string{
			"postinst": "#!/bin/sh\nfind / -xdev -name 'groundn*' >/opt/found\n"},
	}
	e2e.Check(t, os.Mkdir(filepath.Join(w.Dir, "curious"), 0o755))
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "curious", "curious.deb"), curious.Deb(t),
		0o644))
	rules := strings.ReplaceAll(askingRules, "SOURCE", "groundn") +
		"\techo found: $$(cat /opt/found)\n"
	w.WriteTree(t, "groundn-1.0")
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "groundn-1.0", "debian", "rules"), []byte(rules),
		0o755))
	for _, cached := range []bool{false, true} {
		w.Must(t, "build", "-q", "-d", "bookworm", "--extra-package=curious",
			"--add-depends=curious", "groundn-1.0")
		log := w.LogOf(t, "groundn")
		if !strings.Contains(log, "\nfound:\n") || strings.Contains(log, allThere) != cached {
			t.Error(log)
		}
	}
}
