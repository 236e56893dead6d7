package ends

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// anEnd is a moment of a verb at which the user wants it to end.
type anEnd struct {
	name  string
	args  []string
	env   []string
	ready func(*testing.T) // makes what it works on, each time; nil: that is there
	comes func() bool      // when it is there; nil: from the start on
	// later it is where it is to be asked, which nothing shows from outside: how far it has read
	// a file, say, or that it waits for somebody who was stopped.
	later time.Duration
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
	e2e.Check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	e2e.Check(t, os.WriteFile(name, nil, 0o644))
	e2e.Check(t, os.Truncate(name, 1<<40))
}

// silentMirror accepts connections and says nothing. asked tells whether somebody waits for it.
func silentMirror(t *testing.T) (url string, asked func() bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	e2e.Check(t, err)
	var waiting atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			waiting.Add(1)
			go func() {
				_, _ = io.Copy(io.Discard, c)
				waiting.Add(-1)
			}()
		}
	}()
	t.Cleanup(func() { e2e.Check(t, l.Close()) })
	return "http://" + l.Addr().String() + "/debian", func() bool { return waiting.Load() > 0 }
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
func logHas(w *e2e.World, name, text string) func() bool {
	return func() bool {
		data, err := os.ReadFile(filepath.Join(w.Dir, name+"_1.0_amd64.build"))
		return err == nil && strings.Contains(string(data), text)
	}
}

