package sources

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// shell runs a command in the world's directory.
func shell(t *testing.T, w *e2e.World, command string) {
	t.Helper()
	c := exec.Command("sh", "-e", "-c", command)
	c.Dir = w.Dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// soon runs what must not wait for anything.
func soon(t *testing.T, w *e2e.World, args ...string) e2e.Outcome {
	t.Helper()
	c, ended := w.Command(t, args...)
	timer := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	return ended(c.Run())
}

// TestPipesAsFiles names a FIFO, or has one lie, wherever a file is read: nothing waits for a
// writer.
func TestPipesAsFiles(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	shell(t, w, "mkdir -p src/debian/source hook/before-build.d; touch hook/before-build.d/a; "+
		"chmod +x hook/before-build.d/a")
	for _, name := range []string{"x.dsc", "x.deb", "x.list", "x.toml", "x.gpg", "x.fstab",
		"x.lock", "hook/hook.conf"} {
		e2e.Check(t, syscall.Mkfifo(filepath.Join(w.Dir, name), 0o644))
	}
	lies := func(name, text string) {
		e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, name), []byte(text), 0o644))
	}
	good := map[string]string{
		"src/debian/changelog": "piped (1.0-1) bookworm; urgency=low\n\n  * A.\n\n -- A B " +
			"<a@mirror.example>  Wed, 05 Apr 2023 06:07:08 +0200\n",
		"src/debian/control": "Source: piped\nMaintainer: A B " +
			"<a@mirror.example>\n\nPackage: piped\nArchitecture: all\nDescription: x\n",
		"src/debian/source/format": "3.0 (quilt)\n", "piped_1.0.orig.tar.gz": "",
	}
	for _, c := range []struct {
		name   string
		args   []string
		env    string
		fifo   string // a file that is one in this case
		status int
	}{
		{name: "the .dsc", args: []string{"build", "-d", "bookworm", "x.dsc"}, status: 3},
		{name: "debian/changelog", args: []string{"build", "-d", "bookworm", "src"},
			fifo: "src/debian/changelog", status: 3},
		{name: "debian/control", args: []string{"build", "-d", "bookworm", "src"},
			fifo: "src/debian/control", status: 3},
		{name: "debian/source/format", args: []string{"build", "-d", "bookworm", "src"},
			fifo: "src/debian/source/format", status: 3},
		{name: "the upstream tarball", args: []string{"build", "-d", "bookworm", "src"},
			fifo: "piped_1.0.orig.tar.gz", status: 3},
		{name: "hook.conf", args: []string{"build", "-d", "bookworm", "--hook=./hook", "src"},
			status: 64},
		{name: "a package", args: []string{"build", "-d", "bookworm", "--extra-package=x.deb",
			"src"}, status: 64},
		{name: "a list of repositories",
			args:   []string{"build", "-d", "bookworm", "--extra-repository=x.list", "src"},
			status: 64},
		{name: "the configuration", args: []string{"list"}, env: "NSBUILD_CONFIG=x.toml",
			status: 64},
		{name: "a keyring", args: []string{"create", "--keyring=x.gpg", "--name=other", "bookworm"},
			status: 1},
		{name: "a lock file", args: []string{"create", "--locked=x.lock", "--name=other",
			"bookworm"}, status: 64},
		{name: "an fstab", args: []string{"run", "--fstab=x.fstab", "bookworm", "--", "true"},
			status: 125},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, text := range good {
				e2e.Check(t, os.RemoveAll(filepath.Join(w.Dir, name)))
				lies(name, text)
			}
			if c.fifo != "" {
				e2e.Check(t, os.RemoveAll(filepath.Join(w.Dir, c.fifo)))
				e2e.Check(t, syscall.Mkfifo(filepath.Join(w.Dir, c.fifo), 0o644))
				defer func() { e2e.Check(t, os.Remove(filepath.Join(w.Dir, c.fifo))) }()
			}
			here := *w
			if c.env != "" {
				here.Env = []string{c.env}
			}
			o := soon(t, &here, c.args...)
			said := strings.Contains(o.Stderr, "it is a pipe (FIFO), not a regular file") ||
				strings.Contains(o.Stderr, "hook.conf is neither a file nor a directory")
			if o.Status != c.status || !said {
				t.Error(o)
			}
		})
	}
}

// TestLinksBesideSources builds with a tarball that lies elsewhere, and refuses a link to what is
// none: debian/rules would read it.
func TestLinksBesideSources(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "dpkg-source")
	const secret = "a line that only the caller may read"
	file := w.WriteSource(t,
		fakedebian.Source{Name: "linked", Version: "1.0-1",
			Files: []fakedebian.File{{Path: "README", Body: "x\n"}}})
	shell(t, w, "dpkg-source -x "+file+" tree; mkdir farm; mv linked_1.0.orig.tar.xz farm/; echo '"+
		secret+"' >secret; chmod 600 secret")
	shell(t, w, "ln -s secret linked_1.0.orig.tar.xz")
	o := w.Run(t, "build", "-d", "bookworm", "-s", "tree")
	e2e.Refusal{Status: 3, Says: []string{"linked_1.0.orig.tar.xz is a link to",
		"/secret, which is not a compressed tar archive"}, Hint: "put the file itself there"}.Check(
		t, o)
	o = w.Run(t, "build", "-d", "bookworm", file)
	if o.Status != 3 || strings.Contains(o.Stderr, secret) {
		t.Error(o)
	}
	shell(t, w, "rm linked_1.0.orig.tar.xz; ln -s farm/linked_1.0.orig.tar.xz .; ln -s secret "+
		"linked_1.0.orig.tar.xz.asc")
	o = w.Run(t, "build", "-d", "bookworm", "-s", "tree")
	e2e.Refusal{Status: 3, Says: []string{"linked_1.0.orig.tar.xz.asc is a link to",
		"which is not an OpenPGP signature"}, Hint: "put the file itself there"}.Check(t, o)
	shell(t, w, "rm linked_1.0.orig.tar.xz.asc")
	w.Must(t, "build", "-q", "-d", "bookworm", "-s", "tree")
	w.Must(t, "build", "-q", "-d", "bookworm", file)
}
