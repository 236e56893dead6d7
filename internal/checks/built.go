package checks

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/deps"
	"nsbuild/internal/sandbox"
)

// built is what a check's apt may install from: what was built, and the packages that the build was
// given. Of what was built it takes these very versions, whatever else there is: an archive may
// have a later one, and the base, too.
func (b *Bench) built(ctx context.Context) (extra deps.Extra, err error) {
	extra = b.Extra
	extra.Pins = pinned(b.versions) + b.Extra.Pins // of several that fit the first counts
	extra.Local, err = b.Deps.Client.Local(ctx, apt.Extra, append(b.builtDebs(), b.Given...))
	return extra, err
}

// pinned are preferences for certain versions of packages. Above 1000 apt takes them though later
// ones are installed (apt_preferences(5)).
func pinned(versions map[string]string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(&out, "Package: %s\nPin: version %s\nPin-Priority: 1001\n\n", name,
			versions[name])
	}
	return out.String()
}

// readVersions learns from the binary packages that were built which versions they have: some
// packages have others than their source.
func (b *Bench) readVersions(ctx context.Context) error {
	if b.versions != nil {
		return nil
	}
	built, err := b.Deps.Client.Local(ctx, apt.Extra, b.builtDebs())
	if err != nil {
		return err
	}
	b.versions, b.roots = map[string]string{}, map[string][]sandbox.Lower{}
	b.recommends = map[string]string{}
	for _, p := range built.Packages {
		b.versions[p.Package] = p.Version
		b.recommends[p.Package] = p.Recommends
	}
	return nil
}

// exactly are relations to packages in the version that was built.
func (b *Bench) exactly(packages []string) string {
	var out []string
	for _, name := range packages {
		out = append(out, fmt.Sprintf("%s (= %s)", name, b.versions[name]))
	}
	return strings.Join(out, ", ")
}

// inBase are those packages that the base has itself.
func (b *Bench) inBase(packages []string) []string {
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool {
		return !slices.ContainsFunc(b.Base.Manifest.Packages, func(p base.Package) bool {
			return p.Name == name
		})
	})
}

// unseen are the files of those packages that a jail over the base has in just the version that was
// built: apt leaves them as they are, and so they are to be installed by dpkg.
func (b *Bench) unseen(packages []string) []string {
	return slices.DeleteFunc(b.builtDebs(), func(file string) bool {
		name := packageOf(file)
		return !slices.Contains(packages, name) || !slices.ContainsFunc(b.Base.Manifest.Packages,
			func(p base.Package) bool { return p.Name == name && p.Version == b.versions[name] })
	})
}

// builtDebs are the binary packages that were built, as files.
func (b *Bench) builtDebs() []string {
	var debs []string
	for _, file := range b.Artefacts {
		if filepath.Ext(file) == ".deb" {
			debs = append(debs, file)
		}
	}
	return debs
}

// packageOf is the name of the package in a file.
func packageOf(deb string) string {
	name, _, _ := strings.Cut(filepath.Base(deb), "_")
	return name
}

// builtPackages are the names of the binary packages that were built, without those of debugging
// symbols.
func (b *Bench) builtPackages() []string {
	var names []string
	for _, file := range b.builtDebs() {
		if name := packageOf(file); !strings.HasSuffix(name, "-dbgsym") &&
			!slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
