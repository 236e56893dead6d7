package pkgbuild

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/layer"
	"nsbuild/internal/machine"
	"nsbuild/internal/progress"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// quick is how packages are compressed, so that no copies are made that are unpacked more quickly.
const quick = fakedebian.None

// suiteName is the suite of a world; suiteName + "-more" adds to it.
const suiteName = "crane"

// world is a machine that is made up: a mirror, a base and jails, with all their programs.
type world struct {
	t        *testing.T
	dir      string
	archive  *fakedebian.Archive
	suite    *fakedebian.Suite
	mirror   *fakedebian.Server
	suites   *suites.Table
	arch     string
	programs map[string]fakejail.Program
	// prepare changes each holder, and fail tells the errors of calls.
	prepare func(*fakejail.Holder)
	fail    func(fakejail.Call) error
	offline bool
	count   int // of directories for results
}

// newWorld is a world with a base that lacks what a build needs. Its test runs beside others.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newWorldAlone(t)
}

// newWorldAlone is one whose test runs while no other does: it changes what the process has.
func newWorldAlone(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), archive: fakedebian.New(t), arch: machine.Native(),
		programs: programs.Build()}
	system := programs.System{Script: w.script}
	maps.Copy(w.programs, system.Programs())
	w.programs["hook"] = runHook
	w.suite = w.archive.Suite(suiteName)
	w.suite.Architectures = []string{w.arch}
	w.suite.Compressions = []fakedebian.Compression{fakedebian.Gzip}
	w.suite.Add(w.basePackages()...)
	for _, p := range []fakedebian.Package{
		{Name: "build-essential", Version: "12.9", Depends: "gcc-12, dpkg-dev (>= 1.17.11)"},
		{Name: "gcc-12", Version: "12.2.0-14"},
		{Name: "dpkg-dev", Version: "1.22.0"}, {Name: "fakeroot"}, {Name: "lintian"},
		{Name: "piuparts"}, {Name: "aptitude"}, {Name: "autodep8"},
		{Name: "sudo", Files: []fakedebian.File{{Path: "etc/sudoers.d/README", Body: "#"}}},

		{Name: "libcrane-dev", Version: "1.0-1", Depends: "libcrane1 (= 1.0-1)"},
		{Name: "libcrane1", Version: "1.0-1"}, {Name: "libold-dev", Version: "0.9-1"},
	} {
		p.Architecture = w.arch
		p.DataCompression, p.ControlCompression = quick, quick
		w.suite.Add(p)
	}
	more := w.archive.Suite(suiteName + "-more")
	more.Architectures = []string{w.arch}
	w.mirror = fakedebian.Serve(t, fakedebian.Mounts{"debian": w.archive.Tree()})
	table := filepath.Join(w.dir, "suites")
	keyring := fakedebian.Keyring(t, fakedebian.KeyArchive)
	const suite = "Suite: %s\nMirror: %s\nKeyrings: %s\nComponents: main\n"
	w.write(table, fmt.Sprintf(suite+"\n"+suite+"Base: "+suiteName+"\n",
		suiteName, w.mirror.URL("debian"), keyring,
		suiteName+"-more", w.mirror.URL("debian"), keyring))
	w.suites = suites.New(table)
	w.makeBase(suiteName)
	return w
}

// script runs the maintainer script of a package: the command in its second line.
func (w *world) script(p *fakejail.Proc, _, _, text string) int {
	_, command, _ := strings.Cut(text, "\n")
	words := strings.Fields(command)
	if len(words) == 0 {
		return 0
	}
	return p.Exec(w.t.Context(), words...).Code
}

