package bootstrap

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/deb"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// bench is an empty tree with a jail on it and a directory of packages.
type bench struct {
	t    *testing.T
	job  *job
	jail jails.Jail
	log  bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	testenv.RequireUserns(t)
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// Not the test's context: that ends before the tree is removed.
	h, err := jails.Start(context.Background(), sandbox.HolderSpec{IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, job: &job{info: map[string]control{}}}
	b.job.o = Options{Holder: h, Tree: filepath.Join(dir, "tree"), CacheDir: dir, Arch: "amd64",
		Log: &b.log, Epoch: time.Unix(1700000000, 0)}
	t.Cleanup(func() {
		if b.jail != nil {
			if _, err := b.jail.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(h.RemoveTree(context.Background(), b.job.o.Tree),
			h.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "debs"), 0o755),
		os.Mkdir(filepath.Join(dir, "copies"), 0o755),
		h.MakeRoot(t.Context(), b.job.o.Tree)); err != nil {
		t.Fatal(err)
	}
	if b.jail, err = b.job.openJail(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// add writes a package into the deb directory. control lines may be added to the paragraph.
func (b *bench) add(name string, p deb.Package, lines ...string) {
	b.t.Helper()
	p.Control = fmt.Sprintf("Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: Nobody "+
		"<nobody@example.org>\nDescription: a test\n%s", name, strings.Join(lines, ""))
	p.Time = time.Unix(1600000000, 0)
	var out bytes.Buffer
	if err := deb.Write(&out, p); err != nil {
		b.t.Fatal(err)
	}
	b.addRaw(name, out.Bytes())
}

func (b *bench) addRaw(name string, body []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.job.o.CacheDir, "debs", name+".deb"), body,
		0o644); err != nil {
		b.t.Fatal(err)
	}
	b.job.order = append(b.job.order, name)
}

// unpack extracts all packages that were added, with dpkg's database.
func (b *bench) unpack() error { return b.unpackOver(nil) }

// unpackOver extracts them over links that are there before.
func (b *bench) unpackOver(links map[string]string) error {
	debs := make(chan ready, len(b.job.order))
	for _, name := range b.job.order {
		debs <- ready{name, "debs/" + name + ".deb"}
	}
	close(debs)
	return b.job.unpack(b.t.Context(), b.jail, unpack.Plan{Tree: jailTree, Debs: jailDebs,
		Database: true, Workers: 3, Epoch: b.job.o.Epoch, Links: links}, debs)
}

// read reads a file of the tree.
func (b *bench) read(path string) string {
	b.t.Helper()
	f, err := b.jail.Open(path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// TestNotesOfDpkg has dpkg note its steps where no note waits for a disk: there are several for
// each package.
func TestNotesOfDpkg(t *testing.T) {
	f, err := newBench(t).jail.Open("var/lib/dpkg/updates")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Errorf("%v: on a file system of type %#x", err, st.Type)
	}
}

func file(path, body string) deb.File { return deb.File{Path: path, Body: []byte(body)} }

func TestUnpackWritesTheDatabase(t *testing.T) {
	b := newBench(t)
	b.add("bb", deb.Package{
		Files: []deb.File{file("/etc/bb.conf", "hello\n"), file("/usr/bin/bb", "#!\n"),
			{Path: "/usr/share/l", Mode: fs.ModeSymlink, Target: "/nowhere"}},
		Scripts: map[string]string{"conffiles": "/etc/bb.conf\n", "postinst": "#!/bin/sh\n",
			"triggers": "interest-noawait /usr/lib/x\ninterest bb-done\n"},
	})
	b.add("aa", deb.Package{Files: []deb.File{file("/usr/bin/aa", "#!\n")}}, "Multi-Arch: same\n")
	if err := b.unpack(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"usr/bin/bb":                       "#!\n",
		"etc/bb.conf":                      "hello\n",
		"var/lib/dpkg/info/format":         "1\n",
		"var/lib/dpkg/info/bb.conffiles":   "/etc/bb.conf\n",
		"var/lib/dpkg/info/bb.postinst":    "#!/bin/sh\n",
		"var/lib/dpkg/info/bb.list":        "/.\n/etc\n/etc/bb.conf\n/usr\n/usr/bin\n/usr/bin/bb\n/usr/share\n/usr/share/l\n",
		"var/lib/dpkg/info/aa:all.list":    "/.\n/usr\n/usr/bin\n/usr/bin/aa\n",
		"var/lib/dpkg/info/aa:all.md5sums": "03c57fba7e80571d976873fa839d234e  usr/bin/aa\n",
		"var/lib/dpkg/triggers/File":       "/usr/lib/x bb/noawait\n",
		"var/lib/dpkg/triggers/bb-done":    "bb\n",
		"var/lib/dpkg/status": "Package: bb\nStatus: install ok unpacked\nVersion: " +
			"1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: a test\n" +
			"Conffiles:\n /etc/bb.conf b1946ac92492d2347c6235b4d2611184\n\n" +
			"Package: aa\nStatus: install ok unpacked\nVersion: 1\nArchitecture: " +
			"all\nMaintainer: Nobody <nobody@example.org>\nDescription: a test\nMulti-Arch: " +
			"same\n\n",
	} {
		if got := b.read(path); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
	}
}

// TestUnpackSameLinks has what noble's base-files brings: the links of merged /usr, which are made
// before it.
func TestUnpackSameLinks(t *testing.T) {
	link := func(target string) deb.File {
		return deb.File{Path: "/bin", Mode: fs.ModeSymlink, Target: target}
	}
	links := map[string]string{"/bin": "usr/bin"}
	b := newBench(t)
	b.add("base", deb.Package{Files: []deb.File{link("usr/bin")}})
	b.add("tool", deb.Package{Files: []deb.File{file("/bin/tool", "#!\n")}})
	if err := b.unpackOver(links); err != nil {
		t.Fatal(err)
	}
	if got := b.read("usr/bin/tool"); got != "#!\n" {
		t.Errorf("the tool is %q", got)
	}
	if got, want := b.read("var/lib/dpkg/info/base.list"), "/.\n/bin\n"; got != want {
		t.Errorf("the list of files is %q, want %q", got, want)
	}
	if st, err := os.Lstat(filepath.Join(b.job.o.Tree, "bin")); err != nil ||
		st.ModTime().Unix() != 1600000000 {
		t.Errorf("the link has not the package's time: %v, %v", st, err)
	}

	b = newBench(t)
	b.add("base", deb.Package{Files: []deb.File{link("elsewhere")}})
	var inexact *errInexact
	if err := b.unpackOver(links); !errors.As(err, &inexact) {
		t.Errorf("another target: %v", err)
	}
}

// TestInexact has what dpkg would decide by its own rules.
func TestInexact(t *testing.T) {
	link := func(path, target string) deb.File {
		return deb.File{Path: path, Mode: fs.ModeSymlink, Target: target}
	}
	for name, tc := range map[string]struct {
		one, two []deb.File
		scripts  map[string]string
		want     string
	}{
		"file in two packages": {one: []deb.File{file("/a", "1")},
			two: []deb.File{file("/a", "2")}, want: "/a is in"},
		"link and file": {one: []deb.File{link("/a", "b")},
			two: []deb.File{file("/a", "2")}, want: "/a is in"},
		"conffile is a link": {one: []deb.File{link("/a", "b")},
			scripts: map[string]string{"conffiles": "/a\n"}, want: "conffile /a"},
		"conffile is missing": {one: []deb.File{file("/b", "1")},
			scripts: map[string]string{"conffiles": "/a\n"}, want: "conffile /a"},
		"directory where a file is": {one: []deb.File{file("/a", "1")},
			two: []deb.File{file("/a/b", "2")}, want: "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.add("one", deb.Package{Files: tc.one, Scripts: tc.scripts})
			b.add("two", deb.Package{Files: tc.two})
			err := b.unpack()
			var inexact *errInexact
			if !errors.As(err, &inexact) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// rawDeb is a package with a data member that no one would make by accident.
func rawDeb(t *testing.T, name string, entries ...*tar.Header) []byte {
	t.Helper()
	member := func(entries ...*tar.Header) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range entries {
			body := ""
			if h.Name == "./control" {
				body = "Package: " + name +
					"\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
			} else if h.Typeflag == tar.TypeReg {
				body = "hostile\n"
			}
			h.Size = int64(len(body))
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, body); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	out := "!<arch>\n"
	for _, m := range [][2]string{{"debian-binary", "2.0\n"},
		{"control.tar", member(&tar.Header{Name: "./control", Mode: 0o644})},
		{"data.tar", member(entries...)}} {
		out += fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m[0], 0, 0, 0, "100644", len(m[1]),
			m[1])
		if len(m[1])%2 == 1 {
			out += "\n"
		}
	}
	return []byte(out)
}

// TestHostileArchive has packages that try to leave the tree. What they name is inside it or an
// error; the host's files stay.
func TestHostileArchive(t *testing.T) {
	outside := t.TempDir()
	if err := os.Chmod(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("untouched\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	for name, entries := range map[string][]*tar.Header{
		"dots":     {{Name: up + victim, Typeflag: tar.TypeReg, Mode: 0o644}},
		"absolute": {{Name: victim, Typeflag: tar.TypeReg, Mode: 0o644}},
		"through-a-link": {{Name: "./l", Typeflag: tar.TypeSymlink, Linkname: up + outside},
			{Name: "./l/victim", Typeflag: tar.TypeReg, Mode: 0o644}},
		"through-an-abs-link": {{Name: "./l", Typeflag: tar.TypeSymlink, Linkname: outside},
			{Name: "./l/victim", Typeflag: tar.TypeReg, Mode: 0o644}},
		"hard-link": {{Name: "./h", Typeflag: tar.TypeLink, Linkname: up + victim},
			{Name: "./h2", Typeflag: tar.TypeReg, Mode: 0o644}},
		"info-is-a-link": {
			{Name: "./var/lib/dpkg/info", Typeflag: tar.TypeSymlink, Linkname: outside}},
		"status-is-a-link": {
			{Name: "./var/lib/dpkg/status", Typeflag: tar.TypeSymlink, Linkname: victim}},
		"packages-of-others": {{Name: "." + jailDebs + "/x", Typeflag: tar.TypeReg, Mode: 0o644}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.addRaw(name, rawDeb(t, name, entries...))
			t.Logf("unpack: %v", b.unpack()) // either way: what counts is what it touched
			text, err := os.ReadFile(victim)
			if err != nil || string(text) != "untouched\n" {
				t.Errorf("the host's file: %q, %v", text, err)
			}
			names, err := os.ReadDir(outside)
			if err != nil || len(names) != 1 {
				t.Errorf("the host's directory: %v, %v", names, err)
			}
			debs, err := os.ReadDir(filepath.Join(b.job.o.CacheDir, "debs"))
			if err != nil || len(debs) != 1 {
				t.Errorf("the packages' directory: %v, %v", debs, err)
			}
		})
	}
}

func TestUnpackFails(t *testing.T) {
	t.Run("not a package", func(t *testing.T) {
		b := newBench(t)
		b.addRaw("junk", []byte("this is no package at all"))
		if err := b.unpack(); err == nil || !strings.Contains(err.Error(), "unpacking junk: ") {
			t.Error(err)
		}
	})
	t.Run("another package's name", func(t *testing.T) {
		b := newBench(t)
		b.addRaw("right", rawDeb(t, "wrong"))
		if err := b.unpack(); err == nil || !strings.Contains(err.Error(), `"wrong", not "right"`) {
			t.Error(err)
		}
	})
	t.Run("strange type", func(t *testing.T) {
		b := newBench(t)
		b.addRaw("odd", rawDeb(t, "odd", &tar.Header{Name: "./odd", Typeflag: tar.TypeCont}))
		if err := b.unpack(); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		debs := make(chan ready)
		// at some moment: nothing shows from outside that it waits for packages
		time.AfterFunc(50*time.Millisecond, func() { cancel(); close(debs) })
		err := b.job.unpack(ctx, b.jail,
			unpack.Plan{Tree: jailTree, Debs: jailDebs, Epoch: b.job.o.Epoch, First: 1}, debs)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("cancelled at work", func(t *testing.T) {
		b := newBench(t)
		b.job.order = []string{"endless"}
		// to open it takes for ever
		if err := syscall.Mkfifo(filepath.Join(b.job.o.CacheDir, "debs", "endless.deb"),
			0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		debs := make(chan ready, 1)
		debs <- ready{"endless", "debs/endless.deb"}
		close(debs)
		time.AfterFunc(50*time.Millisecond, cancel) // nor that it is at work
		err := b.job.unpack(ctx, b.jail,
			unpack.Plan{Tree: jailTree, Debs: jailDebs, Epoch: b.job.o.Epoch}, debs)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestMissingPackage has a mirror that lacks one package: what is done with the others is ended at
// once.
func TestMissingPackage(t *testing.T) {
	b := newBench(t)
	if _, err := b.jail.Close(); err != nil { // inJail opens its own
		t.Fatal(err)
	}
	b.jail = nil
	a := fakedebian.New(t)
	a.Suite("bookworm").Add(fakedebian.Package{Name: "here"}, fakedebian.Package{Name: "missing"})
	tree := a.Tree()
	tree.Remove(tree.Find("missing_1.0-1_all.deb"))
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": tree})

	host, err := aptconf.ReadHost(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := archive.NewClient(archive.Options{CacheDir: b.job.o.CacheDir, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b.job.o.Client = client
	suite, err := suites.New().Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	repos, err := host.Repos(suite, srv.URL("debian"), "")
	if err != nil {
		t.Fatal(err)
	}
	repos[0].Keyrings = []string{fakedebian.Keyring(t, fakedebian.KeyArchive)}
	release, err := client.Release(t.Context(), repos[0])
	if err != nil {
		t.Fatal(err)
	}
	var packages []*index.Package
	err = client.Packages(t.Context(), release, "main", "amd64", func(p *index.Package) error {
		packages = append(packages, p)
		return nil
	})
	if err != nil || len(packages) != 2 {
		t.Fatal(packages, err)
	}

	ended := false
	err = b.job.inJail(t.Context(), packages, 0,
		func(ctx context.Context, _ jails.Jail, debs <-chan ready) error {
			for range debs {
			}
			select { // like a dpkg that has much to do
			case <-ctx.Done():
				ended = true
				return context.Cause(ctx)
			case <-time.After(time.Minute):
				return nil
			}
		})
	if !errors.Is(err, failure.ErrNotFound) || !strings.Contains(err.Error(), "package missing") {
		t.Errorf("%v", err)
	}
	if !ended {
		t.Error("the jail was let go on")
	}
}
