package main

import (
	"archive/tar"
	"bytes"
	"os/exec"

	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// soonTime is how long an end may take: two seconds, and one for a machine that is busy with other
// tests.
const soonTime = 3 * time.Second

// anEnd is a moment of a verb at which the user wants it to end.
type anEnd struct {
	name  string
	args  []string
	env   []string
	ready func(*testing.T) // makes what it works on, each time; nil: that is there
	comes func() bool      // when it is there; nil: from the start on
	later time.Duration    // and then
	// slow: it takes its time to come there, so it is asked once.
	slow bool
	// passed: the command of the user gets the signal, and its end is that of nsbuild.
	passed bool
}

func (e *anEnd) signals() []syscall.Signal {
	if e.slow {
		return []syscall.Signal{syscall.SIGINT}
	}
	return []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}
}

// hole makes a file that takes no room and for ever to read.
func hole(t *testing.T, name string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, nil, 0o644))
	check(t, os.Truncate(name, 1<<40))
}

// silentMirror accepts connections and says nothing.
func silentMirror(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	t.Cleanup(func() { check(t, l.Close()) })
	return "http://" + l.Addr().String() + "/debian"
}

// bulky is a source whose package is small and unpacks to so many MiB.
func bulky(name string, mib int) fakedebian.Source {
	return fakedebian.Source{Name: name, Version: "1.0", Architecture: "all",
		Rules: fmt.Sprintf(`#!/usr/bin/make -f
build build-arch build-indep clean:
binary-arch:
binary binary-indep:
	mkdir -p debian/%[1]s/DEBIAN
	truncate -s %[2]dM debian/%[1]s/bulk
	dpkg-gencontrol -p%[1]s -Pdebian/%[1]s
	dpkg-deb -Zgzip -z1 --root-owner-group -b debian/%[1]s ..
`, name, mib)}
}

// logHas tells whether a log, of whatever build of a package, has a text.
func (w *world) logHas(name, text string) func() bool {
	return func() bool {
		data, err := os.ReadFile(filepath.Join(w.dir, name+"_1.0_amd64.build"))
		return err == nil && strings.Contains(string(data), text)
	}
}

// appears tells whether a file is there.
func appears(pattern string) func() bool {
	return func() bool {
		found, err := filepath.Glob(pattern)
		return err == nil && len(found) > 0
	}
}

