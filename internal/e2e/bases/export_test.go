package bases

import (
	"bufio"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestExportImport takes a base through an archive and back: the same bytes, a base that works, and
// one of the suite that the tree tells. It is a small base: nine trees and archives are made of it.
func TestExportImport(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.Must(t, "create", "--name=small", "--variant=essential", "--mirror", w.Mirror, "bookworm")
	defer func() { w.Must(t, "remove", "small") }()
	w.Must(t, "export", "-o", "one.tar", "small")
	name := "again" + strings.ToLower(filepath.Base(t.TempDir()))
	w.Must(t, "import", name, "one.tar")
	defer func() { w.Must(t, "remove", name) }()
	w.Must(t, "export", "--output=two.tar", name)
	one, two := e2e.Read(t, filepath.Join(w.Dir, "one.tar")), e2e.Read(t, filepath.Join(w.Dir, "two.tar"))
	if one != two {
		t.Errorf("export, import and export again gives another archive (%d and %d bytes)",
			len(one), len(two))
	}
	if o := w.Must(t, "info", name); !strings.Contains(o.Stdout,
		"Suite: bookworm\nArchitecture: amd64\n") ||
		!strings.Contains(o.Stdout, "Bootstrapper: import\n") {
		t.Error(o)
	}
	if o := w.Must(t, "run", name, "--", "dpkg-query", "-Wf", "${db:Status-Abbrev}",
		"dpkg"); o.Stdout != "ii " {
		t.Error(o)
	}
	w.Must(t, "update", name)
	e2e.Refusal{Status: 64, Says: []string{"base " + name + " exists already"},
		Hint: "--replace"}.Check(t, w.Run(t, "import", name, "one.tar"))
	e2e.Refusal{Status: 64, Says: []string{"--from and --variant contradict"},
		Hint: "leave out one"}.Check(t, w.Run(t, "create", "--from=one.tar", "--variant=minbase",
		"bookworm"))

	t.Run("save", func(t *testing.T) { testSave(t, w, name) })
}

// TestImportKeyring imports a tree with the archive of its updates, and the keys that may sign
// that.
func TestImportKeyring(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	testenv.HostState(t)
	root := filepath.Join(w.Dir, "root")
	e2e.Check(t, e2e.MakeRoot(root))
	a, _ := e2e.SmallSuite(t)
	mirror := fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()}).URL("debian")
	for name, kind := range map[string]fakedebian.KeyKind{"right": fakedebian.KeyArchive,
		"wrong": fakedebian.KeyWeakRSA} {
		w.Must(t, "import", "--mirror", mirror, "--keyring", fakedebian.Keyring(t, kind), name,
			root)
		// The small tree has no apt to update itself with, which comes after the signature.
		o := w.Run(t, "update", name)
		unknown := strings.Contains(o.Stderr, "signed with a key that is not known")
		if o.Status == 0 || unknown != (name == "wrong") || !unknown &&
			!strings.Contains(o.Stderr, "apt") {
			t.Errorf("%s: %s", name, o)
		}
	}
}

// TestCreateFrom makes a base of a tree under the name that create gives to the suite, and refuses
// what does not go with it.
func TestCreateFrom(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	testenv.HostState(t)
	root := filepath.Join(w.Dir, "root")
	e2e.Check(t, e2e.MakeRoot(root))
	for _, given := range []string{"--variant=minbase", "--include=ed", "--exclude=ed",
		"--components=main", "--arch=i386", "--bootstrapper=native", "--lock=x.lock",
		"--no-check-gpg"} {
		name, _, _ := strings.Cut(given, "=")
		e2e.Refusal{Status: 64, Says: []string{"--from and " + name + " contradict each other"},
			Hint: "leave out one"}.Check(t, w.Run(t, "create", "--from", root, given, "stable"))
	}
	w.NothingLeft(t)
	w.Must(t, "create", "--from", root, "stable")
	if o := w.Must(t, "info", "trixie"); !strings.Contains(o.Stdout, "Suite: trixie\n") {
		t.Error(o)
	}
	w.Must(t, "create", "--from", root, "--name", "own", "debian:12")
	if o := w.Must(t, "info", "own"); !strings.Contains(o.Stdout, "Suite: bookworm\n") {
		t.Error(o)
	}
}

