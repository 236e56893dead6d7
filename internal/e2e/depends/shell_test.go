package depends

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestShellOfSource opens a shell in an unpacked source: the builder's, with the build dependencies
// and the environment of a build, of which nothing stays.
func TestShellOfSource(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	s := e2e.Small("inside")
	s.BuildDepends = "hello"
	dsc := w.WriteSource(t, s)
	before := names(t, w.Dir)
	const script = `whoami; pwd; hello -t; echo "$DEB_BUILD_OPTIONS" | grep -c parallel=
test -f debian/control && touch written && exit 7
`
	c, ended := w.Command(t, "shell", "--build-deps", "-d", "bookworm", dsc)
	c.Stdin = strings.NewReader(script)
	o := ended(c.Run())
	want := "builder\n/build/reproducible-path/inside-1.0\nhello, world\n1\n"
	if o.Status != 7 || o.Stdout != want {
		t.Errorf("%s\nwant status 7 and %q", o, want)
	}
	if diff := cmp.Diff(before, names(t, w.Dir)); diff != "" {
		t.Errorf("the shell left something:\n%s", diff)
	}
	o = w.Run(t, "shell", "--build-deps", "-d", "bookworm", "--save", dsc)
	if o.Status == 0 || !strings.Contains(o.Stderr, "--build-deps and --save contradict") {
		t.Error(o)
	}
}

// names are those in a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	e2e.Check(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestInstallFirst runs commands over packages that were installed for them.
func TestInstallFirst(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	const said = "hello, world\n"
	if o := w.Must(t, "run", "--install=hello", "bookworm", "hello", "-t"); o.Stdout != said {
		t.Error(o)
	}
	w.Must(t, "session", "begin", "--install=hello", "--name", "greets", "bookworm")
	defer w.Must(t, "session", "end", "greets")
	if o := w.Must(t, "session", "run", "greets", "hello", "-t"); o.Stdout != said {
		t.Error(o)
	}
	if o := w.Run(t, "session", "begin", "--install=no-such-package", "bookworm"); o.Status == 0 ||
		!strings.Contains(o.Stderr, "no-such-package") {
		t.Error(o)
	}
	if o := w.Must(t, "run", "bookworm", "sh", "-c", "command -v hello || echo none"); o.Stdout !=
		"none\n" {
		t.Errorf("the base has it now: %s", o)
	}
}

// TestMissingBase has the base of a suite made by the command that wants it, by any name of the
// suite.
func TestMissingBase(t *testing.T) {
	shared := e2e.RealWorld(t)
	testenv.HostState(t)
	w := e2e.NewWorld(t)
	w.Cache, w.Env = shared.Cache, shared.Env
	o := w.Must(t, "run", "debian:12", "cat", "/etc/debian_version")
	if !strings.HasPrefix(o.Stdout, "12.") ||
		!strings.Contains(o.Stderr, "there is no base bookworm yet: it is made") {
		t.Error(o)
	}
	if o := w.Must(t, "run", "bookworm", "true"); strings.Contains(o.Stderr, "it is made") {
		t.Errorf("made again: %s", o)
	}
	o = w.Run(t, "session", "begin", "bookwrm")
	if o.Status == 0 || !strings.Contains(o.Stderr, "did you mean bookworm") {
		t.Error(o)
	}
}
