package rebuild

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/compared"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/layer"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
	"nsbuild/internal/strays"
)

// suiteName is the suite of a world.
const suiteName = "crane"

// world is a machine that is made up: a mirror with a suite, and jails with all their programs.
type world struct {
	t        *testing.T
	dir      string
	archive  *fakedebian.Archive
	suite    *fakedebian.Suite
	mirror   *fakedebian.Server
	suites   *suites.Table
	programs map[string]fakejail.Program
	offline  bool
	fetches  archive.Options // what is otherwise about them
	jails    *fakejail.Maker // of the last rebuild
	stays    []string        // the bases that it is to leave
	ran      string          // what it built with, where a test has that noted
}

// pack is a package that is quickly made.
func pack(name, version string) fakedebian.Package {
	return fakedebian.Package{Name: name, Version: version, Architecture: machine.Native(),
		ControlCompression: fakedebian.None, DataCompression: fakedebian.None,
		Essential: name == "dpkg" || name == "base-files",
		Files:     []fakedebian.File{{Path: "usr/share/" + name + "/file", Body: version + "\n"}}}
}

// crane is what is built.
func crane() fakedebian.Source {
	return fakedebian.Source{Name: "hello", Version: "2.10-3", Compression: fakedebian.Gzip,
		Fields: []fakedebian.Field{{Name: "Rules-Requires-Root", Value: "no"}}}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), archive: fakedebian.New(t), programs: programs.Build()}
	system := programs.System{Script: func(*fakejail.Proc, string, string, string) int { return 0 }}
	maps.Copy(w.programs, system.Programs())
	w.suite = w.archive.Suite(suiteName)
	w.suite.Architectures = []string{machine.Native()}
	w.suite.Compressions = []fakedebian.Compression{fakedebian.Gzip}
	w.suite.Add(pack("dpkg", "1.22.13"), pack("base-files", "12"), pack("gcc", "12.2"))
	w.suite.AddSource(crane())
	w.mirror = fakedebian.Serve(t, fakedebian.Mounts{"debian": w.archive.Tree()})
	table := filepath.Join(w.dir, "suites")
	w.write(table, fmt.Sprintf("Suite: %s\nMirror: %s\nKeyrings: %s\nComponents: main\n", suiteName,
		w.mirror.URL("debian"), fakedebian.Keyring(t, fakedebian.KeyArchive,
			fakedebian.KeyPast)))
	w.suites = suites.New(table)
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(file, text string) string {
	w.t.Helper()
	w.check(os.MkdirAll(filepath.Dir(file), 0o755))
	w.check(os.WriteFile(file, []byte(text), 0o644))
	return file
}

// info writes a .buildinfo of the source, with the hash of the package that came out of it and
// with what was installed.
func (w *world) info(sum string, size int64, installed ...string) string {
	w.t.Helper()
	if len(installed) == 0 {
		installed = []string{"dpkg (= 1.22.13)", "base-files (= 12)", "gcc (= 12.2)"}
	}
	text := fmt.Sprintf("Format: 1.0\nSource: hello\nBinary: hello\nArchitecture: %[1]s\n"+
		"Version: 2.10-3\nChecksums-Sha256:\n %[2]s %[3]d hello_2.10-3_%[1]s.deb\n"+
		"Build-Architecture: %[1]s\nBuild-Date: Tue, 01 Sep 2026 10:00:00 +0000\n"+
		"Build-Path: /srv/made/here\nBuild-Tainted-By:\n usr-local-has-programs\n"+
		"Installed-Build-Depends:\n %[4]s\nEnvironment:\n DEB_BUILD_OPTIONS=\"parallel=3\"\n",
		machine.Native(), sum, size, strings.Join(installed, ",\n "))
	return w.write(filepath.Join(w.t.TempDir(), "hello.buildinfo"), text)
}

// nothing is the SHA-256 of an empty file.
var nothing = fmt.Sprintf("%x", sha256.Sum256(nil))