// testSave keeps what shells have done to a base.
func testSave(t *testing.T, w *e2e.World, name string) {
	shell := func(t *testing.T, script string, args ...string) e2e.Outcome {
		t.Helper()
		c, ended := w.Command(t, append([]string{"shell"}, args...)...)
		c.Stdin = strings.NewReader(script)
		return ended(c.Run())
	}
	script := `set -e
echo changed >/etc/issue
rm -r /usr/share/doc; mkdir /usr/share/doc; echo new >/usr/share/doc/new
mv /usr/games /usr/toys
mkdir -m 2775 /opt/odd; chown 7:8 /opt/odd; ln /etc/issue /opt/odd/link; mkfifo /opt/odd/fifo
rm /etc/fstab
rm -rf /usr/share/locale /usr/share/man /usr/share/i18n # less to copy from here on
rmdir /srv; ln -s /nowhere /srv
`
	if o := shell(t, script, "--save", "--install=hello", name); o.Status != 0 ||
		!strings.Contains(o.Stderr, "generation 2: 1 package new") {
		t.Fatal(o)
	}
	look := `cat /etc/issue; ls /usr/share/doc; test -d /usr/toys && ! test -e /usr/games && ! test -e /etc/fstab
stat -c "%a %u %g" /opt/odd; stat -c "%h %F" /opt/odd/link /opt/odd/fifo; readlink /srv; hello -t; ls -A /run/nsbuild /root/.bash_history 2>/dev/null; cat /etc/hostname`
	want := "changed\nnew\n2775 7 8\n2 regular file\n1 fifo\n/nowhere\nhello, world\nlocalhost\n"
	if o := w.Run(t, "run", "--read-only", name, "--", "sh", "-c", look); o.Stdout != want {
		t.Errorf("%s\nwant %s", o, want)
	}
	if o := w.Must(t, "info", "--packages", name); !strings.Contains(o.Stdout, "\n  hello ") {
		t.Error("the base's list of packages lacks the new one")
	}
	if o := shell(t, "touch /mark; exit 3", "--save", name); o.Status != 3 ||
		!strings.Contains(o.Stderr, "nothing is kept") {
		t.Error(o)
	}

	t.Run("changed meanwhile", func(t *testing.T) {
		c, ended := w.Command(t, "shell", "--save", name)
		c.Stdout = nil
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(in, "touch /mine; echo ready\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q %v", line, err)
		}
		if o := shell(t, "touch /other", "--save", name); o.Status != 0 {
			t.Error(o)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		e2e.Refusal{Status: 125, Says: []string{"was changed by another nsbuild meanwhile",
			"kept as base " + name + "-saved-1"}, Hint: name + "-saved-1"}.Check(t, ended(c.Wait()))
		if o := w.Run(t, "run", name+"-saved-1", "--", "ls", "/mine", "/other"); !strings.HasPrefix(
			o.Stdout, "/mine\n") {
			t.Error(o)
		}
		w.Must(t, "remove", name+"-saved-1")
	})
	t.Run("killed", func(t *testing.T) {
		before := w.Must(t, "info", name).Stdout
		c, ended := w.Command(t, "shell", "--save", name)
		c.Stdin = strings.NewReader("touch /lost")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(e2e.TooLong); ; time.Sleep(10 * time.Millisecond) {
			if found, err := filepath.Glob(
				filepath.Join(w.State, "bases", name, "draft-*", "tree")); err == nil &&
				len(found) > 0 {
				break
			} else if time.Now().After(end) {
				t.Fatal("it does not begin to save")
			}
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		ended(c.Wait())
		if after := w.Must(t, "info", name).Stdout; after != before {
			t.Errorf("a save that was killed has changed the base:\n%s\n%s", before, after)
		}
		w.Must(t, "update", name)
		if left, err := filepath.Glob(
			filepath.Join(w.State, "bases", name, "draft-*")); err != nil || len(left) > 0 {
			t.Errorf("left: %v %v", left, err)
		}
	})
}
