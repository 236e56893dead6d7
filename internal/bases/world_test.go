package bases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/machine"
	"nsbuild/internal/progress"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// world is a mirror with a suite called crane, and a Keeper whose jails are made up.
type world struct {
	*Keeper
	t       *testing.T
	archive *fakedebian.Archive
	suite   *fakedebian.Suite
	server  *fakedebian.Server
	system  *programs.System
	fake    *fakejail.Maker
	log     *logtest.Hook
	dir     string // of the state
	table   string // file with the suite
	copied  int    // times that copies were to be made
}

// pack is a small package that is quickly made.
func pack(name string, more ...func(*fakedebian.Package)) fakedebian.Package {
	p := fakedebian.Package{Name: name, ControlCompression: fakedebian.Gzip,
		DataCompression: fakedebian.Gzip, Architecture: machine.Native(),
		Files: []fakedebian.File{{Path: "usr/share/" + name + "/file", Body: name + "\n"}}}
	for _, change := range more {
		change(&p)
	}
	return p
}

func essential(p *fakedebian.Package) { p.Essential, p.Priority = true, "required" }

// version gives a package another version.
func version(v string) func(*fakedebian.Package) {
	return func(p *fakedebian.Package) { p.Version = v }
}

// script gives a package a script that is run when it is installed.
func script(text string) func(*fakedebian.Package) {
	return func(p *fakedebian.Package) { p.Scripts = map[string]string{"postinst": text} }
}

// file gives a package one more file.
func file(name, body string) func(*fakedebian.Package) {
	return func(p *fakedebian.Package) {
		p.Files = append(p.Files, fakedebian.File{Path: name, Body: body})
	}
}

// newWorld makes one whose suite has what a base needs, and some packages more.
func newWorld(t *testing.T, packages ...fakedebian.Package) *world {
	t.Helper()
	w := &world{t: t, archive: fakedebian.New(t), system: &programs.System{}, dir: t.TempDir()}
	w.suite = w.archive.Suite("crane")
	w.suite.Architectures = []string{machine.Native()}
	w.suite.Compressions = []fakedebian.Compression{fakedebian.Gzip}
	w.suite.Add(pack("dpkg", version("1.22.6"), essential),
		pack("base-files", essential, file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
			file("etc/group", "root:x:0:\n")), pack("mawk"), pack("apt"), pack("build-essential"))
	w.suite.Add(packages...)
	w.server = fakedebian.Serve(t, fakedebian.Mounts{"debian": w.archive.Tree()})
	table := filepath.Join(w.dir, "suites.deb822")
	w.check(os.WriteFile(table, fmt.Appendf(nil, "Suite: crane\nMirror: %s\nKeyrings: %s\n"+
		"Components: main\n", w.server.URL("debian"),
		fakedebian.Keyring(t, fakedebian.KeyArchive)), 0o600))
	w.table = table
	w.fake = fakejail.New(t)
	maps.Copy(w.fake.Programs, programs.Build())
	w.system.Install(w.fake)
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	w.log = hook
	w.Keeper = &Keeper{Log: log}
	w.Keeper = newKeeper(t, w)
	return w
}

