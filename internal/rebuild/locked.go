package rebuild

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

// pinned is what a lock or a result says of a build's packages.
type pinned struct {
	source, version string
	packages        []plan.Package
}

// takeLock takes the digests of packages from a lock or a result: the one that is named, else the
// lock that a build has left beside the .buildinfo.
func (w *run) takeLock() error {
	if w.Lock != "" {
		p, err := readPinned(w.Lock)
		if err != nil {
			return err
		}
		w.find.locked(p)
		return nil
	}
	beside := strings.TrimSuffix(w.File, ".buildinfo") + plan.Suffix
	p, err := readPinned(beside)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		w.note("the lock beside the .buildinfo is not used: %v", err)
	case p.source != w.info.Source || p.version != w.info.SourceVersion.String():
		w.note("the lock beside the .buildinfo is not used: it is of %s %s", p.source, p.version)
	default:
		w.note("the hashes of packages are those of %s", filepath.Base(beside))
		w.find.locked(p)
	}
	return nil
}

// readPinned reads a plan, or the result of a build.
func readPinned(file string) (*pinned, error) {
	if strings.HasSuffix(file, plan.Suffix) {
		p, err := plan.Read(file)
		if err != nil {
			return nil, err
		}
		return &pinned{p.Source.Name, p.Source.Version,
			slices.Concat(p.Base.Packages, p.Dependencies.Packages)}, nil
	}
	r, err := result.Read(file)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "name a lock (NAME"+plan.Suffix+"), or a file that "+
			"the --result of nsbuild build has written", err)
	}
	p := &pinned{source: r.Source.Name, version: r.Source.Version}
	for _, k := range slices.Concat(r.Inputs.Base.Packages, r.Inputs.Dependencies) {
		p.packages = append(p.packages, plan.Package{Name: k.Name, Version: k.Version, Arch: k.Arch,
			SHA256: k.SHA256})
	}
	return p, nil
}

// locked takes the digests of packages for this architecture.
func (f *finder) locked(p *pinned) {
	digests := map[string]string{}
	for _, l := range p.packages {
		if l.Arch == "" || l.Arch == "all" || l.Arch == f.arch {
			digests[l.Name+" "+l.Version] = l.SHA256
		}
	}
	for _, w := range f.want {
		w.digest = digests[w.Name+" "+w.Version]
	}
}
