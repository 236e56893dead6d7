package pkgbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
)

// TestAdditions builds with packages from elsewhere, and with relations beyond the source's own.
func TestAdditions(t *testing.T) {
	w := newWorld(t)
	other := fakedebian.New(t)
	extra := other.Suite("extra")
	extra.Architectures, extra.Keys = []string{w.arch}, []*fakedebian.Key{
		fakedebian.KeyOf(t, fakedebian.KeySecond)}
	unsigned := other.Suite("unsigned")
	unsigned.Architectures, unsigned.Keys = []string{w.arch}, []*fakedebian.Key{}
	for _, s := range []*fakedebian.Suite{extra, unsigned} {
		s.Add(fakedebian.Package{Name: "libextra-dev", Architecture: w.arch, DataCompression: quick,
			ControlCompression: quick})
	}
	w.mirror.Mount("other", other.Tree())
	key := fakedebian.Keyring(t, fakedebian.KeySecond)
	url := w.mirror.URL("other")
	debs := t.TempDir()
	own := fakedebian.Package{Name: "libown-dev", Version: "7", Architecture: w.arch}
	w.write(filepath.Join(debs, "libown-dev_7_"+w.arch+".deb"), string(own.Deb(t)))
	for _, c := range []struct {
		name    string
		depends string
		with    func(*Request)
		ends    string
		err     string
		hint    string
		log     []string
		said    string
	}{
		{name: "a repository and its key", depends: "libextra-dev", with: func(r *Request) {
			r.Repositories = []string{"deb [signed-by=" + key + "] " + url + " extra main"}
		}, ends: "successful", log: []string{"Extra repository " + url + " extra, signed by "}},
		{name: "a key beside", depends: "libextra-dev", with: func(r *Request) {
			r.Repositories, r.RepositoryKeys = []string{"deb " + url + " extra main",
				"deb-src " + url + " extra main"}, []string{key}
		}, ends: "successful"},
		{name: "no key", with: func(r *Request) {
			r.Repositories = []string{"deb " + url + " extra main"}
		}, ends: "given-back, given back", err: "extra repository", hint: "--extra-repository-key"},
		{name: "no signature", with: func(r *Request) {
			r.Repositories = []string{"deb " + url + " unsigned main"}
		}, ends: "given-back, given back", err: "extra repository", hint: "[trusted=yes]"},
		{name: "no signature is wanted", depends: "libextra-dev", with: func(r *Request) {
			r.Repositories = []string{"deb [trusted=yes] " + url + " unsigned main"}
		}, ends: "successful", said: "is used without a signature ([trusted=yes])"},
		{name: "not there", with: func(r *Request) {
			r.Repositories = []string{"deb [trusted=yes] " + url + " nosuch main"}
		}, ends: "given-back, given back", err: "extra repository",
			hint: "check the suite's name"},
		{name: "nobody answers", with: func(r *Request) {
			r.Repositories = []string{"deb [trusted=yes] http://127.0.0.1:1/debian extra main"}
		}, ends: "given-back, given back", err: "extra repository", hint: "check the network"},
		{name: "another architecture", with: func(r *Request) {
			r.Repositories = []string{"deb [arch=s390x trusted=yes] " + url + " extra main"}
		}, ends: "successful", said: "is not for " + w.arch + " ([arch=…]), left out"},
		{name: "no line", with: func(r *Request) { r.Repositories = []string{"nonsense"} },
			ends: "failed, usage", err: "nonsense"},
		{name: "packages of the user's", depends: "libown-dev (>= 7)", with: func(r *Request) {
			r.Packages = []string{debs}
		}, ends: "successful", log: []string{"Extra package libown-dev_7_" + w.arch + ", sha256 "}},
		{name: "what is none", with: func(r *Request) { r.Packages = []string{"/etc/passwd"} },
			ends: "failed, usage", err: "it is no .deb"},
		{name: "pins", with: func(r *Request) {
			r.Pins = []string{"libcrane-dev version 1.0-1 1001", "release n=crane 400"}
		}, ends: "successful", log: []string{"Package: libcrane-dev\nPin: version 1.0-1\n" +
			"Pin-Priority: 1001\n\nPackage: *\nPin: release n=crane\nPin-Priority: 400\n"}},
		{name: "a pin to nothing", with: func(r *Request) { r.Pins = []string{"libcrane-dev 500"} },
			ends: "failed, usage", err: "it has none of the words release, origin and version"},
		{name: "a pin without priority", with: func(r *Request) {
			r.Pins = []string{"x release n=y"}
		}, ends: "failed, usage", err: "something to match and a priority must follow release"},
		{name: "a pin with a large one", with: func(r *Request) {
			r.Pins = []string{"x release n=y 99999"}
		}, ends: "failed, usage", err: "is no number of apt's"},
		{name: "relations", with: func(r *Request) {
			r.AddDepends, r.AddDependsArch = []string{"libold-dev"}, []string{"gcc-12 <!nocheck>"}
			r.AddConflicts, r.Include = []string{"nosuch"}, []string{"libcrane1"}
		}, ends: "successful", log: []string{"Filtered Build-Conflicts: nosuch",
			"libold-dev, libcrane1, gcc-12"}},
		{name: "none that are", with: func(r *Request) { r.AddDepends = []string{"a b"} },
			ends: "failed, usage", err: "--add-depends"},
		{name: "every alternative", depends: "nosuch | libold-dev", with: func(r *Request) {
			r.Alternatives = AnyAlternative
		}, ends: "successful", log: []string{"Filtered Build-Depends: nosuch | libold-dev"}},
		{name: "the first alternative", depends: "nosuch | libold-dev",
			ends: "given-back, install-deps, given back", err: "nosuch"},
		{name: "aptitude", depends: "nosuch | libold-dev", with: func(r *Request) {
			r.Resolver = "aptitude"
		}, ends: "successful", log: []string{"(aptitude-based resolver)"}},
		{name: "a suite that adds to another", with: func(r *Request) {
			r.Suite, r.Base = suiteName+"-more", suiteName
		}, ends: "successful", log: []string{"(aptitude-based resolver)"}},
		{name: "no such component", with: func(r *Request) { r.Components = []string{"toys"} },
			ends: "failed, usage", err: "has no component toys", hint: "it has main"},
		{name: "a component", with: func(r *Request) { r.Components = []string{"main"} },
			ends: "successful"},
		{name: "no such suite", with: func(r *Request) { r.Suite = "heron" },
			ends: "failed, usage", err: "heron"},
	} {
		w.in(c.name, func(t *testing.T) {
			s := crane()
			if s.BuildDepends = c.depends; c.depends == "" {
				s.BuildDepends = "libcrane-dev"
			}
			b := w.build(w.source(s), c.with)
			if b.ends() != c.ends {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			if c.err != "" {
				w.tells("the error", fmt.Sprint(b.err), c.err)
				w.tells("the hint", b.result.Outcome.Hint, c.hint)
			}
			w.tells("the log", b.log, c.log...)
			w.tells("what is said", strings.Join(b.said, "\n"), c.said)
		})
	}
}

// TestSources builds what can be named as a source.
func TestSources(t *testing.T) {
	w := newWorld(t)
	s := crane()
	s.Compression = fakedebian.Gzip
	w.suite.AddSource(s)
	w.publish()
	dir := w.tree(s)
	changed := w.source(s)
	w.write(filepath.Join(filepath.Dir(changed), "hello_2.10.orig.tar.gz"), "another")
	lone := w.source(s)
	w.check(os.Remove(filepath.Join(filepath.Dir(lone), "hello_2.10.orig.tar.gz")))
	for _, c := range []struct {
		name, from string
		ends       string
		err        string
		log        []string
	}{
		{"a directory", dir, "successful", "", []string{"Source directory " + dir}},
		{"a name", "hello", "successful", "", []string{"hello_2.10-3.dsc: not signed"}},
		{"a name and its version", "hello=2.10-3", "successful", "", nil},
		{"a name and its suite", "hello/" + suiteName, "successful", "", nil},
		{"a URL", w.mirror.URL("debian") + "/pool/main/h/hello/hello_2.10-3.dsc", "successful", "",
			nil},
		{"no such name", "heron", "given-back, given back", "heron", nil},
		{"no such version", "hello=3", "given-back, given back", "hello", nil},
		{"no such URL", w.mirror.URL("debian") + "/nosuch.dsc", "given-back, given back", "404",
			nil},
		{"no .dsc", w.mirror.URL("debian") + "/", "failed, usage",
			"is not the URL of a source package", nil},
		{"no such file", "/nosuch.dsc", "given-back, given back", "no such file", nil},
		{"a file that is none", "/etc/passwd", "failed, usage", "is no source package", nil},
		{"a directory that is none", filepath.Dir(dir), "given-back, given back",
			"is not a source package", nil},
		{"a file has changed", changed, "given-back, given back", "hello_2.10.orig.tar.gz", nil},
		{"a file is missing", lone, "given-back, given back", "hello_2.10.orig.tar.gz", nil},
	} {
		w.in(c.name, func(t *testing.T) {
			b := w.build(c.from)
			if b.ends() != c.ends {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			w.tells("the error", fmt.Sprint(b.err), c.err)
			w.tells("the log", b.log, c.log...)
			if c.ends == "successful" && !slices.Contains(b.files(), "hello_2.10-3_"+w.arch+".deb") {
				t.Errorf("%q", b.files())
			}
		})
	}
	w.in("dpkg-source cannot pack it", func(t *testing.T) {
		w.replace("dpkg-source", fakejail.Prints("no\n", 25))
		b := w.build(dir)
		if b.ends() != "given-back, fetch-src, given back" {
			t.Errorf("ends: %s (%v)", b.ends(), b.err)
		}
		w.tells("the error", fmt.Sprint(b.err), "dpkg-source -b "+dir+": exit status 25")
	})
}

// TestPlaces has results, logs and the result in places of their own, or where none can be.
func TestPlaces(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	dir := t.TempDir()
	locked := filepath.Join(dir, "file")
	w.write(locked, "no directory")
	w.in("a log elsewhere", func(t *testing.T) {
		w.check(os.Mkdir(filepath.Join(dir, "logs"), 0o755))
		b := w.must(spec, func(r *Request) { r.LogDir = filepath.Join(dir, "logs") })
		if filepath.Dir(b.LogPath) != filepath.Join(dir, "logs") {
			t.Errorf("the log is %s", b.LogPath)
		}
		links, err := filepath.Glob(filepath.Join(b.dir, "*.build"))
		w.check(err)
		if len(links) != 1 {
			t.Errorf("links: %q", links)
		}
	})
	w.in("no log", func(t *testing.T) {
		b := w.must(spec, func(r *Request) { r.NoLog = true })
		if b.LogPath != "" || b.result.Log != "" || slices.ContainsFunc(b.files(),
			func(name string) bool { return strings.HasSuffix(name, ".build") }) {
			t.Errorf("the log is %q", b.LogPath)
		}
	})
	w.in("shown", func(t *testing.T) {
		var shown strings.Builder
		w.must(spec, func(r *Request) { r.Verbose, r.ShowLog = true, &shown })
		w.tells("what is shown", shown.String(), "dpkg-buildpackage: info: source package")
	})
	for name, with := range map[string]func(*Request){
		"--output":  func(r *Request) { r.Output = filepath.Join(locked, "x") },
		"--log-dir": func(r *Request) { r.LogDir = filepath.Join(locked, "x") },
	} {
		w.in(name, func(t *testing.T) {
			b := w.build(spec, with)
			if b.ends() != "failed, usage" {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			w.tells("error and hint", fmt.Sprint(b.err)+b.result.Outcome.Hint, name)
		})
	}
}
