package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// shell runs a command in the world's directory.
func (w *world) shell(t *testing.T, command string) {
	t.Helper()
	c := exec.Command("sh", "-e", "-c", command)
	c.Dir = w.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// soon runs what must not wait for anything.
func (w *world) soon(t *testing.T, args ...string) outcome {
	t.Helper()
	c, ended := w.command(t, args...)
	timer := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	return ended(c.Run())
}

// TestPipesAsFiles names a FIFO, or has one lie, wherever a file is read: nothing waits for a
// writer.
func TestPipesAsFiles(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	w.shell(t, "mkdir -p src/debian/source hook/before-build.d; touch hook/before-build.d/a; "+
		"chmod +x hook/before-build.d/a")
	for _, name := range []string{"x.dsc", "x.deb", "x.list", "x.toml", "x.gpg", "x.fstab",
		"x.lock", "hook/hook.conf"} {
		check(t, syscall.Mkfifo(filepath.Join(w.dir, name), 0o644))
	}
	lies := func(name, text string) {
		check(t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644))
	}
	good := map[string]string{
		"src/debian/changelog": "piped (1.0-1) bookworm; urgency=low\n\n  * A.\n\n -- A B " +
			"<a@mirror.example>  Wed, 05 Apr 2023 06:07:08 +0200\n",
		"src/debian/control": "Source: piped\nMaintainer: A B " +
			"<a@mirror.example>\n\nPackage: piped\nArchitecture: all\nDescription: x\n",
		"src/debian/source/format": "3.0 (quilt)\n",
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
			status: 2},
		{name: "a package", args: []string{"build", "-d", "bookworm", "--extra-package=x.deb",
			"src"}, status: 2},
		{name: "a list of repositories",
			args:   []string{"build", "-d", "bookworm", "--extra-repository=x.list", "src"},
			status: 2},
		{name: "the configuration", args: []string{"list"}, env: "NSBUILD_CONFIG=x.toml",
			status: 2},
		{name: "a keyring", args: []string{"create", "--keyring=x.gpg", "--name=other", "bookworm"},
			status: 1},
		{name: "a lock file", args: []string{"create", "--locked=x.lock", "--name=other",
			"bookworm"}, status: 2},
		{name: "an fstab", args: []string{"run", "--fstab=x.fstab", "bookworm", "--", "true"},
			status: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, text := range good {
				check(t, os.RemoveAll(filepath.Join(w.dir, name)))
				lies(name, text)
			}
			if c.fifo != "" {
				check(t, os.RemoveAll(filepath.Join(w.dir, c.fifo)))
				check(t, syscall.Mkfifo(filepath.Join(w.dir, c.fifo), 0o644))
				defer func() { check(t, os.Remove(filepath.Join(w.dir, c.fifo))) }()
			}
			here := *w
			if c.env != "" {
				here.env = []string{c.env}
			}
			o := here.soon(t, c.args...)
			said := strings.Contains(o.stderr, "it is a pipe (FIFO), not a regular file") ||
				strings.Contains(o.stderr, "hook.conf is neither a file nor a directory")
			if o.status != c.status || !said {
				t.Error(o)
			}
		})
	}
}

// TestLinksBesideSources builds with a tarball that lies elsewhere, and refuses a link to what is
// none: debian/rules would read it.
func TestLinksBesideSources(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "dpkg-source")
	const secret = "a line that only the caller may read"
	file := w.writeSource(t,
		fakedebian.Source{Name: "linked", Version: "1.0-1",
			Files: []fakedebian.File{{Path: "README", Body: "x\n"}}})
	w.shell(t, "dpkg-source -x "+file+" tree; mkdir farm; mv linked_1.0.orig.tar.xz farm/; echo '"+
		secret+"' >secret; chmod 600 secret")
	w.shell(t, "ln -s secret linked_1.0.orig.tar.xz")
	o := w.run(t, "build", "-d", "bookworm", "-s", "tree")
	refusal{status: 3, says: []string{"linked_1.0.orig.tar.xz is a link to",
		"/secret, which is not a compressed tar archive"}, hint: "put the file itself there"}.check(
		t, o)
	o = w.run(t, "build", "-d", "bookworm", file)
	if o.status != 3 || strings.Contains(o.stderr, secret) {
		t.Error(o)
	}
	w.shell(t, "rm linked_1.0.orig.tar.xz; ln -s farm/linked_1.0.orig.tar.xz .; ln -s secret "+
		"linked_1.0.orig.tar.xz.asc")
	o = w.run(t, "build", "-d", "bookworm", "-s", "tree")
	refusal{status: 3, says: []string{"linked_1.0.orig.tar.xz.asc is a link to",
		"which is not an OpenPGP signature"}, hint: "put the file itself there"}.check(t, o)
	w.shell(t, "rm linked_1.0.orig.tar.xz.asc")
	w.must(t, "build", "-q", "-d", "bookworm", "-s", "tree")
	w.must(t, "build", "-q", "-d", "bookworm", file)
}
