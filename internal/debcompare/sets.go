package debcompare

import (
	"archive/tar"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/compared"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Package is a .deb of a set.
type Package struct {
	File, Name, Version string // Name is NAME_ARCHITECTURE
	source              string // SOURCE_VERSION, without an epoch, as its files are called
	size                int64
}

// Set lists the packages that a .changes, a .buildinfo, a directory or a .deb stands for.
func Set(ctx context.Context, name string) ([]Package, error) {
	const hint = "give a .changes, a .buildinfo, a .deb, or a directory with .debs"
	st, err := os.Stat(name)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, err)
	}
	var files []string
	switch ext := filepath.Ext(name); {
	case st.IsDir():
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		for _, e := range entries {
			files = append(files, filepath.Join(name, e.Name()))
		}
	case ext == ".deb" || ext == ".udeb":
		files = []string{name}
	case ext == ".changes" || ext == ".buildinfo":
		if files, err = listed(name); err != nil {
			return nil, err
		}
	default:
		return nil, fault.New(fault.Usage, hint, "%s is no set of packages", name)
	}
	files = slices.DeleteFunc(files, func(f string) bool {
		return filepath.Ext(f) != ".deb" && filepath.Ext(f) != ".udeb"
	})
	if len(files) == 0 {
		return nil, fault.New(fault.Usage, hint, "%s has no package", name)
	}
	all, err := Identify(ctx, files)
	if err != nil {
		return nil, err
	}
	return newest(all)
}

// maxListed bounds a .changes and a .buildinfo, in bytes.
const maxListed = 16 << 20

// listed are the files that a .changes or a .buildinfo names.
func listed(name string) (files []string, err error) {
	text, err := regular.ReadFile(name, maxListed)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", err)
	}
	var all []dsc.File
	if filepath.Ext(name) == ".changes" {
		c, err := dsc.ParseChanges(name, strings.NewReader(string(text)), nil)
		if err != nil {
			return nil, fault.New(fault.Usage, "", "%w", err)
		}
		all = c.Files
	} else {
		b, err := dsc.ParseBuildinfo(name, strings.NewReader(string(text)), nil)
		if err != nil {
			return nil, fault.New(fault.Usage, "", "%w", err)
		}
		all = b.Files
	}
	for _, f := range all {
		files = append(files, filepath.Join(filepath.Dir(name), f.Name))
	}
	return files, nil
}

// Identify reads what packages are called.
func Identify(ctx context.Context, files []string) (all []Package, err error) {
	for _, file := range files {
		r, f, err := open(ctx, file)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		control := fields(r.ControlFile("control").Body)
		st, err := os.Stat(file)
		if err == nil {
			err = r.Close()
		}
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		p := Package{File: file, Name: get(control, "Package") + "_" + get(control, "Architecture"),
			Version: get(control, "Version"), source: sourceOf(control), size: st.Size()}
		all = append(all, p)
	}
	return all, nil
}

// newest are the packages in the newest version of each: a directory can have the results of
// several builds. Of one version there may be but one.
func newest(packages []Package) (all []Package, err error) {
	at := map[string]int{}
	for _, p := range packages {
		i, twice := at[p.Name]
		if !twice {
			at[p.Name] = len(all)
			all = append(all, p)
			continue
		}
		v, err := dsc.ParseVersion(p.Version)
		w, err2 := dsc.ParseVersion(all[i].Version)
		switch {
		case err != nil || err2 != nil || v.Compare(w) == 0:
			return nil, fault.New(fault.Usage, "leave one of them out",
				"%s and %s are both of %s", all[i].File, p.File, p.Name)
		case v.Compare(w) > 0:
			all[i] = p
		}
	}
	return all, nil
}

// sourceOf is the source of a package, with its version.
func sourceOf(control []field) string {
	name, version := get(control, "Source"), get(control, "Version")
	if name == "" {
		name = get(control, "Package")
	}
	if source, rest, ok := strings.Cut(name, " ("); ok {
		name, version = source, strings.TrimSuffix(rest, ")")
	}
	if _, without, ok := strings.Cut(version, ":"); ok {
		version = without
	}
	return name + "_" + version
}

// Sets compares two sets of packages.
func Sets(ctx context.Context, was, is string) (*compared.Comparison, error) {
	a, err := Set(ctx, was)
	if err != nil {
		return nil, err
	}
	b, err := Set(ctx, is)
	if err != nil {
		return nil, err
	}
	c, err := Packages(ctx, a, b)
	if err != nil {
		return nil, err
	}
	c.Was, c.Is = was, is
	return c, nil
}

// comparison is one of two sets under way.
type comparison struct {
	*compared.Comparison
	gone, come map[string][]string // paths: the packages that lost and gained them
	was, is    []libraryFile
}

