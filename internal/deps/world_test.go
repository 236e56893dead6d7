package deps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// world is a mirror, a base that was made of it, and a Maker whose jails are made up.
type world struct {
	*Maker
	t         *testing.T
	archive   *fakedebian.Archive
	suite     *fakedebian.Suite
	server    *fakedebian.Server
	repo      aptconf.Repo
	store     *base.Store
	system    *programs.System
	fake      *fakejail.Maker
	log       *logtest.Hook
	said      string // file that the build log goes to
	text      *buildlog.File
	uncopied  []string // digests of packages that copies were to be made of
	confirmed int      // times that the base was to be confirmed
}

// pack is a small package that is quickly made.
func pack(name, depends string, more ...func(*fakedebian.Package)) fakedebian.Package {
	p := fakedebian.Package{Name: name, Depends: depends, ControlCompression: fakedebian.Gzip,
		DataCompression: fakedebian.Gzip,
		Files:           []fakedebian.File{{Path: "usr/share/" + name + "/file", Body: name + "\n"}}}
	for _, change := range more {
		change(&p)
	}
	return p
}

// version gives a package another version.
func version(v string) func(*fakedebian.Package) {
	return func(p *fakedebian.Package) { p.Version = v }
}

// script gives a package a script that is run when it is installed.
func script(text string) func(*fakedebian.Package) {
	return func(p *fakedebian.Package) { p.Scripts = map[string]string{"postinst": text} }
}