// run rebuilds with a command of its own.
func (w *world) run(r Request) (*Report, error) {
	w.t.Helper()
	log, _ := logtest.NewNullLogger()
	w.jails = fakejail.New(w.t)
	w.jails.Programs = w.programs
	e := &pkgbuild.Env{Program: "nsbuild 1", StateDir: filepath.Join(w.dir, "state"),
		CacheDir: filepath.Join(w.dir, "cache"), Suites: w.suites, Log: log,
		Progress: progress.New(io.Discard, progress.Options{}), Meter: &progress.Meter{}}
	var err error
	e.Host, err = aptconf.ReadHost(filepath.Join(w.dir, "host"), w.suites)
	w.check(err)
	e.Store, err = base.Open(e.StateDir)
	w.check(err)
	o := w.fetches
	o.CacheDir, o.Host, o.Log, o.RefreshAfter, o.Offline = e.CacheDir, e.Host, log, -1, w.offline
	o.Retries = cmp.Or(o.Retries, -1)
	e.Client, err = archive.NewClient(o)
	w.check(err)
	e.Layers, err = layer.Open(e.CacheDir)
	w.check(err)
	w.check(e.Open(w.t.Context()))
	e.Work.Start = w.jails.Start
	r.Build.Suite = suiteName
	r.Build.Strays = strays.Kill
	r.Build.Scratch, r.Build.Keep = pkgbuild.ScratchAuto, pkgbuild.KeepNever
	report, runErr := Run(w.t.Context(), e, r)
	names, err := e.Store.Names()
	w.check(err)
	if diff := gocmp.Diff(w.stays, names, cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("bases that stay (-want +got):\n%s", diff)
	}
	w.check(e.Close(context.WithoutCancel(w.t.Context())))
	w.check(e.Client.Close())
	w.check(e.Progress.Close())
	return report, runErr
}

// made rebuilds once, to know what comes out of it: the hash and size of the package, and the
// directory with it.
func (w *world) made() (sum string, size int64, dir string) {
	w.t.Helper()
	dir = filepath.Join(w.t.TempDir(), "made")
	r := Request{File: w.info(nothing, 0)}
	r.Build.Output = dir
	report, err := w.run(r)
	if report.Verdict != compared.Differs || len(report.Files) != 1 {
		w.t.Fatalf("%v\n%s", err, strings.Join(report.Lines(), "\n"))
	}
	return report.Files[0].Is, report.Files[0].IsSize, dir
}

// says reports what of some texts is not in one.
func (w *world) says(text string, wanted ...string) {
	w.t.Helper()
	for _, one := range wanted {
		if !strings.Contains(text, one) {
			w.t.Errorf("%q is not in:\n%s", one, text)
		}
	}
}

// snapshot has the mirror serve a snapshot, too: archives, by the moments at which they were so.
func (w *world) snapshot(moments map[string]*fakedebian.Archive) {
	w.t.Helper()
	tree := fakedebian.New(w.t).Tree()
	for moment, a := range moments {
		then := a.Tree()
		for _, name := range then.Paths() {
			tree.Write("debian/"+moment+"/"+name, then.Read(name))
		}
	}
	w.mirror.Mount("archive", tree)
}

// past is an archive of a suite whose Release has expired, with one package.
func (w *world) past(p fakedebian.Package, keys ...*fakedebian.Key) *fakedebian.Archive {
	return w.pastOf(time.Now().Add(-48*time.Hour), p, keys...)
}

func (w *world) pastOf(date time.Time, p fakedebian.Package,
	keys ...*fakedebian.Key) *fakedebian.Archive {
	a := fakedebian.New(w.t)
	s := a.Suite(suiteName)
	s.Architectures, s.Compressions = w.suite.Architectures, w.suite.Compressions
	s.Date, s.ValidUntil = date, date.Add(24*time.Hour)
	if len(keys) > 0 {
		s.Keys = keys
	}
	s.Add(p)
	return a
}