// newKeeper is a Keeper of the world's bases with a cache that is empty.
func newKeeper(t *testing.T, w *world) *Keeper {
	t.Helper()
	known, cache, log := suites.New(w.table), t.TempDir(), w.Log
	host, err := aptconf.ReadHost(t.TempDir(), known)
	w.check(err)
	client, err := archive.NewClient(archive.Options{CacheDir: cache, Host: host, Log: log,
		RefreshAfter: -1, Timeout: 5 * time.Second, Retries: -1})
	w.check(err)
	store, err := base.Open(w.dir)
	w.check(err)
	work, err := workdir.Open(t.Context(), w.dir, log)
	w.check(err)
	work.Start = w.fake.Start
	shown := progress.New(io.Discard, progress.Options{})
	t.Cleanup(func() {
		for _, err := range []error{client.Close(), shown.Close(),
			work.Close(context.WithoutCancel(t.Context()), log)} {
			w.check(err)
		}
	})
	return &Keeper{Store: store, Suites: known, Host: host, Client: client, Work: work,
		StateDir: w.dir, CacheDir: cache,
		IDs: sandbox.IDMap{Rung: sandbox.RungSubIDs, UIDBase: 100000, GIDBase: 100000,
			Count: sandbox.IDCount}, Log: log, Progress: shown, Meter: &progress.Meter{},
		Copies: w, Turns: &Turns{}}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Start notes that copies are to be made.
func (w *world) Start(logrus.FieldLogger, []string, pool.CopyForm) (stop func()) {
	w.copied++
	return func() {}
}

// update changes the suite on the mirror.
func (w *world) update(packages ...fakedebian.Package) {
	w.t.Helper()
	w.suite.Add(packages...)
	w.suite.Date = w.suite.Date.Add(time.Minute)
	w.server.Mount("debian", w.archive.Tree())
}

// options are those of a base of the suite.
func (w *world) options(change ...func(*Options)) Options {
	w.t.Helper()
	s, err := w.Suites.Lookup("crane")
	w.check(err)
	o := Options{Suite: s}
	for _, c := range change {
		c(&o)
	}
	return o
}

// create makes a base.
func (w *world) create(change ...func(*Options)) *base.Generation {
	w.t.Helper()
	o := w.options(change...)
	_, err := w.Create(w.t.Context(), o)
	w.check(err)
	if o.Name == "" {
		o.Name = "crane"
	}
	return w.use(o.Name)
}

// use takes a base into use until the end of the test.
func (w *world) use(name string) *base.Generation {
	w.t.Helper()
	g, err := w.Store.Use(name)
	w.check(err)
	w.t.Cleanup(func() { w.check(g.Close()) })
	return g
}

// has are the versions of some packages in a base, by what its manifest says and by what is there.
func (w *world) has(g *base.Generation, name string) string {
	w.t.Helper()
	version := ""
	for _, p := range g.Manifest.Packages {
		if p.Name == name {
			version = p.Version
		}
	}
	status, err := os.ReadFile(filepath.Join(g.Tree(), "var/lib/dpkg/status"))
	w.check(err)
	_, after, there := strings.Cut(string(status), "Package: "+name+"\n")
	after, _, _ = strings.Cut(after, "\n\n")
	if there != (version != "") || !strings.Contains(after, "\nVersion: "+version+"\n") &&
		version != "" {
		w.t.Errorf("%s: the manifest has %q, dpkg's status %q", name, version, after)
	}
	return version
}

// text is a file of a tree; "" where it has none.
func text(tree, name string) string {
	data, err := os.ReadFile(filepath.Join(tree, name))
	if err != nil {
		return ""
	}
	return string(data)
}

// left are the names in the directory of a base, but of its locks.
func (w *world) left(name string) []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.Store.Dir(), name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	w.check(err)
	var out []string
	for _, e := range entries {
		if e.Name() != "lock" {
			out = append(out, e.Name())
		}
	}
	return out
}

// said are the messages of a level so far.
func (w *world) said(level logrus.Level) string {
	var out []string
	for _, e := range w.log.AllEntries() {
		if e.Level == level {
			out = append(out, e.Message)
		}
	}
	return strings.Join(out, "\n")
}

// waitFor waits until a message was said.
func (w *world) waitFor(message string) {
	for begin := time.Now(); !strings.Contains(w.said(logrus.InfoLevel), message); {
		if time.Since(begin) > 10*time.Second {
			w.t.Errorf("for ten seconds it was not said: %s", message)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// failing lets calls of a kind fail.
func failing(op string, err error) func(fakejail.Call) error {
	return func(c fakejail.Call) error {
		if c.Op == op {
			return err
		}
		return nil
	}
}

var errFull = errors.New("no space left on device")