// newWorld makes one whose suite has some packages.
func newWorld(t *testing.T, packages ...fakedebian.Package) *world {
	t.Helper()
	w := &world{t: t, archive: fakedebian.New(t), system: &programs.System{}}
	w.suite = w.archive.Suite("bookworm")
	w.suite.Compressions = []fakedebian.Compression{fakedebian.Gzip}
	w.suite.Architectures = []string{"amd64", "arm64"}
	w.suite.Add(packages...)
	w.server = fakedebian.Serve(t, fakedebian.Mounts{"debian": w.archive.Tree()})
	w.repo = aptconf.Repo{URI: w.server.URL("debian"), Suite: "bookworm",
		Components: []string{"main"},
		Keyrings:   []string{fakedebian.Keyring(t, fakedebian.KeyArchive)}}

	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	w.log = hook
	w.fake = fakejail.New(t)
	w.system.Install(w.fake)
	cache := t.TempDir()
	client, err := archive.NewClient(archive.Options{CacheDir: cache, Log: log, RefreshAfter: -1,
		Timeout: 5 * time.Second, Retries: -1})
	w.check(err)
	layers, err := layer.Open(cache)
	w.check(err)
	work, err := workdir.Open(t.Context(), t.TempDir(), log)
	w.check(err)
	work.Start = w.fake.Start
	w.Maker = &Maker{Client: client, Layers: layers, Work: work, CacheDir: cache,
		Grown: &atomic.Bool{}, Log: log}
	logs := t.TempDir()
	w.text, err = buildlog.Create(logs, "a", "1", "amd64", time.Now(), buildlog.Options{})
	w.check(err)
	w.said = w.text.Path
	t.Cleanup(func() {
		for _, err := range []error{w.text.Close(), client.Close(),
			work.Close(context.WithoutCancel(t.Context()), log)} {
			w.check(err)
		}
	})
	w.store, err = base.Open(t.TempDir())
	w.check(err)
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// update changes the suite on the mirror.
func (w *world) update(packages ...fakedebian.Package) {
	w.t.Helper()
	w.suite.Add(packages...)
	w.suite.Date = w.suite.Date.Add(time.Minute)
	w.server.Mount("debian", w.archive.Tree())
}

// releases asks the mirror.
func (w *world) releases() []*release.File {
	w.t.Helper()
	all, err := w.Client.Releases(w.t.Context(), []aptconf.Repo{w.repo})
	w.check(err)
	return all
}

// base makes a base on which packages are installed, as of what the mirror has now.
func (w *world) base(name string, packages ...fakedebian.Package) *base.Generation {
	w.t.Helper()
	draft, err := w.store.Begin(w.t.Context(), name, nil)
	w.check(err)
	w.check(os.Mkdir(draft.Tree(), 0o755))
	m := base.Manifest{Suite: "bookworm", Arch: "amd64"}
	for _, line := range programs.WriteTree(w.t, draft.Tree(), packages...) {
		words := strings.Fields(line)
		m.Packages = append(m.Packages, base.Package{Name: words[0], Version: words[1],
			Arch: words[2]})
	}
	for _, r := range w.releases() {
		m.Releases = append(m.Releases, base.Release{URI: w.repo.URI, Suite: w.repo.Suite,
			SHA256: r.Digest()})
	}
	_, err = draft.Commit(m)
	w.check(err)
	g, err := w.store.Use(name)
	w.check(err)
	w.t.Cleanup(func() { w.check(g.Close()) })
	return g
}

// relations reads relations.
func (w *world) relations(text string) dsc.Relations {
	w.t.Helper()
	r, err := dsc.ParseRelations(text)
	w.check(err)
	return r
}

// request asks for what relations want over a base.
func (w *world) request(g *base.Generation, relations string) Request {
	w.t.Helper()
	return Request{Reduced: dsc.Reduced{Depends: w.relations(relations)}, Base: g, Arch: "amd64",
		Host: "amd64", Suite: "bookworm", Resolver: ResolverApt, Repos: []aptconf.Repo{w.repo},
		Unresolved: "look elsewhere"}
}

// Start notes what copies are to be made of.
func (w *world) Start(digests []string, _ pool.CopyForm) { w.uncopied = digests }

// outcome is what became of an installation, after all that it does beside was done.
type outcome struct {
	*Installed
	err   error
	ran   []string // the programs that were run, without the options that are always the same
	jails []*fakejail.Jail
}

// on is what a request is done on: a new holder.
func (w *world) on(r Request) (On, *fakejail.Holder) {
	w.t.Helper()
	h, err := w.Work.Start(w.t.Context(), sandbox.HolderSpec{})
	w.check(err)
	return On{Holder: h, Lowers: []sandbox.Lower{{Path: r.Base.Tree()}}, Copies: w, Log: w.text,
		Confirm: func() ([]*release.File, error) {
			w.confirmed++
			return w.Client.Releases(w.t.Context(), []aptconf.Repo{w.repo})
		}}, h.(*fakejail.Holder)
}

// install does what a request says; change may change what it is done on.
func (w *world) install(r Request, change ...func(*On)) outcome {
	w.t.Helper()
	w.fake.Forget()
	on, h := w.on(r)
	for _, c := range change {
		c(&on)
	}
	done, err := w.Install(w.t.Context(), r, on)
	done.Saved()
	w.settled()
	out := outcome{done, err, ran(w.fake), h.Jails()}
	for _, j := range out.jails {
		if open := !j.Closed(); open != (done.Open == j) {
			w.t.Errorf("%s is open: %t", j, open)
		}
	}
	w.t.Cleanup(done.Close)
	w.check(h.Close())
	return out
}

// settled waits until each layer is known to have reached the disk: nothing is written to any more
// then.
func (w *world) settled() {
	w.t.Helper()
	for begin := time.Now(); ; {
		all, err := w.Layers.List()
		w.check(err)
		if !slices.ContainsFunc(all, func(l layer.Info) bool { return l.Boot != "" }) {
			return
		}
		if time.Since(begin) > 10*time.Second {
			w.t.Fatal("a layer has not reached the disk for ten seconds")
		}
		time.Sleep(time.Millisecond)
	}
}

// ran are the programs that were run in jails. Of their arguments those are left out that nsbuild
// always gives.
func ran(m *fakejail.Maker) []string {
	var out []string
	for _, c := range m.Calls("Run") {
		var words []string
		for i := 0; i < len(c.Args); i++ {
			switch arg := c.Args[i]; arg {
			case "-c", "-o":
				i++
			case "-q", "-y", "-v", "--force-unsafe-io", "--without-recommends":
			default:
				words = append(words, filepath.Base(arg))
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// packages are those that were installed, by name and version.
func (o outcome) packages() string {
	var out []string
	for _, p := range o.Packages {
		out = append(out, p.Name+" "+p.Version)
	}
	return strings.Join(out, ", ")
}

// logged is what the build log has.
func (w *world) logged() string {
	w.t.Helper()
	text, err := os.ReadFile(w.said)
	w.check(err)
	return string(text)
}

// warned are the warnings so far.
func (w *world) warned() string {
	var out []string
	for _, e := range w.log.AllEntries() {
		if e.Level <= logrus.WarnLevel {
			out = append(out, e.Message)
		}
	}
	return strings.Join(out, "\n")
}

// layerTrees are the directories of layers among lowers.
func layerTrees(lowers []sandbox.Lower) []string {
	var out []string
	for _, l := range lowers {
		if strings.Contains(l.Path, "/layers/") {
			out = append(out, l.Path)
		}
	}
	return out
}

var errFull = errors.New("no space left on device")

// failing lets calls of a kind fail.
func failing(op string, err error) func(fakejail.Call) error {
	return func(c fakejail.Call) error {
		if c.Op == op {
			return err
		}
		return nil
	}
}