// TestEnds asks every verb to end, in each of its phases, by Ctrl-C, by SIGTERM and, where there is
// one, by --timeout. It ends within two seconds, whatever it is at, and nothing is left that is in
// the way. Commands in sessions are internal/session's, in TestStoppedHelper and TestStubborn.
func TestEnds(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	check(t, unix.Mkfifo(filepath.Join(w.dir, "fifo.tar"), 0o600))
	for _, name := range []string{"tree/bin/hole", "wide-1.0/hole"} {
		hole(t, filepath.Join(w.dir, name))
	}
	w.writeTree(t, "wide-1.0")
	aHole := filepath.Join(w.cache, "debs/aa", strings.Repeat("a", 64)+".deb")
	hole(t, aHole)
	t.Cleanup(func() { check(t, os.RemoveAll(filepath.Join(w.cache, "debs/aa"))) })
	w.script(t, "deaf/before-build.d/10-deaf", "trap '' INT TERM; echo deaf; sleep 600")
	w.script(t, "deaf/before-run.d/10-deaf", "trap '' INT TERM; echo deaf; sleep 600")
	aLayer := filepath.Join(w.cache, "layers", strings.Repeat("e", 64)) // of which that is all
	mirror := silentMirror(t)

	asleep := w.sleeper(t)
	deaf := w.writeSource(t, fakedebian.Source{Name: "deaf", Version: "1.0",
		Rules: badRules(
			"\t@trap '' INT TERM; echo deaf; sleep 600 & kill -STOP $$!; wait; sleep 600\n")})
	stopped := w.writeSource(t,
		fakedebian.Source{Name: "halted", Version: "1.0",
			Rules: badRules("\t@echo halted; kill -STOP 0; sleep 600\n")})
	bulk := w.writeSource(t, bulky("bulk", 500))
	build := func(args ...string) []string {
		return append([]string{"build", "-d", "bookworm", "--scratch=disk"}, args...)
	}
	wants, tested := w.deafPackages(t)
	w.script(t, "updated/E10deaf", "trap '' INT TERM; touch /tmp/deaf; sleep 600")
	const sh = "/bin/sh"
	ends := []anEnd{
		{name: "create, a silent mirror", args: []string{"create", "--name", "ended", "--mirror",
			mirror, "bookworm"}, later: 500 * time.Millisecond},
		{name: "create, unpacking", args: []string{"create", "--name", "ended", "bookworm"},
			slow:  true,
			comes: appears(filepath.Join(w.state, "bases/ended/draft-*/tree/usr/bin/dpkg"))},
		{name: "build, a silent mirror",
			args:  build("--extra-repository", "deb [trusted=yes] "+mirror+" sid main", asleep),
			later: 500 * time.Millisecond},
		{name: "build, copying a hole into the jail", args: build("wide-1.0"),
			comes: w.logHas("wide", "Source directory"), later: time.Second},
		{name: "build, asleep", args: build(asleep), comes: w.logHas("sleeper", "\nasleep\n")},
		{name: "build, deaf", args: build(deaf), comes: w.logHas("deaf", "\ndeaf\n")},
		{name: "build, stopped", args: build(stopped), comes: w.logHas("halted", "\nhalted\n")},
		{name: "build, listing a package that unpacks to much", args: build(bulk), slow: true,
			comes: w.logHas("bulk", "new Debian package")},
		{name: "build, a deaf hook", args: build("--hook", "./deaf", asleep),
			comes: w.logHas("sleeper", "\ndeaf\n")},
		{name: "build, a deaf command of the host",
			args: build("--pre-build-commands", "trap '' INT TERM; touch "+w.dir+
				"/deaf-on-host; sleep 600", asleep),
			comes: appears(w.dir + "/deaf-on-host")},
		{name: "build, a deaf postinst", args: build("--extra-package", "./pool", wants),
			comes: w.logHas("wants", "deaf postinst")},
		{name: "build, a deaf test", args: build("--run-autopkgtest", tested), slow: true,
			comes: w.logHas("tested", "\ndeaf test\n")},
		{name: "build, a deaf package in its check", args: build("--check-install", tested),
			slow:  true,
			comes: w.logHas("tested", "deaf postinst")},
		{name: "update, a deaf hook", args: []string{"update", "--hookdir", "./updated",
			"bookworm"}, slow: true,
			comes: appears(filepath.Join(w.state, "bases/bookworm/draft-*/tree/tmp/deaf"))},
		{name: "export, compressing", args: []string{"export", "-o", "out.tar.xz", "bookworm"},
			later: 500 * time.Millisecond},
		{name: "shell, a deaf hook", args: []string{"shell", "--hook", "./deaf", "bookworm"},
			later: time.Second},
		{name: "import, a FIFO", args: []string{"import", "imported", "fifo.tar"},
			later: 500 * time.Millisecond},
		{name: "import, a hole", args: []string{"import", "imported", "tree"}, later: time.Second},
		{name: "run", args: []string{"run", "bookworm", "--", sh, "-c",
			"touch /tmp/here; sleep 600"}, later: time.Second, passed: true},
		{name: "run, deaf", args: []string{"run", "bookworm", "--", sh, "-c",
			"trap '' INT TERM; sleep 600; sleep 600"}, later: time.Second, passed: true},
		{name: "run, stopped", args: []string{"run", "bookworm", "--", sh, "-c",
			"kill -STOP 0; sleep 600"}, later: time.Second, passed: true},
		{name: "run, a deaf hook", args: []string{"run", "--hook", "./deaf", "bookworm", "--",
			"true"}, later: time.Second},
		{name: "session begin, a deaf hook", args: []string{"session", "begin", "--hook", "./deaf",
			"bookworm"}, later: time.Second},
		{name: "session end, a stopped supervisor", args: []string{"session", "end", "stopped"},
			ready: func(t *testing.T) { w.stoppedSession(t, "stopped") },
			later: 500 * time.Millisecond},
		{name: "cache verify, a hole", args: []string{"cache", "verify"},
			later: 500 * time.Millisecond},
		{name: "cache copies, an immense package", args: []string{"cache", "copies"},
			ready: func(t *testing.T) { immense(t, aHole) }, later: 500 * time.Millisecond},
		{name: "cache clean, many files", args: []string{"cache", "clean", "--all"}, slow: true,
			ready: func(t *testing.T) {
				manyFiles(t, filepath.Join(aLayer, "tree"))
				for _, name := range []string{"lock", "manifest.json"} {
					check(t, os.WriteFile(filepath.Join(aLayer, name), nil, 0o644))
				}
			},
			comes: someDisappear(filepath.Join(aLayer, "tree"))},
		{name: "remove, many files", args: []string{"remove", "bulky"}, slow: true,
			ready: func(t *testing.T) {
				manyFiles(t, filepath.Join(w.dir, "many/srv"))
				w.must(t, "import", "--suite", "bookworm", "bulky", "many")
			},
			comes: someDisappear(filepath.Join(w.state, "bases/bulky/gen-1/tree/srv"))},
		{name: "doctor, a silent proxy", args: []string{"doctor", "--refresh"},
			env: []string{"http_proxy=" + mirror, "https_proxy=" + mirror}, later: time.Second},
	}
	check(t, os.MkdirAll(filepath.Join(w.dir, "many/var/lib/dpkg"), 0o755))
	check(t, os.Mkdir(filepath.Join(w.dir, "many/etc"), 0o755))
	for name, text := range map[string]string{
		"var/lib/dpkg/status": "Package: dpkg\nStatus: install ok installed\nVersion: 1.0\n" +
			"Architecture: amd64\nMaintainer: A <a@b.example>\nDescription: x\n x\n",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
		"etc/group":  "root:x:0:\n",
	} {
		check(t, os.WriteFile(filepath.Join(w.dir, "many", name), []byte(text), 0o644))
	}
	for _, e := range ends {
		for _, signal := range e.signals() {
			t.Run(e.name+", "+signalName(signal), func(t *testing.T) { w.ends(t, e, signal) })
		}
		if e.passed {
			t.Run(e.name+", --timeout", func(t *testing.T) { w.timesOut(t, e) })
		}
	}
	w.must(t, "cache", "clean", "--all") // takes what one that ended early has left
	w.noScratch(t)
}

