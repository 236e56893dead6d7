package pkgbuild

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/buildlog"
)

// ownersPatience is how long a failed build looks for the package that has what is missing: the
// lists may have to be fetched first.
const ownersPatience = 30 * time.Second

// mostOwners is how many packages are named.
const mostOwners = 3

// nameOwners adds to the first cause which packages have what is missing. That it is not known, as
// there is no network or nobody has it, is no further failure.
func (at *attempt) nameOwners(ctx context.Context, causes []buildlog.Cause) {
	if len(causes) == 0 || causes[0].Missing == "" || causes[0].Name == "" {
		return
	}
	c := &causes[0]
	if c.Missing == buildlog.MissingMacro {
		c.HasIt(macroOwner(c.Name))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownersPatience)
	defer cancel()
	ph := at.env.Progress.Phase("look up packages")
	found, err := owners(ctx, at.releases, at.archs(), newFinder(c.Missing, c.Name),
		at.env.Client.Owners)
	ph.Done(nil)
	if err != nil {
		at.env.Log.Debugf("which package has %s is not known: %v", c.Name, err)
		at.log.Info("Which package has the %s %s is not known: %v", c.Missing, c.Name, err)
	}
	c.HasIt(found...)
}

// macroOwner is the package that has a macro of Autoconf's, which the lists do not name.
func macroOwner(name string) string {
	for _, m := range []struct{ begins, owner string }{
		{"PKG_", "pkg-config"}, {"AM_GNU_GETTEXT", "gettext"}, {"AM_ICONV", "gettext"},
		{"AC_LIB_", "gettext"}, {"IT_PROG_INTLTOOL", "intltool"}, {"LT_", "libtool"},
		{"AC_PROG_LIBTOOL", "libtool"}, {"AX_", "autoconf-archive"}, {"GTK_DOC", "gtk-doc-tools"},
		{"GLIB_GSETTINGS", "libglib2.0-dev"}, {"GOBJECT_INTROSPECTION", "gobject-introspection"},
	} {
		if strings.HasPrefix(name, m.begins) {
			return m.owner
		}
	}
	return ""
}

// eachOwner is index.Indices.Owners.
type eachOwner func(ctx context.Context, r *release.File, component, arch string,
	match func(path []byte) bool, fn func(index.Owner) error) error

// owners are the packages that have what a finder looks for, the most likely first.
func owners(ctx context.Context, releases []*release.File, archs []string, f *finder,
	each eachOwner) ([]string, error) {
	var failed error
	// The lists of packages for all architectures are by far the larger ones.
	for _, arch := range append(slices.Clone(archs), "all") {
		for _, r := range releases {
			for _, component := range r.Repo().Components {
				err := each(ctx, r, component, arch, f.match, f.take)
				if !errors.Is(err, failure.ErrNoIndex) {
					failed = cmp.Or(failed, err)
				}
			}
		}
		if len(f.found) > 0 {
			return f.best(), nil
		}
	}
	return nil, failed
}

// finder looks for a file by its path.
type finder struct {
	base  []byte // a part of its name, to be quick
	rank  func(path string) int
	found []candidate
}

type candidate struct {
	name string
	rank int
}

func (f *finder) match(path []byte) bool {
	return bytes.Contains(path, f.base) && f.rank(string(path)) > 0
}

// mostCandidates bounds how many are looked at.
const mostCandidates = 10000

func (f *finder) take(o index.Owner) error {
	if len(f.found) >= mostCandidates {
		return nil
	}
	rank := f.rank(o.Path)
	for _, p := range o.Packages {
		f.found = append(f.found, candidate{p, rank})
	}
	return nil
}

// best are the packages of the highest rank.
func (f *finder) best() (names []string) {
	slices.SortFunc(f.found, func(a, b candidate) int {
		return cmp.Or(b.rank-a.rank, strings.Compare(a.name, b.name))
	})
	for _, c := range f.found {
		if c.rank == f.found[0].rank && !slices.Contains(names, c.name) && len(names) < mostOwners {
			names = append(names, c.name)
		}
	}
	return names
}

// newFinder looks for what is missing.
func newFinder(kind buildlog.Missing, name string) *finder {
	f := &finder{base: []byte(path.Base(name))}
	oneOf := func(names ...string) func(string) int {
		return func(p string) int {
			for i, n := range names {
				if strings.HasSuffix(p, n) {
					return len(names) - i
				}
			}
			return 0
		}
	}
	lower := strings.ToLower(name)
	switch kind {
	case buildlog.MissingHeader:
		f.rank = headerRank(name)
	case buildlog.MissingPkgConfig:
		f.rank = oneOf("/pkgconfig/" + name + ".pc")
	case buildlog.MissingCMake:
		f.base = []byte("/")
		f.rank = oneOf("/"+name+"Config.cmake", "/"+lower+"-config.cmake", "/pkgconfig/"+lower+".pc")
	case buildlog.MissingPython:
		module := "usr/lib/python3/dist-packages/" + strings.ReplaceAll(name, ".", "/")
		f.base = []byte(path.Base(module))
		f.rank = func(p string) int {
			rest, ok := strings.CutPrefix(p, module)
			if ok && (rest == "/__init__.py" || rest == ".py" ||
				strings.HasPrefix(rest, ".cpython-") && strings.HasSuffix(rest, ".so")) {
				return 1
			}
			return 0
		}
	case buildlog.MissingPerl:
		f.rank = func(p string) int {
			if strings.HasPrefix(p, "usr/") && strings.Contains(p, "/perl") &&
				strings.HasSuffix(p, "/"+name) {
				return max(1, 100-strings.Count(p, "/"))
			}
			return 0
		}
	case buildlog.MissingCommand:
		f.rank = func(p string) int {
			dir, base := path.Split(p)
			if base == path.Base(name) && slices.Contains([]string{"usr/bin/", "bin/", "usr/sbin/",
				"sbin/", "usr/games/"}, dir) {
				return 1
			}
			return 0
		}
	case buildlog.MissingLibrary:
		f.rank = oneOf("/lib"+name+".so", "/lib"+name+".a")
	case buildlog.MissingDebhelper:
		f.base = []byte("Debhelper/Sequence/")
		f.rank = oneOf("Debhelper/Sequence/" + strings.ReplaceAll(name, "-", "_") + ".pm")
	default:
		f.rank = func(string) int { return 0 }
	}
	return f
}

// headerRank prefers what lies nearest to where compilers look.
func headerRank(name string) func(path string) int {
	return func(p string) int {
		rest, ok := strings.CutPrefix(p, "usr/include/")
		if !ok || !strings.HasSuffix("/"+rest, "/"+name) {
			return 0
		}
		above := strings.TrimSuffix(rest, name)
		if strings.Contains(above, "-linux-gnu") && strings.Count(above, "/") == 1 {
			above = "" // that of an architecture
		}
		return max(1, 100-strings.Count(above, "/"))
	}
}
