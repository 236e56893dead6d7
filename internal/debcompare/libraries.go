package debcompare

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"nsbuild/internal/compared"
)

// Bounds of the libraries that are looked into.
const (
	maxLibrary   = 96 << 20 // bytes of one
	maxLibraries = 1000     // of a set
	maxExported  = 2 << 20  // symbols of all of a set
)

// libraryFile is a file of a package that may be a shared library, and what it exports.
type libraryFile struct {
	deb, pkg, path string
	sum            [sha256.Size]byte
	size           int64
	soname         string
	symbols        []string
	err            error
	skip           bool // it is none
}

// libraries adds the files of a package that are called as shared libraries are.
func (c *contents) libraries(name string, all []libraryFile) []libraryFile {
	for _, p := range slices.Sorted(maps.Keys(c.entries)) {
		e := c.entries[p]
		if base := path.Base(p); e.kind == tar.TypeReg && (strings.HasSuffix(base, ".so") ||
			strings.Contains(base, ".so.")) && !strings.HasSuffix(base, ".gz") {
			all = append(all, libraryFile{deb: c.file, pkg: name, path: p, sum: e.sum,
				size: e.size})
		}
	}
	return all
}

// libraries compares the shared libraries that only one of the sets has in that form.
func (c *comparison) libraries(ctx context.Context) error {
	was, err := c.lookInto(ctx, unlike(c.was, c.is))
	if err != nil {
		return err
	}
	is, err := c.lookInto(ctx, unlike(c.is, c.was))
	if err != nil {
		return err
	}
	for _, key := range []func(*libraryFile) string{(*libraryFile).bySoname,
		(*libraryFile).byStem} {
		was, is = c.match(was, is, key)
	}
	for i := range was {
		c.Libraries = append(c.Libraries, compareLibraries(&was[i], nil))
	}
	for i := range is {
		c.Libraries = append(c.Libraries, compareLibraries(nil, &is[i]))
	}
	slices.SortStableFunc(c.Libraries, func(a, b compared.Library) int {
		return strings.Compare(a.WasPath+a.IsPath, b.WasPath+b.IsPath)
	})
	return nil
}

// unlike are those that the others have not with the same bytes.
func unlike(these, others []libraryFile) (all []libraryFile) {
	known := map[[sha256.Size]byte]bool{}
	for _, l := range others {
		known[l.sum] = true
	}
	for _, l := range these {
		if !known[l.sum] {
			all = append(all, l)
		}
	}
	return all
}

// lookInto reads what libraries export. What is none is left out.
func (c *comparison) lookInto(ctx context.Context, all []libraryFile) ([]libraryFile, error) {
	if n := len(all) - maxLibraries; n > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d of the shared libraries", n))
		all = all[:maxLibraries]
	}
	inside := map[string]map[string]*libraryFile{}
	for i := range all {
		l := &all[i]
		if inside[l.deb] == nil {
			inside[l.deb] = map[string]*libraryFile{}
		}
		inside[l.deb][l.path] = l
	}
	left := maxExported
	for _, deb := range slices.Sorted(maps.Keys(inside)) {
		wanted := inside[deb]
		err := visit(ctx, deb, func(h *tar.Header, name string, body io.Reader) error {
			l := wanted[name]
			if l == nil || h.Typeflag != tar.TypeReg || h.Size != l.size {
				return nil
			}
			if h.Size > maxLibrary {
				l.err = fmt.Errorf("it is larger than %d MiB", maxLibrary>>20)
				return nil
			}
			b, err := io.ReadAll(body)
			if err != nil {
				return err
			}
			if !strings.HasPrefix(string(b[:min(4, len(b))]), "\x7fELF") {
				l.skip = true // a linker script, or another kind of file
				return nil
			}
			l.soname, l.symbols, l.err = exported(b)
			if left -= len(l.symbols); left < 0 {
				l.symbols, l.err = nil, fmt.Errorf("there are more than %d of all", maxExported)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(l libraryFile) bool { return l.skip }), nil
}

// dir is where a library lies. /lib is in /usr with newer packages.
func (l *libraryFile) dir() string { return strings.TrimPrefix(path.Dir(l.path), "/usr") }

// bySoname is what makes a library the same one for programs; without a SONAME it is its path.
func (l *libraryFile) bySoname() string {
	if l.soname == "" {
		return strings.TrimPrefix(l.path, "/usr")
	}
	return l.dir() + "/" + l.soname
}

// byStem is its name without a version.
func (l *libraryFile) byStem() string {
	stem, _, _ := strings.Cut(path.Base(l.path), ".so")
	return l.dir() + "/" + strings.TrimRight(stem, "0123456789.-")
}

// match compares those that one of either side has a key for. What is left has none.
func (c *comparison) match(was, is []libraryFile, key func(*libraryFile) string) (
	left, right []libraryFile) {
	count, at := map[string]int{}, map[string]*libraryFile{}
	for i := range is {
		count[key(&is[i])]++
		at[key(&is[i])] = &is[i]
	}
	twice := map[string]int{}
	for i := range was {
		twice[key(&was[i])]++
	}
	done := map[*libraryFile]bool{}
	for i := range was {
		k := key(&was[i])
		if other := at[k]; other != nil && count[k] == 1 && twice[k] == 1 {
			c.Libraries = append(c.Libraries, compareLibraries(&was[i], other))
			done[other] = true
			continue
		}
		left = append(left, was[i])
	}
	for i := range is {
		if !done[&is[i]] {
			right = append(right, is[i])
		}
	}
	return left, right
}

// compareLibraries compares two libraries, one of which there need not be.
func compareLibraries(was, is *libraryFile) compared.Library {
	var l compared.Library
	var err error
	if was != nil {
		l.WasPackage, l.WasPath, l.WasSoname, err = was.pkg, was.path, was.soname, was.err
	}
	if is != nil {
		l.IsPackage, l.IsPath, l.IsSoname = is.pkg, is.path, is.soname
		if err == nil {
			err = is.err
		}
	}
	switch {
	case err != nil:
		l.Note = "its symbols are not known: " + err.Error()
	case was != nil && is != nil:
		gained, lost := onlyNew(was.symbols, is.symbols)
		l.Gained, l.GainedMore = compared.Bound(gained)
		l.Lost, l.LostMore = compared.Bound(lost)
	}
	return l
}