// deafPackages are a source that depends on a package whose postinst does not end, and one whose
// own package has such a postinst, and such a test.
func (w *world) deafPackages(t *testing.T) (wants, tested string) {
	t.Helper()
	const postinst = "#!/bin/sh\ntrap '' INT TERM\necho deaf postinst\nsleep 600\n"
	writePackage(t, filepath.Join(w.dir, "pool"),
		fakedebian.Package{Name: "deaf-dev", Version: "1.0",
			Scripts: map[string]string{"postinst": postinst}})
	wants = w.writeSource(t,
		fakedebian.Source{Name: "wants", Version: "1.0", BuildDepends: "deaf-dev",
			Rules: badRules("\ttrue\n")})
	tested = w.writeSource(t, fakedebian.Source{
		Name: "tested", Version: "1.0", Packages: []fakedebian.Package{
			{Name: "tested", Architecture: "all"}},
		Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN\n" +
			"\tinstall -m 755 debian/postinst.deaf debian/made/DEBIAN/postinst\n" +
			"\tdpkg-gencontrol -ptested -Pdebian/made\n\tdpkg-deb --root-owner-group --build " +
			"debian/made ..\n",
		Debian: []fakedebian.File{
			{Path: "postinst.deaf", Body: postinst},
			{Path: "tests/control",
				Body: "Test-Command: trap '' INT TERM; echo deaf test; sleep 600\nDepends:\n"},
		},
	})
	return wants, tested
}

// many is how many files take their time to be deleted.
const many = 40000

// manyFiles makes so many in a directory.
func manyFiles(t *testing.T, dir string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o755))
	for i := range many {
		check(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644))
	}
}

// someDisappear waits for their deletion to be under way.
func someDisappear(dir string) func() bool {
	return func() bool {
		for i := 0; i < many; i += many / 20 {
			if _, err := os.Lstat(filepath.Join(dir, strconv.Itoa(i))); errors.Is(err,
				fs.ErrNotExist) {
				return true
			}
		}
		return false
	}
}

