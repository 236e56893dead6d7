package rebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/bases"
	"nsbuild/internal/buildinfo"
	"nsbuild/internal/dsc"
	"nsbuild/internal/pkgbuild"
)

// wanted is a package that is looked for.
type wanted struct {
	buildinfo.Package
	digest string         // SHA-256, where a lock says it
	found  *index.Package // nil: not yet
	from   *release.File  // whose indices name it; nil: none, it was in the cache
	seen   []string       // why what was there is not it
}

// finder looks for packages, and remembers where it looked.
type finder struct {
	env   *pkgbuild.Env
	arch  string
	want  []*wanted
	notes []string
	told  map[string]bool
	// suites that were opened, in the order in which they were
	releases []*release.File
	// whether the source package has not been found either
	sourceMissing bool
}

func (f *finder) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if f.told == nil {
		f.told = map[string]bool{}
	}
	if !f.told[text] {
		f.told[text] = true
		f.notes = append(f.notes, text)
	}
}

// missing are those that were not found.
func (f *finder) missing() (left []*wanted) {
	for _, w := range f.want {
		if w.found == nil {
			left = append(left, w)
		}
	}
	return left
}

// names are those of some packages.
func names(all []*wanted) map[string]bool {
	called := map[string]bool{}
	for _, w := range all {
		called[w.Name] = true
	}
	return called
}

// is tells whether a package is the one that is wanted, as far as is said of that.
func (w *wanted) is(p *index.Package, arch string) bool {
	return p.Package == w.Name && (w.Version == "" || sameVersion(p.Version, w.Version)) &&
		(p.Architecture == arch || p.Architecture == "all")
}

// sameVersion holds for versions that are written alike, an epoch of 0 left aside.
func sameVersion(a, b string) bool {
	return a == b || strings.TrimPrefix(a, "0:") == strings.TrimPrefix(b, "0:")
}

// inCache looks among the packages of the cache. Where it has several of a name and version, the
// lists of a suite must say which.
func (f *finder) inCache(ctx context.Context) error {
	left := f.missing()
	cached, err := f.env.Client.Cached(ctx, names(left))
	if err != nil {
		return err
	}
	for _, w := range left {
		var fits []*index.Package
		for _, p := range cached {
			if w.Version != "" && w.is(p, f.arch) &&
				(w.digest == "" || w.digest == p.Hashes.SHA256) {
				fits = append(fits, p)
			}
		}
		switch len(fits) {
		case 0:
		case 1:
			w.found = fits[0]
		default:
			w.seen = append(w.seen, fmt.Sprintf("the cache has %d files that are called so",
				len(fits)))
		}
	}
	return nil
}

// inSuites looks in the lists of suites: first in the components that they are used with, then in
// all that they have.
func (f *finder) inSuites(ctx context.Context, releases []*release.File) error {
	for _, all := range []bool{false, true} {
		for _, r := range releases {
			components := r.Repo().IndexComponents()
			if all {
				components = slices.DeleteFunc(slices.Clone(r.Components()), func(c string) bool {
					return slices.Contains(components, c)
				})
			}
			for _, c := range components {
				if err := f.inComponent(ctx, r, c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (f *finder) inComponent(ctx context.Context, r *release.File, component string) error {
	left := f.missing()
	if len(left) == 0 {
		return nil
	}
	err := f.env.Client.PackagesCalled(ctx, r, component, f.arch, names(left),
		func(p *index.Package) error {
			for _, w := range left {
				if !w.is(p, f.arch) || w.found != nil && w.Version != "" {
					continue
				}
				if w.digest != "" && p.Hashes.SHA256 != "" && w.digest != p.Hashes.SHA256 {
					w.seen = append(w.seen, r.Repo().String()+" has another file of this version")
					continue
				}
				if w.found == nil || newer(p.Version, w.found.Version) {
					w.found, w.from = p, r
				}
			}
			return nil
		})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f.noteFailed(err)
	return nil
}

// noteFailed notes why a list cannot be had. That there is none is no failure, and what is left out
// for --offline is told once.
func (f *finder) noteFailed(err error) {
	switch {
	case err == nil || errors.Is(err, failure.ErrNoIndex):
	case errors.Is(err, failure.ErrOffline):
		f.note("lists that are not in the cache were not looked into: --offline")
	default:
		f.note("%v", err)
	}
}

// newer tells whether a version is newer than another.
func newer(a, b string) bool {
	v, err := dsc.ParseVersion(a)
	w, err2 := dsc.ParseVersion(b)
	return err == nil && err2 == nil && v.Compare(w) > 0
}

// unanswered tells whether who was asked has not answered, or not now.
func unanswered(err error) bool {
	return errors.Is(err, failure.ErrRefused) || errors.Is(err, failure.ErrUnreachable)
}

// open opens suites, and notes those that cannot be had. It tells how often nobody has answered.
func (f *finder) open(ctx context.Context, repos []aptconf.Repo) (opened []*release.File,
	silent int) {
	for _, repo := range repos {
		r, err := f.env.Client.Release(ctx, repo)
		switch {
		case err == nil:
			opened = append(opened, r)
			f.releases = append(f.releases, r)
		case repo.Optional && errors.Is(err, failure.ErrNoSuite):
		default:
			f.noteFailed(err)
			if unanswered(err) {
				silent++
			}
		}
	}
	return opened, silent
}

// suiteRepos are the repositories that a build of a suite, and of sid, takes packages from.
func (f *finder) suiteRepos(o bases.Options) (repos []aptconf.Repo, err error) {
	if repos, err = f.env.Bases().Repos(o); err != nil {
		return nil, err
	}
	if sid, err := f.env.Suites.Lookup("sid"); err == nil && o.Suite.Distribution == "debian" &&
		o.Suite.Name != sid.Name {
		o.Suite = sid
		more, err := f.env.Bases().Repos(o)
		if err != nil {
			return nil, err
		}
		repos = append(repos, more...)
	}
	return repos, nil
}

// Missing is something that a build needs and that was not found.
type Missing struct {
	Kind    string `json:"kind"` // package, source, architecture, fakeroot
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Why     string `json:"why,omitempty"`
}

func (m Missing) String() string {
	text := m.Kind + " " + m.Name
	if m.Version != "" {
		text += " " + m.Version
	}
	if m.Why != "" {
		text += " (" + m.Why + ")"
	}
	return text
}

// tell lists what was not found.
func (f *finder) tell() (all []Missing) {
	for _, w := range f.missing() {
		all = append(all, Missing{Kind: "package", Name: w.Name, Version: w.Version,
			Why: strings.Join(slices.Compact(w.seen), "; ")})
	}
	return all
}
