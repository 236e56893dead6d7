package aptrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deb writes a package of the name, whose description is a text.
func deb(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+"_1.0-1_all.deb")
	p := fakedebian.Package{Name: name, Description: text}
	if err := os.WriteFile(file, p.Deb(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t *testing.T, dir, key string) *Repo {
	t.Helper()
	r, err := Open(t.Context(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func add(t *testing.T, r *Repo, files ...string) int {
	t.Helper()
	n, err := r.Add(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// seen is what a reader finds who begins with the Release file and goes by hashes: the packages and
// their descriptions.
func seen(r *Repo) (map[string]string, error) {
	release, err := os.ReadFile(r.path(r.releaseName()))
	if err != nil {
		return nil, err
	}
	_, sums, _ := strings.Cut(string(release), "SHA256:\n")
	digest, _, _ := strings.Cut(strings.TrimSpace(sums), " ")
	text, err := os.ReadFile(r.path(filepath.Join(byHash, digest)))
	if err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != digest {
		return nil, fmt.Errorf("the index has %s, not %s", got, digest)
	}
	out := map[string]string{}
	s := index.Scan(bytes.NewReader(text))
	for s.Next() {
		data, err := os.ReadFile(r.path(string(s.Get("Filename"))))
		if err != nil {
			return nil, err
		}
		if fmt.Sprintf("%x", sha256.Sum256(data)) != string(s.Get("SHA256")) {
			return nil, fmt.Errorf("%s is another file", s.Get("Filename"))
		}
		out[string(s.Get("Package"))] = string(s.Get("Description"))
	}
	return out, s.Err()
}

func check(t *testing.T, r *Repo, want map[string]string) {
	t.Helper()
	got, err := seen(r)
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a reader sees (-want +got):\n%s", diff)
	}
}

// TestAdd: what is published again changes nothing, what has changed takes the place of what there
// was, and another process goes on.
func TestAdd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	r := open(t, dir, "")
	if !r.Empty() {
		t.Error("it is not empty")
	}
	one := deb(t, "one", "first")
	if n := add(t, r, one, deb(t, "two", "other")); n != 2 || r.Empty() {
		t.Errorf("%d were new", n)
	}
	before, err := os.Stat(r.path("Release"))
	if err != nil {
		t.Fatal(err)
	}
	if n := add(t, open(t, dir, ""), one); n != 0 {
		t.Errorf("again, %d were new", n)
	}
	after, err := os.Stat(r.path("Release"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("nothing is new, and Release is: %v", err)
	}
	add(t, open(t, dir, ""), deb(t, "one", "second"))
	check(t, r, map[string]string{"one": "second", "two": "other"})
	if after, err = os.Stat(r.path("Release")); err != nil ||
		!after.ModTime().After(before.ModTime()) {
		t.Errorf("Release is of %v, before of %v, %v", after.ModTime(), before.ModTime(), err)
	}
}

// TestBad: what is no package, or no regular file, is not published, and neither is what came
// with it.
func TestBad(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, "")
	good := deb(t, "good", "x")
	add(t, r, good)
	none, link, fifo := filepath.Join(dir, "none.deb"), filepath.Join(dir, "link.deb"),
		filepath.Join(dir, "fifo.deb")
	if err := os.WriteFile(none, []byte("!<arch>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{none, link, fifo, filepath.Join(dir, "gone.deb")} {
		_, err := r.Add(t.Context(), []string{deb(t, "other", "y"), file})
		if err == nil || !strings.Contains(err.Error(), filepath.Base(file)) {
			t.Errorf("%s: %v", file, err)
		}
	}
	check(t, r, map[string]string{"good": "x"})
}

// TestForeign: a repository of somebody else is left alone.
func TestForeign(t *testing.T) {
	for _, name := range []string{"Packages", "Release", "InRelease"} {
		dir := t.TempDir()
		text := []byte("Origin: Other\nPackage: x\n")
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, ""); fault.KindOf(err) != fault.Usage {
			t.Errorf("with a %s of somebody else: %v", name, err)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
			t.Errorf("with a %s of somebody else there is %v then, %v", name, all, err)
		}
	}
	if _, err := Open(t.Context(), t.TempDir()+"/a b", ""); fault.KindOf(err) != fault.Usage {
		t.Errorf("with a blank: %v", err)
	}
}

// TestReaders: who reads while packages are published sees all of what was there at some time.
func TestReaders(t *testing.T) {
	r := open(t, t.TempDir(), "")
	add(t, r, deb(t, "p", "0"))
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			if _, err := seen(r); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 30 {
		add(t, r, deb(t, "p", fmt.Sprint(i+1)), deb(t, fmt.Sprint("q", i%7), "x"))
	}
	stop()
	reading.Wait()
	entries, err := os.ReadDir(r.path(byHash))
	if err != nil || len(entries) != 2*(keptIndices+1) {
		t.Errorf("%d indices are kept, %v", len(entries), err)
	}
}

// TestInterrupted: whatever a killed process has left, the next one goes on, and has the Release
// file be about the index.
func TestInterrupted(t *testing.T) {
	for _, left := range []string{"Release", "by-hash", ".Packages.1", "Packages"} {
		r := open(t, t.TempDir(), "")
		add(t, r, deb(t, "a", "1"), deb(t, "b", "2"))
		var err error
		if strings.HasPrefix(left, ".") {
			err = os.WriteFile(r.path(left), []byte("half"), 0o600)
		} else {
			err = os.RemoveAll(r.path(left)) // it was not there yet
		}
		if err != nil {
			t.Fatal(err)
		}
		add(t, open(t, r.dir, ""), deb(t, "c", "3"), deb(t, "a", "1"), deb(t, "b", "2"))
		check(t, r, map[string]string{"a": "1", "b": "2", "c": "3"})
		if _, err := os.Stat(r.path(".Packages.1")); err == nil {
			t.Error("half a file stays")
		}
	}
}

// apt runs a tool of apt over lists of its own.
func apt(t *testing.T, line string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"lists/partial", "cache/archives/partial",
		"etc/preferences.d"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"sources.list": line + "\n", "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	options := []string{"-q", "-oDir::State=" + dir, "-oDir::State::Lists=" + dir + "/lists",
		"-oDir::Cache=" + dir + "/cache", "-oDir::Etc=" + dir + "/etc",
		"-oDir::Etc::SourceList=" + dir + "/sources.list", "-oDir::Etc::SourceParts=-",
		"-oDir::State::Status=" + dir + "/status", "-oAPT::Sandbox::User=root",
		"-oDebug::NoLocking=1", "-oAcquire::Languages=none"}
	var said bytes.Buffer
	for _, argv := range [][]string{{"update"}, args} {
		c := exec.CommandContext(t.Context(), "apt-get", append(options, argv...)...)
		c.Dir, c.Stdout, c.Stderr = dir, &said, &said
		c.Env = append(os.Environ(), "LC_ALL=C")
		if err := c.Run(); err != nil {
			t.Fatalf("apt-get %s: %v\n%s", argv, err, said.String())
		}
	}
	if strings.Contains(said.String(), "W: ") || strings.Contains(said.String(), "E: ") {
		t.Errorf("apt complains:\n%s", said.String())
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("downloaded: %q, %v", files, err)
	}
	return files[0]
}

// TestApt: the real apt takes a repository as it is, by the line that is told; signed, it wants
// the key.
func TestApt(t *testing.T) {
	testenv.RequireTool(t, "apt-get", "gpg")
	home := shortTemp(t)
	t.Setenv("GNUPGHOME", home)
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() })
	const key = "archive@mirror.example"
	if out, err := exec.CommandContext(t.Context(), "gpg", "--batch", "--passphrase", "",
		"--quick-generate-key", key, "ed25519", "sign").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	file := deb(t, "crane", "made up")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []string{"", key} {
		r := open(t, dir, with)
		add(t, r, file)
		// apt goes by hashes: who writes these meanwhile does not disturb it
		for _, name := range []string{"Packages", "Packages.gz"} {
			if err := os.Remove(r.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(apt(t, r.Line(), "download", "crane"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("key %q: apt has another file, %v", with, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "Release")); err == nil {
		t.Error("it is signed, and the unsigned Release stays")
	}
	for _, bad := range []string{"nobody@mirror.example", "--help"} {
		if _, err := Open(t.Context(), dir, bad); fault.KindOf(err) != fault.Usage {
			t.Errorf("the key %s: %v", bad, err)
		}
	}
}

// shortTemp is a directory in which gpg's sockets find their place.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