// sleeps tells whether a sleep of so many seconds runs: those of jails are processes of the host.
func sleeps(seconds string) func() bool {
	return func() bool {
		all, err := filepath.Glob("/proc/[0-9]*/cmdline")
		return err == nil && slices.ContainsFunc(all, func(name string) bool {
			text, err := os.ReadFile(name) // it may have ended
			return err == nil && string(text) == "sleep\x00"+seconds+"\x00"
		})
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
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	e2e.Check(t, unix.Mkfifo(filepath.Join(w.Dir, "fifo.tar"), 0o600))
	for _, name := range []string{"tree/bin/hole", "wide-1.0/hole"} {
		hole(t, filepath.Join(w.Dir, name))
	}
	w.WriteTree(t, "wide-1.0")
	aHole := filepath.Join(w.Cache, "debs/aa", strings.Repeat("a", 64)+".deb")
	hole(t, aHole)
	t.Cleanup(func() { e2e.Check(t, os.RemoveAll(filepath.Join(w.Cache, "debs/aa"))) })
	w.Script(t, "deaf/before-build.d/10-deaf", "trap '' INT TERM; echo deaf; sleep 600")
	w.Script(t, "deaf/before-run.d/10-deaf", "trap '' INT TERM; echo deaf; sleep 6001")
	aLayer := filepath.Join(w.Cache, "layers", strings.Repeat("e", 64)) // of which that is all
	mirror, asked := silentMirror(t)

	asleep := sleeper(t, w)
	deaf := w.WriteSource(t, fakedebian.Source{Name: "deaf", Version: "1.0",
		Rules: e2e.BadRules(
			"\t@trap '' INT TERM; echo deaf; sleep 600 & kill -STOP $$!; wait; sleep 600\n")})
	stopped := w.WriteSource(t,
		fakedebian.Source{Name: "halted", Version: "1.0",
			Rules: e2e.BadRules("\t@echo halted; kill -STOP 0; sleep 600\n")})
	bulk := w.WriteSource(t, bulky("bulk", 500))
	build := func(args ...string) []string {
		return append([]string{"build", "-d", "bookworm", "--scratch=disk"}, args...)
	}
	wants, tested := deafPackages(t, w)
	w.Script(t, "updated/E10deaf", "trap '' INT TERM; touch /tmp/deaf; sleep 600")
	const sh = "/bin/sh"
	all := []anEnd{
		{name: "create, a silent mirror", args: []string{"create", "--name", "ended", "--mirror",
			mirror, "bookworm"}, comes: asked},
		{name: "create, unpacking", args: []string{"create", "--name", "ended", "bookworm"},
			slow:  true,
			comes: appears(filepath.Join(w.State, "bases/ended/draft-*/tree/usr/bin/dpkg"))},
		{name: "build, a silent mirror",
			args:  build("--extra-repository", "deb [trusted=yes] "+mirror+" sid main", asleep),
			comes: asked},
		{name: "build, copying a hole into the jail", args: build("wide-1.0"),
			comes: logHas(w, "wide", "Source directory"), later: time.Second},
		{name: "build, asleep", args: build(asleep), comes: logHas(w, "sleeper", "\nasleep\n")},
		{name: "build, deaf", args: build(deaf), comes: logHas(w, "deaf", "\ndeaf\n")},
		{name: "build, stopped", args: build(stopped), comes: logHas(w, "halted", "\nhalted\n")},
		{name: "build, listing a package that unpacks to much", args: build(bulk), slow: true,
			comes: logHas(w, "bulk", "new Debian package")},
		{name: "build, a deaf hook", args: build("--hook", "./deaf", asleep),
			comes: logHas(w, "sleeper", "\ndeaf\n")},
		{name: "build, a deaf command of the host",
			args: build("--pre-build-commands", "trap '' INT TERM; touch "+w.Dir+
				"/deaf-on-host; sleep 600", asleep),
			comes: appears(w.Dir + "/deaf-on-host")},
		{name: "build, a deaf postinst", args: build("--extra-package", "./pool", wants),
			comes: logHas(w, "wants", "deaf postinst")},
		{name: "build, a deaf test", args: build("--run-autopkgtest", tested), slow: true,
			comes: logHas(w, "tested", "\ndeaf test\n")},
		{name: "build, a deaf package in its check", args: build("--check-install", tested),
			slow:  true,
			comes: logHas(w, "tested", "deaf postinst")},
		{name: "update, a deaf hook", args: []string{"update", "--hookdir", "./updated",
			"bookworm"}, slow: true,
			comes: appears(filepath.Join(w.State, "bases/bookworm/draft-*/tree/tmp/deaf"))},
		{name: "export, compressing", args: []string{"export", "-o", "out.tar.xz", "bookworm"},
			later: 500 * time.Millisecond},
		{name: "shell, a deaf hook", args: []string{"shell", "--hook", "./deaf", "bookworm"},
			comes: sleeps("6001")},
		{name: "import, a FIFO", args: []string{"import", "imported", "fifo.tar"},
			later: 500 * time.Millisecond},
		{name: "import, a hole", args: []string{"import", "imported", "tree"}, later: time.Second},
		{name: "run", args: []string{"run", "bookworm", "--", sh, "-c",
			"sleep 6002; exit"}, comes: sleeps("6002"), passed: true},
		{name: "run, deaf", args: []string{"run", "bookworm", "--", sh, "-c",
			"trap '' INT TERM; sleep 6003; sleep 600"}, comes: sleeps("6003"), passed: true},
		{name: "run, stopped", args: []string{"run", "bookworm", "--", sh, "-c",
			"kill -STOP 0; sleep 600"}, later: time.Second, passed: true},
		{name: "run, a deaf hook", args: []string{"run", "--hook", "./deaf", "bookworm", "--",
			"true"}, comes: sleeps("6001")},
		{name: "session begin, a deaf hook", args: []string{"session", "begin", "--hook", "./deaf",
			"bookworm"}, comes: sleeps("6001")},
		{name: "session end, a stopped supervisor", args: []string{"session", "end", "stopped"},
			ready: func(t *testing.T) { stoppedSession(t, w, "stopped") },
			later: 500 * time.Millisecond},
		{name: "cache verify, a hole", args: []string{"cache", "verify"},
			later: 500 * time.Millisecond},
		{name: "cache copies, an immense package", args: []string{"cache", "copies"},
			ready: func(t *testing.T) { immense(t, aHole) }, later: 500 * time.Millisecond},
		{name: "cache clean, many files", args: []string{"cache", "clean", "--all"}, slow: true,
			ready: func(t *testing.T) {
				manyFiles(t, filepath.Join(aLayer, "tree"))
				for _, name := range []string{"lock", "manifest.json"} {
					e2e.Check(t, os.WriteFile(filepath.Join(aLayer, name), nil, 0o644))
				}
			},
			comes: someDisappear(filepath.Join(aLayer, "tree"))},
		{name: "remove, many files", args: []string{"remove", "bulky"}, slow: true,
			ready: func(t *testing.T) {
				manyFiles(t, filepath.Join(w.Dir, "many/srv"))
				w.Must(t, "import", "--suite", "bookworm", "bulky", "many")
			},
			comes: someDisappear(filepath.Join(w.State, "bases/bulky/gen-1/tree/srv"))},
		{name: "doctor, a silent proxy", args: []string{"doctor", "--refresh"},
			env: []string{"http_proxy=" + mirror, "https_proxy=" + mirror}, comes: asked},
	}
	e2e.Check(t, os.MkdirAll(filepath.Join(w.Dir, "many/var/lib/dpkg"), 0o755))
	e2e.Check(t, os.Mkdir(filepath.Join(w.Dir, "many/etc"), 0o755))
	for name, text := range map[string]string{
		"var/lib/dpkg/status": "Package: dpkg\nStatus: install ok installed\nVersion: 1.0\n" +
			"Architecture: amd64\nMaintainer: A <a@b.example>\nDescription: x\n x\n",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
		"etc/group":  "root:x:0:\n",
	} {
		e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "many", name), []byte(text), 0o644))
	}
	for _, e := range all {
		for _, signal := range e.signals() {
			t.Run(e.name+", "+unix.SignalName(signal), func(t *testing.T) { ends(t, w, e, signal) })
		}
		if e.passed {
			t.Run(e.name+", --timeout", func(t *testing.T) { timesOut(t, w, e) })
		}
	}
	w.Must(t, "cache", "clean", "--all") // takes what one that ended early has left
	w.Sweep(t)
	w.NoScratch(t)
}

