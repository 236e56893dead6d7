// Package install installs packages in a jail that has no network: what the jail's own apt wants is
// fetched and verified outside, and found in the verified indices, not in what a jail prints.
//
// What is to be installed, and over what, is left to internal/bases and internal/deps.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/jails"
)

// Sources has the lists of suites in the cache, for a jail's apt.
func Sources(ctx context.Context, client *archive.Client, releases []*release.File,
	archs ...string) (
	[]apt.Source, error) {
	var sources []apt.Source
	for _, r := range releases {
		lists, err := client.AptLists(ctx, r, r.Repo().Components, archs, "")
		if err != nil {
			return nil, err
		}
		sources = append(sources, apt.Source{Repo: r.Repo(), Release: r, Archs: archs,
			Lists: lists})
	}
	return sources, nil
}

// Command has apt do a command: what it wants is fetched and verified here, outside the jail.
func Command(ctx context.Context, client *archive.Client, resolver *apt.Apt, log io.Writer,
	sources []apt.Source,
	form pool.CopyForm, args ...string) error {
	wanted, err := resolver.Wanted(ctx, log, args...)
	if err != nil {
		return err
	}
	_, err = Wanted(ctx, client, resolver, log, sources, form, wanted, args...)
	return err
}

// CopyForm is what the dpkg among these packages can read.
func CopyForm(packages []base.Package) (pool.CopyForm, error) {
	for _, p := range packages {
		if p.Name == "dpkg" {
			return pool.CopyFormFor(p.Version)
		}
	}
	return pool.CopyOld, nil
}

// Wanted is install for what apt has said already. It returns the digests of the packages
// that were installed without a copy.
func Wanted(ctx context.Context, client *archive.Client, resolver *apt.Apt, log io.Writer,
	sources []apt.Source, form pool.CopyForm, wanted []apt.Wanted, args ...string) (
	uncopied []string, err error) {
	files, err := Fetch(ctx, client, sources, wanted)
	if err != nil {
		return nil, err
	}
	return Provided(ctx, client, resolver, log, files, form, wanted, args...)
}

// Fetched are files of the cache that apt wants, by their URLs.
type Fetched map[string]fetchedFile

type fetchedFile struct {
	p    *index.Package
	file string
}

// Fetch has what apt wants in the cache.
func Fetch(ctx context.Context, client *archive.Client, sources []apt.Source, wanted []apt.Wanted) (
	Fetched, error) {
	packages, err := indexed(ctx, client, sources, wanted)
	if err != nil {
		return nil, err
	}
	list := make([]*index.Package, 0, len(wanted))
	for _, w := range wanted {
		list = append(list, packages[w.URL])
	}
	debs, err := client.Debs(ctx, list)
	if err != nil {
		return nil, err
	}
	files := make(Fetched, len(wanted))
	for _, w := range wanted {
		p := packages[w.URL]
		files[w.URL] = fetchedFile{p, debs[p]}
	}
	return files, nil
}

// Provided has apt do a command, with what it wants for it.
func Provided(ctx context.Context, client *archive.Client, resolver *apt.Apt, log io.Writer,
	files Fetched,
	form pool.CopyForm, wanted []apt.Wanted, args ...string) (uncopied []string, err error) {
	var list []*index.Package
	for _, w := range wanted {
		f := files[w.URL]
		list = append(list, f.p)
		if err := resolver.Provide(w, f.file, client.Copies.Find(f.p, form)); err != nil {
			return nil, err
		}
	}
	status, err := resolver.Run(ctx, log, args...)
	if err == nil && !status.Success() {
		err = &Refused{fmt.Errorf("apt-get %s: %s", strings.Join(args, " "), status)}
	}
	return client.Copies.Missing(list, form), err
}

// indexed finds what apt wants in the verified indices: from them come the hashes that are
// believed, not from what a jail prints.
func indexed(ctx context.Context, client *archive.Client, sources []apt.Source,
	wanted []apt.Wanted) (
	map[string]*index.Package, error) {
	found := make(map[string]*index.Package, len(wanted))
	missing := make(map[string]apt.Wanted, len(wanted))
	for _, w := range wanted {
		missing[plainURL(w.URL)] = w
	}
	take := func(p *index.Package) error {
		if w, ok := missing[plainURL(p.URL())]; ok && w.Size == p.Size {
			found[w.URL] = p
			delete(missing, plainURL(w.URL))
		}
		return nil
	}
	if err := EachPackage(ctx, client, sources, called(wanted), take, func() bool {
		return len(missing) == 0
	}); err != nil {
		return nil, err
	}
	for u := range missing {
		return nil, fmt.Errorf("apt wants %s, which the suite's indices do not list", u)
	}
	return found, nil
}

