package pkgbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/compared"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// What Checks.Compare may be, besides a directory.
const (
	CompareArchive  = "archive"  // with what the suite has of the source
	ComparePrevious = "previous" // with what the build before has left
)

// longestCompare is how long a comparison may take.
const longestCompare = 15 * time.Minute

// errNothing means that there is nothing to compare with.
var errNothing = errors.New("nothing to compare with")

// checkCompare refuses a directory that is none.
func (r *Request) checkCompare() error {
	switch r.Compare {
	case "", CompareArchive, ComparePrevious:
		return nil
	}
	st, err := os.Stat(r.Compare)
	if err == nil && st.IsDir() {
		return nil
	}
	return fault.New(fault.Usage, "archive, previous, or a directory with packages",
		"%s %q is no directory", r.place("compare"), r.Compare)
}

// compare compares the results with what was asked for. Whatever comes of it, the build stays as
// successful as it is.
func (at *attempt) compare(ctx context.Context) {
	if at.o.Compare == "" || len(at.found.files) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, longestCompare)
	defer cancel()
	ph := at.env.Progress.Phase("compare")
	defer at.env.Meter.During(ph)()
	begin := time.Now()
	c := &result.Compare{With: at.o.Compare, Status: result.CompareDiffers}
	at.beside.result = c
	whole, version, err := at.compareWith(ctx)
	c.Seconds, c.Version = time.Since(begin).Seconds(), version
	ph.Done(nil)
	at.log.Section("Comparison")
	switch {
	case err != nil:
		c.Status, c.Note = result.CompareFailed, at.env.Work.Hide(err).Error()
		if errors.Is(err, errNothing) {
			c.Status = result.CompareNothing
		}
		at.log.Printf("With %s: %s", c.With, c.Note)
		return
	case whole.Same:
		c.Status = result.CompareSame
	}
	at.log.Printf("With %s %s", c.With, c.Version)
	for _, line := range slices.Concat(whole.Summary(), whole.Details(compared.Extent{})) {
		at.log.Printf("%s", buildlog.VisibleString(line))
	}
	c.Comparison = whole.Short()
}

// compareWith compares the results with those of another version, or build, of the source.
func (at *attempt) compareWith(ctx context.Context) (c *compared.Comparison, version string,
	err error) {
	changes := at.found.files[len(at.found.files)-1]
	is, err := debcompare.Set(ctx, changes)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNothing, err) // a source package alone, say
	}
	var was []debcompare.Package
	name := at.o.Compare
	switch name {
	case CompareArchive:
		if was, version, err = at.inArchive(ctx); err == nil {
			is = withoutDebugging(was, is)
		}
	case ComparePrevious:
		if at.beside.earlier == nil {
			return nil, "", fmt.Errorf("%w: %s has no results of an earlier build for this suite",
				errNothing, at.output)
		}
		name, version = at.beside.earlier.Path, at.beside.earlier.Version.String()
		was, err = debcompare.Set(ctx, name)
	default:
		was, err = debcompare.Set(ctx, name)
	}
	if err != nil {
		return nil, "", err
	}
	if c, err = debcompare.Packages(ctx, was, is); err != nil {
		return nil, "", err
	}
	c.Was, c.Is = name, changes
	return c, version, nil
}

// withoutDebugging leaves out packages of debugging symbols where the others have none: an archive
// has them elsewhere.
func withoutDebugging(was, is []debcompare.Package) []debcompare.Package {
	of := func(p debcompare.Package) bool { return strings.Contains(p.Name, "-dbgsym_") }
	if slices.ContainsFunc(was, of) {
		return is
	}
	return slices.DeleteFunc(is, of)
}