// immense writes a package with a file of 8 GiB, which takes no room.
func immense(t *testing.T, name string) {
	t.Helper()
	const size = 8 << 30
	tarball := func(header tar.Header, text string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		check(t, w.WriteHeader(&header))
		_, err := io.WriteString(w, text)
		check(t, err)
		return b.String()
	}
	const control = "Package: immense\nVersion: 1.0\nArchitecture: all\n" +
		"Maintainer: A <a@b.example>\nDescription: x\n"
	data := tarball(tar.Header{Name: "./srv/immense", Size: size, Mode: 0o644}, "")
	var b strings.Builder
	b.WriteString("!<arch>\n")
	member := func(name, content string, size int) {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", name, 0, 0, 0, "100644", size, content)
	}
	member("debian-binary", "2.0\n", 4)
	files := tarball(tar.Header{Name: "./control", Size: int64(len(control)), Mode: 0o644}, control)
	files += strings.Repeat("\x00", 1536-len(files)%512)
	member("control.tar", files, len(files))
	member("data.tar", data, len(data)+size+1024)
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, []byte(b.String()), 0o644))
	check(t, os.Truncate(name, int64(b.Len()+size+1024)))
}

// stoppedSession begins a session, whose supervisor cannot answer until the test is over.
func (w *world) stoppedSession(t *testing.T, name string) {
	t.Helper()
	w.must(t, "session", "begin", "--name", name, "bookworm")
	var all []struct{ PID int }
	check(t, json.Unmarshal([]byte(w.must(t, "session", "list", "--json").stdout), &all))
	if len(all) != 1 || all[0].PID < 2 {
		t.Fatalf("%+v", all)
	}
	check(t, syscall.Kill(all[0].PID, syscall.SIGSTOP))
	t.Cleanup(func() {
		check(t, syscall.Kill(all[0].PID, syscall.SIGCONT))
		for range 100 { // it had been asked to end
			list := exec.Command("nsbuild", "session", "list")
			list.Env = w.environment()
			if out, err := list.Output(); err != nil || len(out) == 0 {
				check(t, err)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error("it goes on")
	})
}

func (w *world) ends(t *testing.T, e anEnd, signal syscall.Signal) {
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.build"))
	check(t, err)
	for _, old := range append(logs, w.dir+"/deaf-on-host") {
		if err := os.Remove(old); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if e.comes == nil {
		e.comes = atStart.come
	}
	if e.ready != nil {
		e.ready(t)
	}
	caller := *w
	caller.env = append(slices.Clone(w.env), e.env...)
	took, o := caller.at(t, moment{e.name, e.comes}, e.later, signal, e.args...)
	if took == 0 {
		t.Fatalf("it ended before: %s", o)
	}
	if took > soonTime {
		t.Errorf("it ended after %v", took)
	}
	want := 128 + int(signal)
	if e.passed && o.status == 128+int(syscall.SIGKILL) {
		want = o.status // it had to be killed
	}
	if o.status != want {
		t.Errorf("status %d, want %d: %s", o.status, want, o)
	}
	t.Logf("ended after %v", took)
	if left, err := filepath.Glob(filepath.Join(w.dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	w.must(t, "list") // which deletes what is left
}

func (w *world) timesOut(t *testing.T, e anEnd) {
	begin := time.Now()
	o := w.run(t, append([]string{e.args[0], "--timeout", "500ms"}, e.args[1:]...)...)
	if took := time.Since(begin); took > soonTime+time.Second || o.status != 124 {
		t.Errorf("after %v: %s", took, o)
	}
}

// writeTree makes a source directory of a native package.
func (w *world) writeTree(t *testing.T, dir string) {
	t.Helper()
	name, version, _ := strings.Cut(dir, "-")
	for file, text := range map[string]string{
		"control": "Source: " + name + "\nMaintainer: A <a@b.example>\nSection: misc\nPriority: " +
			"optional\nStandards-Version: 4.6.2\n\n" +
			"Package: " + name + "\nArchitecture: all\nDescription: x\n x\n",
		"changelog": name + " (" + version + ") unstable; urgency=low\n\n  * x\n\n -- A " +
			"<a@b.example>  Mon, 01 Jan 2024 00:00:00 +0000\n",
		"source/format": "3.0 (native)\n",
		"rules":         badRules("\ttrue\n"),
	} {
		file = filepath.Join(w.dir, dir, "debian", file)
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte(text), 0o755))
	}
}