// plainURL is a URL without the "./" that flat repositories put into it: apt keeps it, the index of
// packages does not.
func plainURL(url string) string { return strings.ReplaceAll(url, "/./", "/") }

// called are the names of packages.
func called(wanted []apt.Wanted) map[string]bool {
	names := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		name, _, _ := strings.Cut(w.Name, "_")
		names[name] = true
	}
	return names
}

// EachPackage shows the packages of some names in the verified indices, until enough are seen.
func EachPackage(ctx context.Context, client *archive.Client, sources []apt.Source,
	called map[string]bool,
	take func(*index.Package) error, enough func() bool) error {
	for _, s := range sources {
		for _, p := range s.Packages {
			if err := take(p); err != nil {
				return err
			}
		}
		if s.Release == nil {
			continue
		}
		for _, component := range s.Repo.IndexComponents() {
			for _, arch := range s.Archs {
				if enough() {
					return nil
				}
				err := client.PackagesCalled(ctx, s.Release, component, arch, called, take)
				// apt found it elsewhere, or it is named as missing
				if err != nil && !errors.Is(err, failure.ErrNoIndex) {
					return err
				}
			}
		}
	}
	return nil
}

// LocalSource has apt take packages that are files here.
func LocalSource(l *pool.Local) apt.Source {
	return apt.Source{Repo: l.Repo, Lists: []index.ListFile{l.List}, Packages: l.Packages}
}

// Named finds packages in the verified indices by name, version and architecture, in the order in
// which they are wanted.
func Named(ctx context.Context, client *archive.Client, sources []apt.Source, wanted []apt.Wanted) (
	[]*index.Package, error) {
	found := make([]*index.Package, len(wanted))
	at := make(map[string]int, len(wanted))
	for i, w := range wanted {
		at[w.Name] = i
	}
	missing := len(wanted)
	take := func(p *index.Package) error {
		if i, ok := at[apt.FileName(p.Package, p.Version, p.Architecture)]; ok && found[i] == nil {
			found[i] = p
			missing--
		}
		return nil
	}
	if err := EachPackage(ctx, client, sources, called(wanted), take, func() bool {
		return missing == 0
	}); err != nil {
		return nil, err
	}
	for i, p := range found {
		if p == nil {
			return nil, fmt.Errorf("aptitude wants %s, which the suite's indices do not list",
				wanted[i].Name)
		}
	}
	return found, nil
}

// File is where the package lies that apt wants from a URL.
func (f Fetched) File(url string) string { return f[url].file }

// Package is the package that apt wants from a URL.
func (f Fetched) Package(url string) *index.Package { return f[url].p }

// Refused is the failure of a program that installs or purges.
type Refused struct{ Err error }

func (e *Refused) Error() string { return e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

// Dummy is a package that depends on what the build needs.
func Dummy(arch string, r dsc.Reduced) ([]byte, error) {
	var control strings.Builder
	fmt.Fprintf(&control, "Package: %s\nVersion: 0.invalid.0\nArchitecture: %s\nMaintainer: "+
		"nsbuild <nobody@localhost>\n", buildroot.DummyName, arch)
	if text := r.Depends.String(); text != "" {
		fmt.Fprintf(&control, "Depends: %s\n", text)
	}
	if text := r.Conflicts.String(); text != "" {
		fmt.Fprintf(&control, "Conflicts: %s\n", text)
	}
	control.WriteString(
		"Description: the build dependencies of one build\n Made for it and never kept.\n")
	var out bytes.Buffer
	err := deb.Write(&out, deb.Package{Control: control.String(), Time: time.Unix(0, 0)})
	return out.Bytes(), err
}

// DropDummy takes the dummy package away again: a layer serves other sources, too.
func DropDummy(ctx context.Context, jail jails.Jail) error {
	return buildroot.AsRoot(ctx, jail, "dpkg", "--force-unsafe-io", "--purge", buildroot.DummyName)
}