func (w *world) basePackages() []fakedebian.Package {
	return []fakedebian.Package{
		{Name: "dpkg", Version: "1.22.0", Architecture: w.arch, Essential: true,
			Files: []fakedebian.File{{Path: "usr/bin/dpkg", Body: "dpkg", Mode: 0o755}}},
		{Name: "base-files", Version: "12", Architecture: w.arch,
			Files: []fakedebian.File{{Path: "etc/issue", Body: "Crane\n"}}},
	}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(file, text string) {
	w.t.Helper()
	w.check(os.MkdirAll(filepath.Dir(file), 0o755))
	w.check(os.WriteFile(file, []byte(text), 0o644))
}

func (w *world) read(file string) string {
	w.t.Helper()
	text, err := os.ReadFile(file)
	w.check(err)
	return string(text)
}

// makeBase makes the base of a suite, of what the mirror has now.
func (w *world) makeBase(suite string) {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	s, err := w.suites.Lookup(suite)
	w.check(err)
	repos, err := e.Host.Repos(s, "", w.arch)
	w.check(err)
	releases, err := e.Client.Releases(w.t.Context(), repos)
	w.check(err)
	m := base.Manifest{Suite: suite, Arch: w.arch, Variant: "buildd", Bootstrapper: "native"}
	for _, r := range releases {
		repo := r.Repo()
		m.Releases = append(m.Releases, base.Release{URI: repo.URI, Suite: repo.Suite,
			Date: r.Date(), SHA256: r.Digest()})
	}
	for _, p := range w.basePackages() {
		m.Packages = append(m.Packages, base.Package{Name: p.Name, Version: p.Version,
			Arch: p.Architecture})
	}
	draft, err := e.Store.Begin(w.t.Context(), suite, nil)
	w.check(err)
	w.check(os.Mkdir(draft.Tree(), 0o755))
	programs.WriteTree(w.t, draft.Tree(), w.basePackages()...)
	_, err = draft.Commit(m)
	w.check(err)
}

// publish has the mirror show what the archive has by now, under a later date.
func (w *world) publish() {
	w.suite.Date = w.suite.Date.Add(1e9)
	w.mirror.Mount("debian", w.archive.Tree())
}

// command is the environment of one command of nsbuild's.
type command struct {
	*Env
	w     *world
	jails *fakejail.Maker
	said  *logtest.Hook
}

// open begins a command over the state and the cache of all commands of the world.
func (w *world) open(ctx context.Context) *command {
	w.t.Helper()
	log, said := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	maker := fakejail.New(w.t)
	maker.Programs, maker.Prepare, maker.Fail = w.programs, w.prepare, w.fail
	e := &Env{Program: "nsbuild 1", StateDir: filepath.Join(w.dir, "state"),
		CacheDir: filepath.Join(w.dir, "cache"), Suites: w.suites, Log: log,
		Progress: progress.New(io.Discard, progress.Options{}), Meter: &progress.Meter{},
	}
	var err error
	e.Host, err = aptconf.ReadHost(filepath.Join(w.dir, "host"), w.suites)
	w.check(err)
	e.Store, err = base.Open(e.StateDir)
	w.check(err)
	e.Client, err = archive.NewClient(archive.Options{CacheDir: e.CacheDir, Host: e.Host, Log: log,
		RefreshAfter: -1, Retries: -1, Offline: w.offline})
	w.check(err)
	e.Layers, err = layer.Open(e.CacheDir)
	w.check(err)
	w.check(e.Open(ctx))
	e.Work.Start = maker.Start
	e.shared.memory.Total = 16 << 30 // however much the machine has
	return &command{e, w, maker, said}
}

// end ends it.
func (c *command) end() {
	c.w.t.Helper()
	c.w.check(c.Close(context.WithoutCancel(c.w.t.Context())))
	c.w.check(c.Client.Close())
	c.w.check(c.Progress.Close())
}

// source writes a source package, and returns its .dsc.
func (w *world) source(s fakedebian.Source) string {
	w.t.Helper()
	s.Compression = fakedebian.Gzip
	dir := w.t.TempDir()
	for _, m := range s.Build(w.t) {
		w.write(filepath.Join(dir, m.Name), string(m.Data))
	}
	return filepath.Join(dir, s.DscName())
}

// tree writes a source directory, with its upstream tarball beside it.
func (w *world) tree(s fakedebian.Source) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), s.Name)
	spec := w.source(s)
	w.check(programs.Extract(spec, dir))
	origs, err := filepath.Glob(filepath.Join(filepath.Dir(spec), "*.orig*"))
	w.check(err)
	for _, file := range origs {
		w.check(os.Link(file, filepath.Join(filepath.Dir(dir), filepath.Base(file))))
	}
	return dir
}

// crane is a small source that wants a library.
func crane() fakedebian.Source {
	return fakedebian.Source{Name: "hello", Version: "2.10-3", BuildDepends: "libcrane-dev"}
}

// request is one for an ordinary build.
func (w *world) request(from string) Request {
	w.count++
	dir := filepath.Join(w.dir, fmt.Sprint("results-", w.count))
	w.check(os.Mkdir(dir, 0o755))
	return Request{What: What{From: from, ArchAny: true, ArchAll: true},
		Target: Target{Suite: suiteName},
		How:    How{Scratch: ScratchAuto, ScratchSize: 4 << 30, Strays: strays.Kill},
		Places: Places{Output: dir}}
}

// built is a build that has ended.
type built struct {
	*Outcome
	err    error
	dir    string // of the results
	log    string
	result result.Result
	jails  *fakejail.Maker
	said   []string // to the user
}

// build builds a source with a command of its own. The request may be changed.
func (w *world) build(from string, with ...func(*Request)) *built {
	w.t.Helper()
	return w.buildIn(w.t.Context(), from, with...)
}

