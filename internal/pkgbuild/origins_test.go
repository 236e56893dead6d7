package pkgbuild

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/base"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

// TestOrigins: a result names every package of the root with its file, and the Release file that
// vouches for it, be the dependencies installed now or found in a layer, and does the build fail or
// not.
func TestOrigins(t *testing.T) {
	w := newWorld(t)
	source := w.source(crane())
	for _, c := range []struct {
		name string
		fail int
	}{{"installed", 0}, {"found", 0}, {"failed", 2}} {
		w.in(c.name, func(t *testing.T) {
			if c.fail != 0 {
				w.replace("dpkg-buildpackage", fakejail.Prints("Error\n", c.fail))
			}
			r := w.build(source).result
			known := map[string]bool{}
			for _, p := range slices.Concat(r.Inputs.Base.Packages, r.Inputs.Dependencies) {
				known[p.Name] = true
				if len(p.SHA256) != 64 || p.Size == 0 || p.URI == "" || p.File == "" ||
					!slices.ContainsFunc(r.Inputs.Releases, func(one result.Release) bool {
						return one.SHA256 == p.Release
					}) {
					t.Errorf("%+v", p)
				}
			}
			for _, want := range []string{"dpkg", "base-files", "libcrane-dev", "libcrane1"} {
				if !known[want] {
					t.Errorf("%s is not named", want)
				}
			}
			if len(r.Inputs.Base.Packages) != len(w.basePackages()) {
				t.Errorf("the base has %+v", r.Inputs.Base.Packages)
			}
			if d := r.Source.DSC; d == nil || len(d.SHA256) != 64 || d.Size == 0 {
				t.Errorf("the .dsc is %+v", d)
			}
		})
	}
}

// TestNothingIsFetchedForNames: what packages were installed from is looked for in lists that are
// in the cache. They are fetched where something is asked for that must have it.
func TestNothingIsFetchedForNames(t *testing.T) {
	w := newWorld(t)
	source := w.source(crane())
	w.must(source)
	for _, c := range []struct {
		name string
		with func(*Request)
		want bool
	}{
		{"no more than usual", nil, false},
		{"provenance", func(r *Request) { r.Provenance = "x" }, true},
		{"a lock", func(r *Request) { r.KeepLock = true }, true},
		{"a pin", func(r *Request) { r.Traced = true }, true},
	} {
		lists, err := filepath.Glob(filepath.Join(w.dir, "cache", "lists", "??", "*"))
		w.check(err)
		for _, file := range lists {
			if text := w.read(file); strings.HasPrefix(text, "Package: ") {
				w.check(os.Remove(file))
			}
		}
		w.mirror.ResetCounts()
		b := w.must(source, c.with)
		fetched := w.mirror.Count("Packages|by-hash") > 0
		known := b.result.Inputs.Base.Packages[0].Release != ""
		if fetched != c.want || known != c.want {
			t.Errorf("%s: lists were fetched: %v; %+v", c.name, fetched,
				b.result.Inputs.Base.Packages[0])
		}
	}
}

// TestNoPasswordIsTold: neither the log nor the result has the password of a repository.
func TestNoPasswordIsTold(t *testing.T) {
	w := newWorld(t)
	url := strings.Replace(w.mirror.URL("debian"), "://", "://me:secret@", 1)
	b := w.must(w.source(crane()), func(r *Request) {
		r.Repositories = []string{"deb [trusted=yes] " + url + " " + suiteName + "-more main"}
	})
	text, err := json.Marshal(b.result)
	w.check(err)
	if len(b.result.Inputs.Releases) < 2 {
		t.Errorf("the result does not name the repository: %+v", b.result.Inputs.Releases)
	}
	for what, text := range map[string]string{"log": b.log, "result": string(text)} {
		if strings.Contains(text, "secret") {
			t.Errorf("the %s has the password", what)
		}
	}
}

// TestOriginOfTwins: of two files of one name and version, that one counts which was installed, and
// not the first that the lists name; where nothing says which it was, the cache does not decide.
func TestOriginOfTwins(t *testing.T) {
	w := newWorld(t)
	twin := fakedebian.Package{Name: "libcrane1", Version: "1.0-1", Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick,
		Files: []fakedebian.File{{Path: "usr/lib/other", Body: "another"}}}
	file := filepath.Join(w.t.TempDir(), "libcrane1.deb")
	w.write(file, string(twin.Deb(t)))
	b := w.must(w.source(crane()))
	e := w.open(t.Context())
	defer e.end()
	sum := func(r *result.Result) string {
		for _, p := range r.Inputs.Dependencies {
			if p.Name == "libcrane1" {
				return p.SHA256
			}
		}
		return ""
	}
	first := sum(&b.result)
	s := &seekers{env: e.Env, archs: []string{w.arch}, installed: map[string]string{}}
	if _, err := e.Client.Local(t.Context(), "file:/x", []string{file}); err != nil {
		t.Fatal(err)
	}
	key := base.Package{Name: "libcrane1", Version: "1.0-1", Arch: w.arch}
	found, err := s.find(t.Context(), []base.Package{key})
	w.check(err)
	if o, ok := found[key]; ok {
		t.Errorf("the cache has decided: %+v", o)
	}
	s.installed["libcrane1_1.0-1_"+w.arch+".deb"] = "SHA256:" + first
	if found, err = s.find(t.Context(), []base.Package{key}); err != nil ||
		found[key].Package == nil || found[key].Hashes.SHA256 != first {
		t.Errorf("%+v, %v", found[key], err)
	}
	s.installed = map[string]string{}
	s.known = []plan.Package{{Name: "libcrane1", Version: "1.0-1", Arch: w.arch,
		SHA256: first, Release: "r"}}
	if found, err = s.find(t.Context(), []base.Package{key}); err != nil || found[key].release != "r" {
		t.Errorf("%+v, %v", found[key], err)
	}
}