// Packages compares packages.
func Packages(ctx context.Context, a, b []Package) (*compared.Comparison, error) {
	c := &comparison{Comparison: &compared.Comparison{Schema: compared.Schema},
		gone: map[string][]string{}, come: map[string][]string{}}
	x, y := byName(a), byName(b)
	for _, name := range union(x, y) {
		p, before := x[name]
		q, now := y[name]
		var err error
		switch {
		case !before:
			c.Gained = append(c.Gained, name)
			c.is, err = c.alone(ctx, q, true, c.come, c.is)
		case !now:
			c.Lost = append(c.Lost, name)
			c.was, err = c.alone(ctx, p, false, c.gone, c.was)
		default:
			err = c.both(ctx, p, q)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(a) == 1 && len(b) == 1 && a[0].Name != b[0].Name { // they are meant to be compared
		pair, _, _, err := compare(ctx, a[0], b[0])
		if err != nil {
			return nil, err
		}
		pair.Renamed = b[0].Name
		c.Packages = append(c.Packages, pair)
	}
	c.moves()
	c.Same = len(c.Gained)+len(c.Lost) == 0 &&
		!slices.ContainsFunc(c.Packages, func(p compared.Pair) bool { return !p.Same })
	if c.Same {
		return c.Comparison, nil
	}
	c.Lintian, c.Warnings = evidence(a, b)
	if err := c.libraries(ctx); err != nil {
		return nil, err
	}
	return c.Comparison, nil
}

// Files are those of a package that differs, in either set.
type Files struct{ Name, Was, Is string }

// Differing are the files of the packages that differ in a comparison of two sets.
func Differing(c *compared.Comparison, was, is []Package) (all []Files) {
	x, y := byName(was), byName(is)
	for _, p := range c.Packages {
		now := cmp.Or(p.Renamed, p.Name)
		if !p.Same {
			all = append(all, Files{p.Name, x[p.Name].File, y[now].File})
		}
	}
	return all
}

func byName(all []Package) map[string]Package {
	m := map[string]Package{}
	for _, p := range all {
		m[p.Name] = p
	}
	return m
}

// mostGrown is how many files are named that have grown.
const mostGrown = 10

// both compares a package that both sets have.
func (c *comparison) both(ctx context.Context, p, q Package) error {
	pair, a, b, err := compare(ctx, p, q)
	if err != nil {
		return err
	}
	c.Packages = append(c.Packages, pair)
	if !pair.Same {
		c.noteMoves(pair)
		c.was, c.is = a.libraries(p.Name, c.was), b.libraries(q.Name, c.is)
	}
	return nil
}

// compare compares two packages. Of those that are the same bytes nothing is read.
func compare(ctx context.Context, p, q Package) (pair compared.Pair, a, b *contents, err error) {
	pair = compared.Pair{Name: p.Name, Was: p.Version, Is: q.Version, WasSize: p.size,
		IsSize: q.size}
	if pair.Same, err = SameBytes(p.File, q.File); err != nil || pair.Same {
		return pair, nil, nil, err
	}
	if a, err = read(ctx, p.File); err != nil {
		return pair, nil, nil, err
	}
	if b, err = read(ctx, q.File); err != nil {
		return pair, nil, nil, err
	}
	if pair.Differences, err = differences(ctx, a, b); err != nil {
		return pair, nil, nil, err
	}
	pair.WasInstalled, pair.IsInstalled = a.installed(), b.installed()
	pair.Changes = changes(a, b)
	for path, e := range b.entries {
		if was, ok := a.entries[path]; ok && e.size > was.size && e.kind == was.kind {
			pair.Grown = append(pair.Grown, compared.Growth{Path: path, Was: was.size, Is: e.size})
		}
	}
	slices.SortFunc(pair.Grown, func(x, y compared.Growth) int {
		return cmp.Or(cmp.Compare(y.Is-y.Was, x.Is-x.Was), strings.Compare(x.Path, y.Path))
	})
	pair.Grown = pair.Grown[:min(mostGrown, len(pair.Grown))]
	return pair, a, b, nil
}

// alone notes a package that only one of the sets has.
func (c *comparison) alone(ctx context.Context, p Package, gained bool,
	into map[string][]string, libraries []libraryFile) ([]libraryFile, error) {
	one, err := read(ctx, p.File)
	if err != nil {
		return nil, err
	}
	a := compared.Alone{Name: p.Name, Gained: gained, Version: p.Version, Size: p.size}
	for path, e := range one.entries {
		if e.kind != tar.TypeDir { // directories are everybody's
			into[path] = append(into[path], p.Name)
			a.Files = append(a.Files, path)
		}
	}
	slices.Sort(a.Files)
	c.Alone = append(c.Alone, a)
	return one.libraries(p.Name, libraries), nil
}

// noteMoves notes the files that a package has gained or lost.
func (c *comparison) noteMoves(p compared.Pair) {
	for _, d := range p.Differences {
		switch {
		case d.In != compared.InData || d.Directory:
		case d.What == "removed":
			c.gone[d.Path] = append(c.gone[d.Path], p.Name)
		case d.What == "added":
			c.come[d.Path] = append(c.come[d.Path], p.Name)
		}
	}
}

// moves finds the files that one package has lost and another has gained.
func (c *comparison) moves() {
	for _, path := range union(c.gone, c.come) {
		if len(c.gone[path]) == 1 && len(c.come[path]) == 1 {
			c.Moved = append(c.Moved, compared.Move{Path: path, From: c.gone[path][0],
				To: c.come[path][0]})
		}
	}
	moved := map[string]bool{}
	for _, m := range c.Moved {
		moved[m.Path] = true
	}
	for i := range c.Alone {
		a := &c.Alone[i]
		a.Files, a.FilesMore = compared.Bound(slices.DeleteFunc(a.Files,
			func(path string) bool { return moved[path] }))
	}
}