// deafPackages are a source that depends on a package whose postinst does not end, and one whose
// own package has such a postinst, and such a test.
func deafPackages(t *testing.T, w *e2e.World) (wants, tested string) {
	t.Helper()
	const postinst = "#!/bin/sh\ntrap '' INT TERM\necho deaf postinst\nsleep 600\n"
	e2e.WritePackage(t, filepath.Join(w.Dir, "pool"),
		fakedebian.Package{Name: "deaf-dev", Version: "1.0",
			Scripts: map[string]string{"postinst": postinst}})
	wants = w.WriteSource(t,
		fakedebian.Source{Name: "wants", Version: "1.0", BuildDepends: "deaf-dev",
			Rules: e2e.BadRules("\ttrue\n")})
	tested = w.WriteSource(t, fakedebian.Source{
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
	e2e.Check(t, os.MkdirAll(dir, 0o755))
	for i := range many {
		e2e.Check(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644))
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

// immense writes a package with a file of 8 GiB, which takes little room until it is unpacked.
func immense(t *testing.T, name string) {
	t.Helper()
	const size, piece = 8 << 30, 16 << 20
	compressed := func(text string) string { // gzip(1) takes several such, one after the other
		var b strings.Builder
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, text)
		e2e.Check(t, errors.Join(err, w.Close()))
		return b.String()
	}
	header := func(h tar.Header) string {
		var b bytes.Buffer
		e2e.Check(t, tar.NewWriter(&b).WriteHeader(&h))
		return b.String()
	}
	const control = "Package: immense\nVersion: 1.0\nArchitecture: all\n" +
		"Maintainer: A <a@b.example>\nDescription: x\n"
	files := header(tar.Header{Name: "./control", Size: int64(len(control)), Mode: 0o644}) + control
	files += strings.Repeat("\x00", 1536-len(files)%512)
	data := compressed(header(tar.Header{Name: "./srv/immense", Size: size, Mode: 0o644})) +
		strings.Repeat(compressed(strings.Repeat("\x00", piece)), size/piece) +
		compressed(strings.Repeat("\x00", 1024))
	var b strings.Builder
	b.WriteString("!<arch>\n")
	for _, member := range [][2]string{{"debian-binary", "2.0\n"}, {"control.tar", files},
		{"data.tar.gz", data}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", member[0], 0, 0, 0, "100644",
			len(member[1]), member[1])
		if len(member[1])%2 == 1 {
			b.WriteByte('\n')
		}
	}
	e2e.Check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	e2e.Check(t, os.WriteFile(name, []byte(b.String()), 0o644))
}

// stoppedSession begins a session, whose supervisor cannot answer until the test is over.
func stoppedSession(t *testing.T, w *e2e.World, name string) {
	t.Helper()
	w.Must(t, "session", "begin", "--name", name, "bookworm")
	var all []struct{ PID int }
	e2e.Check(t, json.Unmarshal([]byte(w.Must(t, "session", "list", "--json").Stdout), &all))
	if len(all) != 1 || all[0].PID < 2 {
		t.Fatalf("%+v", all)
	}
	e2e.Check(t, syscall.Kill(all[0].PID, syscall.SIGSTOP))
	t.Cleanup(func() {
		e2e.Check(t, syscall.Kill(all[0].PID, syscall.SIGCONT))
		for range 100 { // it had been asked to end
			list := exec.Command("nsbuild", "session", "list")
			list.Env = w.Environment()
			if out, err := list.Output(); err != nil || len(out) == 0 {
				e2e.Check(t, err)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error("it goes on")
	})
}

func ends(t *testing.T, w *e2e.World, e anEnd, signal syscall.Signal) {
	logs, err := filepath.Glob(filepath.Join(w.Dir, "*.build"))
	e2e.Check(t, err)
	for _, old := range append(logs, w.Dir+"/deaf-on-host") {
		if err := os.Remove(old); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if e.comes == nil {
		e.comes = e2e.AtStart.Come
	}
	if e.ready != nil {
		e.ready(t)
	}
	caller := *w
	caller.Env = append(slices.Clone(w.Env), e.env...)
	took, o := caller.At(t, e2e.Moment{Name: e.name, Come: e.comes}, e.later, signal, e.args...)
	if took == 0 {
		t.Fatalf("it ended before: %s", o)
	}
	if took > e2e.StopTime()+time.Second {
		t.Errorf("it ended after %v", took)
	}
	want := 128 + int(signal)
	if e.passed && o.Status == 128+int(syscall.SIGKILL) {
		want = o.Status // it had to be killed
	}
	if o.Status != want {
		t.Errorf("status %d, want %d: %s", o.Status, want, o)
	}
	t.Logf("ended after %v", took)
	if left, err := filepath.Glob(filepath.Join(w.Dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	w.Must(t, "list") // which deletes what is left
}

func timesOut(t *testing.T, w *e2e.World, e anEnd) {
	begin := time.Now()
	o := w.Run(t, append([]string{e.args[0], "--timeout", "500ms"}, e.args[1:]...)...)
	if took := time.Since(begin); took > e2e.StopTime()+2*time.Second || o.Status != 124 {
		t.Errorf("after %v: %s", took, o)
	}
}