// inArchive are the packages that the suite has of the newest version of the source, of those that
// this build makes.
func (at *attempt) inArchive(ctx context.Context) ([]debcompare.Package, string, error) {
	name, _ := at.in.Identity()
	newest := map[string]*index.Package{}
	var version dsc.Version
	for _, r := range at.releases {
		for _, c := range r.Repo().IndexComponents() {
			err := at.env.Client.Packages(ctx, r, c, at.host, func(p *index.Package) error {
				source, text := sourceOf(p)
				if source != name || p.Architecture == "all" && !at.o.ArchAll ||
					p.Architecture != "all" && !at.o.ArchAny {
					return nil
				}
				v, err := dsc.ParseVersion(text)
				if err != nil || v.Compare(version) < 0 {
					return nil //nolint:nilerr // what has no version is not compared
				}
				if v.Compare(version) > 0 {
					version = v
					clear(newest)
				}
				key := p.Package + "_" + p.Architecture
				if have := newest[key]; have == nil || later(p, have) {
					newest[key] = p
				}
				return nil
			})
			if err != nil {
				return nil, "", err
			}
		}
	}
	if len(newest) == 0 {
		return nil, "", fmt.Errorf("%w: %s has no packages of %s for %s", errNothing,
			cmp.Or(at.suite.Name, "the suite"), name, at.host)
	}
	var wanted []*index.Package
	for _, p := range newest {
		wanted = append(wanted, p)
	}
	debs, err := at.env.Client.Debs(ctx, wanted)
	if err != nil {
		return nil, "", err
	}
	var files []string
	for _, p := range wanted {
		files = append(files, debs[p])
	}
	slices.Sort(files)
	all, err := debcompare.Identify(ctx, files)
	return all, version.String(), err
}

// sourceOf is the source of a package of an index, and its version.
func sourceOf(p *index.Package) (name, version string) {
	name, version = cmp.Or(p.Source, p.Package), p.Version
	if source, rest, ok := strings.Cut(name, " ("); ok {
		name, version = source, strings.TrimSuffix(rest, ")")
	}
	return name, version
}

// later tells whether a package is a later one: a binary-only upload has a version of its own.
func later(a, b *index.Package) bool {
	v, err := dsc.ParseVersion(a.Version)
	w, err2 := dsc.ParseVersion(b.Version)
	return err == nil && err2 == nil && v.Compare(w) > 0
}

// comparing is what an attempt has of a comparison.
type comparing struct {
	result  *result.Compare // nil: none was asked for
	earlier *dsc.Changes    // of the build before; nil: there are none, or they are not needed
	aside   string          // the directory where its files lie, if this build replaces them
}

// maxEarlier bounds a .changes that is looked at, in bytes.
const maxEarlier = 16 << 20

// rememberEarlier finds the results of the last build of this source for the same suite and
// architecture, in the directory that this one's go to. What this one is about to replace is set
// aside. That they are not found is told later.
func (at *attempt) rememberEarlier(changes *dsc.Changes) {
	if at.o.Compare != ComparePrevious {
		return
	}
	found, err := at.findEarlier(changes)
	if err == nil && found != nil && filepath.Base(found.Path) == filepath.Base(changes.Path) {
		err = at.setAside(found)
	}
	if err != nil {
		at.env.Log.Warnf("looking for results of an earlier build: %v", err)
		return
	}
	at.beside.earlier = found
}

// findEarlier is the newest .changes of the same; nil: there is none.
func (at *attempt) findEarlier(changes *dsc.Changes) (*dsc.Changes, error) {
	entries, err := os.ReadDir(at.output)
	if err != nil {
		return nil, err
	}
	var found *dsc.Changes
	var newest time.Time
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), changes.Source+"_") ||
			!strings.HasSuffix(e.Name(), "_"+at.fileArch()+".changes") {
			continue
		}
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() || !st.ModTime().After(newest) {
			continue
		}
		path := filepath.Join(at.output, e.Name())
		text, err := regular.ReadFile(path, maxEarlier)
		if err != nil {
			continue // it is gone, or nobody's business
		}
		c, err := dsc.ParseChanges(path, strings.NewReader(string(text)), nil)
		if err == nil && c.Source == changes.Source && c.Distribution == changes.Distribution {
			found, newest = c, st.ModTime()
		}
	}
	return found, nil
}

// setAside has the packages of a .changes, and the log of their build, lie in a directory of this
// process, and the .changes be there.
func (at *attempt) setAside(c *dsc.Changes) error {
	dir, err := at.env.Work.Make("earlier-")
	if err != nil {
		return err
	}
	at.beside.aside = dir
	names := []string{filepath.Base(c.Path)}
	for _, f := range c.Files {
		if isPackage(f.Name) {
			names = append(names, f.Name)
		}
	}
	from := filepath.Dir(c.Path)
	for _, name := range names {
		if err := linkOrCopy(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if logs, err := at.log.Earlier(at.suite.Name); err == nil && len(logs) > 0 {
		name := dsc.PkgVer(c.Source, c.Version) + "_" + at.fileArch() + ".build"
		if err := linkOrCopy(logs[0], filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	c.Path = filepath.Join(dir, names[0])
	return nil
}

// linkOrCopy has a file be at another place, too.
func linkOrCopy(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	return copyFile(to, from)
}