func (w *world) buildIn(ctx context.Context, from string, with ...func(*Request)) *built {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	r := w.request(from)
	for _, change := range with {
		if change != nil {
			change(&r)
		}
	}
	b := &built{dir: r.Output, jails: e.jails}
	b.Outcome, b.err = e.Build(ctx, r)
	for _, line := range e.said.AllEntries() {
		if line.Level <= logrus.WarnLevel {
			b.said = append(b.said, line.Message)
		}
	}
	if b.LogPath != "" {
		b.log = w.read(b.LogPath)
	}
	b.result = *b.Outcome.Result
	w.nothingLeft()
	return b
}

// must is build of what has to succeed.
func (w *world) must(from string, with ...func(*Request)) *built {
	w.t.Helper()
	b := w.build(from, with...)
	if b.err != nil {
		w.t.Fatalf("%v\n%s", b.err, b.log)
	}
	return b
}

// nothingLeft looks for what builds must not leave.
func (w *world) nothingLeft() {
	w.t.Helper()
	for _, pattern := range []string{"state/run/run-*/*", "state/bases/*/draft-*",
		"cache/layers/draft-*", "cache/layers/making-*", "results-*/.nsbuild-*"} {
		left, err := filepath.Glob(filepath.Join(w.dir, pattern))
		w.check(err)
		for _, name := range left {
			if !strings.HasPrefix(filepath.Base(name), "log-") { // which its command is yet to read
				w.t.Errorf("left: %s", name)
			}
		}
	}
}

// files are the names of what a build has left.
func (b *built) files() (names []string) {
	for _, a := range b.Artefacts {
		names = append(names, filepath.Base(a))
	}
	return names
}

// commands are what ran in the jails, those that begin so.
func (b *built) commands(prefix string) (all []string) {
	for _, c := range b.jails.Calls("Run") {
		if text := strings.Join(c.Args, " "); strings.HasPrefix(text, prefix) {
			all = append(all, text)
		}
	}
	return all
}

// stages are those that ended, the failed one with a mark.
func (b *built) stages() string {
	var names []string
	for _, s := range b.result.Stages {
		name := s.Name
		if s.Failed {
			name += "!"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// ends tells how a build has ended: its status, its Fail-Stage and the kind of its error.
func (b *built) ends() string {
	words := strings.Fields(string(b.Status) + " " + b.result.Outcome.FailStage)
	if b.err != nil {
		words = append(words, map[fault.Kind]string{fault.Internal: "internal",
			fault.Usage: "usage", fault.Attempted: "attempted", fault.GivenBack: "given back",
			fault.Interrupted: "interrupted"}[fault.KindOf(b.err)])
	}
	return strings.Join(words, ", ")
}

// tells reports what of some texts is not in one.
func (w *world) tells(what, text string, wanted ...string) {
	w.t.Helper()
	for _, one := range wanted {
		if !strings.Contains(text, one) {
			w.t.Errorf("%s does not say %q:\n…%s", what, one, text[max(0, len(text)-1500):])
		}
	}
}

// replace has the jails of this test have another program.
func (w *world) replace(name string, program fakejail.Program) {
	w.t.Helper()
	old, ok := w.programs[name]
	w.t.Cleanup(func() {
		if w.programs[name] = old; !ok {
			delete(w.programs, name)
		}
	})
	w.programs[name] = program
}

// in runs a subtest whose failures are those of the world.
func (w *world) in(name string, run func(t *testing.T)) {
	outer := w.t
	outer.Run(name, func(t *testing.T) {
		w.t = t
		defer func() { w.t = outer }()
		run(t)
	})
}

// hooks are native hooks of one directory: commands, by the names of their stages, and what its
// hook.conf says.
func (w *world) hooks(conf string, commands map[string]string) *hook.Set {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "own")
	for stage, command := range commands {
		file := filepath.Join(dir, stage+".d", "hook")
		w.write(file, "#!/bin/sh\n"+command)
		w.check(os.Chmod(file, 0o755))
	}
	if conf != "" {
		w.write(filepath.Join(dir, "hook.conf"), conf)
	}
	set, err := hook.Load(hook.Options{Hooks: []string{dir}})
	w.check(err)
	return set
}

// runHook is a hook in a jail: the command in its second line.
func runHook(ctx context.Context, p *fakejail.Proc) sandbox.Status {
	text, err := p.ReadFile(p.Argv[0])
	if err != nil {
		return p.Fail(err)
	}
	_, command, _ := strings.Cut(string(text), "\n")
	return p.Exec(ctx, strings.Fields(command)...)
}
