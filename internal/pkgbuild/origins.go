package pkgbuild

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

// origin is the file that an installed package came from.
type origin struct {
	*index.Package
	release string // SHA-256 of the Release file whose lists name it; "": none does
}

// tracing is the search for the files of all that is installed, beside the build.
type tracing struct {
	stop  context.CancelFunc
	done  chan struct{}
	found map[base.Package]origin
	err   error
}

// trace begins to look for the files of all that is installed.
func (at *attempt) trace(ctx context.Context) {
	if at.tracing != nil || at.found.installed == nil {
		return
	}
	t := &tracing{done: make(chan struct{})}
	if !at.o.traced() {
		ctx = fetch.CachedOnly(ctx) // no build is to wait for a mirror at its end
	}
	ctx, t.stop = context.WithCancel(ctx)
	at.tracing = t
	sought := at.sought()
	installed := slices.Clone(at.found.installed)
	go func() {
		defer close(t.done)
		t.found, t.err = sought.find(ctx, installed)
	}()
}

// end gives the search up.
func (t *tracing) end() {
	if t != nil {
		t.stop()
		<-t.done
	}
}

// origins are the files of all that is installed, as far as they are known.
func (at *attempt) origins(ctx context.Context) (map[base.Package]origin, error) {
	at.trace(ctx)
	if at.tracing == nil {
		return nil, nil
	}
	<-at.tracing.done
	return at.tracing.found, at.tracing.err
}

// seekers are the places where the files of packages are looked for.
type seekers struct {
	env      *Env
	archs    []string
	known    []plan.Package  // by a plan, or by whoever made the root
	releases []*release.File // whose lists are read
	local    []*index.Package
	// installed are the files that apt wanted, by the names that it gives them, with the hash that
	// it was told: "SHA256:…".
	installed map[string]string
}

func (at *attempt) sought() *seekers {
	s := &seekers{env: at.env, archs: at.archs(), installed: map[string]string{},
		releases: slices.Concat(at.extra.Releases, at.releases)}
	if at.planned != nil {
		s.known = slices.Concat(at.planned.Base.Packages, at.planned.Dependencies.Packages)
	}
	if at.o.Exact != nil {
		s.known = at.o.Exact.Packages
	}
	if at.extra.Local != nil {
		s.local = at.extra.Local.Packages
	}
	if at.deps != nil {
		for _, text := range at.deps.Files {
			name, hash, _ := strings.Cut(text, " ")
			s.installed[name] = hash
		}
	}
	return s
}

// find looks for the files of packages: in what is known, then in the lists of the suites, then
// among the caller's own, then in the cache. Of two files of one name and version that one counts
// which apt was told of; where that is not known, the lists decide, and the cache does not.
func (s *seekers) find(ctx context.Context, packages []base.Package) (map[base.Package]origin,
	error) {
	found := map[base.Package]origin{}
	wanted := map[base.Package]bool{}
	for _, p := range packages {
		wanted[p] = true
	}
	note := func(p *index.Package, digest string) {
		key := base.Package{Name: p.Package, Version: p.Version, Arch: p.Architecture}
		if wanted[key] && found[key].Package == nil && p.Hashes.SHA256 != "" && s.is(key, p) {
			found[key] = origin{p, digest}
		}
	}
	missing := func() map[string]bool {
		names := map[string]bool{}
		for _, p := range packages {
			if found[p].Package == nil {
				names[p.Name] = true
			}
		}
		return names
	}
	for _, p := range s.known {
		note(knownPackage(p), p.Release)
	}
	for _, r := range s.releases {
		s.inLists(ctx, r, missing, func(p *index.Package) error {
			note(p, r.Digest())
			return nil
		})
	}
	for _, p := range s.local {
		note(p, "")
	}
	names := missing()
	if len(names) == 0 {
		return found, nil
	}
	cached, err := s.env.Client.Cached(ctx, names)
	for _, p := range cached {
		key := base.Package{Name: p.Package, Version: p.Version, Arch: p.Architecture}
		if s.told(key) != "" || !slices.ContainsFunc(cached, func(q *index.Package) bool {
			return q.String() == p.String() && q.Hashes.SHA256 != p.Hashes.SHA256
		}) {
			note(p, "")
		}
	}
	return found, err
}

// inLists reads the lists of a suite for what is missing. What cannot be had of them may be in the
// cache, or stays unknown.
func (s *seekers) inLists(ctx context.Context, r *release.File, missing func() map[string]bool,
	note func(*index.Package) error) {
	for _, c := range r.Repo().IndexComponents() {
		for _, arch := range s.archs {
			names := missing()
			if len(names) == 0 || ctx.Err() != nil {
				return
			}
			if err := s.env.Client.PackagesCalled(ctx, r, c, arch, names, note); err != nil {
				s.env.Log.Debugf("what packages were installed from: %v", err)
			}
		}
	}
}

// told is the hash of which apt was told when it installed a package; "" where that is not known.
func (s *seekers) told(p base.Package) string {
	return s.installed[apt.FileName(p.Name, p.Version, p.Arch)]
}

// is tells whether a package's file is the one that was installed, as far as that is known.
func (s *seekers) is(key base.Package, p *index.Package) bool {
	kind, digest, _ := strings.Cut(s.told(key), ":")
	switch strings.ToUpper(kind) {
	case "SHA256":
		return digest == p.Hashes.SHA256
	case "SHA512":
		return p.Hashes.SHA512 == "" || digest == p.Hashes.SHA512
	}
	return true
}

// knownPackage is a package of a plan as lists have it.
func knownPackage(p plan.Package) *index.Package {
	return &index.Package{Package: p.Name, Version: p.Version, Architecture: p.Arch,
		Filename: p.File, Size: p.Size, Hashes: hashes.Set{SHA256: p.SHA256, SHA512: p.SHA512},
		Repo: &aptconf.Repo{URI: p.URI}}
}

// planned is the package as a plan has it.
func (o origin) planned(p base.Package) plan.Package {
	uri := failure.PublicURI(o.Repo.URI)
	if uri == pool.CachedOrigin {
		uri = ""
	}
	return plan.Package{Name: p.Name, Version: p.Version, Arch: p.Arch, Size: o.Size,
		SHA256: o.Hashes.SHA256, SHA512: o.Hashes.SHA512, URI: uri, File: o.Filename,
		Release: o.release}
}

// parts are the packages of the base that are installed, and those that came to them.
func (at *attempt) parts() (own, more []base.Package) {
	more = buildroot.Beyond(at.found.installed, at.base.Manifest.Packages)
	own = buildroot.Beyond(at.found.installed, more)
	byName := func(a, b base.Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch))
	}
	slices.SortFunc(own, byName)
	slices.SortFunc(more, byName)
	return own, more
}

// noteOrigins has the result say what every package was installed from.
func (at *attempt) noteOrigins(ctx context.Context) {
	found, err := at.origins(ctx)
	if err != nil {
		at.env.Log.Debugf("what packages were installed from: %v", err)
	}
	if at.found.installed == nil || at.base == nil {
		return
	}
	own, _ := at.parts()
	inputs := &at.result.Inputs
	inputs.Base.Packages = listed(own)
	for _, list := range [][]result.Package{inputs.Base.Packages, inputs.Dependencies} {
		for i := range list {
			p := &list[i]
			key := base.Package{Name: p.Name, Version: p.Version, Arch: p.Arch}
			if o, ok := found[key]; ok {
				is := o.planned(key)
				p.Size, p.SHA256, p.URI, p.File, p.Release = is.Size, is.SHA256, is.URI, is.File,
					is.Release
			}
		}
	}
}
