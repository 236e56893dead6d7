package pkgbuild

import (
	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// installed lists what a jail has installed, but our own dummy package.
func installed(jail *sandbox.Jail) ([]base.Package, error) {
	all, err := apt.Installed(jail)
	if err != nil {
		return nil, err
	}
	out := make([]base.Package, 0, len(all))
	for _, p := range all {
		if p.Name != dummyName {
			out = append(out, base.Package(p))
		}
	}
	return out, nil
}

// beyond lists what is installed and not in the base in just that version.
func beyond(all, before []base.Package) []result.Package {
	have := make(map[base.Package]bool, len(before))
	for _, p := range before {
		have[p] = true
	}
	var out []result.Package
	for _, p := range all {
		if !have[p] {
			out = append(out, result.Package{Name: p.Name, Version: p.Version, Arch: p.Arch})
		}
	}
	return out
}
