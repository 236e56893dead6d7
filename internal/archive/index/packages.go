package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb822"
)

// Package is a binary package as an index describes it.
type Package struct {
	Package, Version, Architecture, MultiArch string
	Priority, Section, Source                 string
	Relations
	Essential, Protected, Important bool
	InstalledSize                   int64 // KiB
	Filename                        string
	Size                            int64 // bytes
	Hashes                          hashes.Set
	Repo                            *aptconf.Repo
	// whether a lock file says all this, and no index
	Locked bool
	Also   []*aptconf.Repo // where its file may be if Repo lacks it
}

// Relations are what a package says of others: the index's text on one line, not parsed.
type Relations struct {
	PreDepends, Depends, Recommends       string
	Provides, Conflicts, Breaks, Replaces string
}

// URL is where the package's file is.
func (p *Package) URL() string { return p.URLIn(p.Repo) }

// URLIn is where its file is in another repository.
func (p *Package) URLIn(r *aptconf.Repo) string { return r.URI + "/" + escapePath(p.Filename) }

func (p *Package) String() string { return p.Package + "_" + p.Version + "_" + p.Architecture }

// Packages reads the index of binary packages of a component and an architecture, one package at a
// time; those of Architecture: all are among them. A component of "" is that of a flat repository.
// Each Package is fresh and may be kept; an error of fn ends the reading and is returned as it is.
func (x *Indices) Packages(ctx context.Context, r *release.File, component, arch string,
	fn func(*Package) error) error {
	return x.packages(ctx, r, component, arch, nil, fn)
}

// PackagesCalled is Packages for the packages of some names alone; of the others no more is read
// than their names.
func (x *Indices) PackagesCalled(ctx context.Context, r *release.File, component, arch string,
	called map[string]bool, fn func(*Package) error) error {
	return x.packages(ctx, r, component, arch, func(raw []byte) bool {
		name, ok := bytes.CutPrefix(raw, []byte("Package: "))
		name, _ = deb822.CutLine(name)
		return !ok || called[string(name)] // the field need not come first
	}, fn)
}

func (x *Indices) packages(ctx context.Context, r *release.File, component, arch string,
	want func(raw []byte) bool, fn func(*Package) error) error {
	return x.EachList(ctx, r, component, arch, func(l *List) error {
		return eachParagraph(ctx, l.Path, l.Label, want, func(s *deb822.Scanner) error {
			p, err := l.Parse(s)
			if err != nil || !l.takes(p.Architecture) {
				return err
			}
			return fn(p)
		})
	})
}

// List is a Packages file in the cache.
type List struct {
	Path  string
	Label string // for errors
	Repo  aptconf.Repo
	Arch  string // of the packages that are wanted
}

// takes tells whether packages of an architecture are wanted: a flat repository has all in one
// list.
func (l *List) takes(arch string) bool { return !l.Repo.Flat() || arch == l.Arch || arch == "all" }

// Parse makes a Package of the current paragraph of the list.
func (l *List) Parse(s *deb822.Scanner) (*Package, error) {
	p, err := ParsePackage(s)
	if err != nil {
		return nil, failure.WithHint(fmt.Errorf("%s: %w", l.Label, err))
	}
	p.Repo = &l.Repo
	return p, nil
}

// EachList has the lists of a component and an architecture in the cache and calls fn for each.
func (x *Indices) EachList(ctx context.Context, r *release.File, component, arch string,
	fn func(*List) error) error {
	repo := r.Repo()
	for i, name := range packagesNames(repo, r.State(), []string{component}, []string{arch}) {
		path, err := x.Index(ctx, r, name)
		if i > 0 && errors.Is(err, failure.ErrNoIndex) { // no binary-all
			continue
		}
		if err == nil {
			err = fn(&List{Path: path, Label: repo.String() + ": " + name, Repo: repo,
				Arch: arch})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// packagesNames lists the Packages files of components and architectures.
func packagesNames(repo aptconf.Repo, st *release.State, components, archs []string) []string {
	if repo.Flat() {
		return []string{"Packages"}
	}
	if st.SeparateAll() && !slices.Contains(archs, "all") {
		archs = append(slices.Clone(archs), "all")
	}
	var out []string
	for _, comp := range components {
		for _, arch := range archs {
			out = append(out, comp+"/binary-"+arch+"/Packages")
		}
	}
	return out
}

// eachParagraph calls fn for each paragraph of a file that is wanted; label is what errors call it.
func eachParagraph(ctx context.Context, path, label string, want func(raw []byte) bool,
	fn func(*deb822.Scanner) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	s := Scan(f)
	s.Want = want
	for s.Next() {
		if s.Count()%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	if s.Err() != nil {
		return failure.WithHint(fmt.Errorf("%s: %w", label, failure.Malformed(s.Err())))
	}
	return nil
}

// ParsePackage makes a Package of the current paragraph. All its text goes into one string of its
// own, so that a package that is kept holds on to nothing else.
func ParsePackage(s *deb822.Scanner) (*Package, error) {
	p := &Package{Size: -1}
	var text textFields
	for _, f := range s.Paragraph {
		into, other := packageField(p, string(f.Name))
		switch {
		case into != nil:
			if !text.add(into, f.Value) {
				return nil, failure.Syntax("paragraph %d: two fields %s", s.Count(), f.Name)
			}
		case other:
			if err := otherField(p, string(f.Name), string(f.Value)); err != nil {
				return nil, fmt.Errorf("paragraph %d: %w", s.Count(), err)
			}
		}
	}
	text.settle()
	switch {
	case !goodWord(p.Package), !goodWord(p.Version), !goodWord(p.Architecture),
		strings.Contains(p.Package, ":"):
		return nil, failure.Syntax("paragraph %d: Package %q, Version %q, Architecture %q",
			s.Count(), p.Package, p.Version, p.Architecture)
	case !release.LocalName(strings.TrimPrefix(p.Filename, "./")):
		return nil, failure.Syntax("paragraph %d: package %s: Filename %q", s.Count(), p.Package,
			p.Filename)
	case !p.Hashes.WellFormed():
		return nil, failure.Syntax("paragraph %d: package %s: bad digest", s.Count(), p.Package)
	case p.Size < 0:
		return nil, failure.Syntax("paragraph %d: package %s has no Size", s.Count(), p.Package)
	}
	p.Filename = strings.TrimPrefix(p.Filename, "./")
	return p, nil
}

// packageField says where a field's text goes; other is true for the fields that are not text.
func packageField(p *Package, name string) (into *string, other bool) {
	switch name {
	case "Package":
		return &p.Package, false
	case "Version":
		return &p.Version, false
	case "Architecture":
		return &p.Architecture, false
	case "Multi-Arch":
		return &p.MultiArch, false
	case "Priority":
		return &p.Priority, false
	case "Section":
		return &p.Section, false
	case "Source":
		return &p.Source, false
	case "Pre-Depends":
		return &p.PreDepends, false
	case "Depends":
		return &p.Depends, false
	case "Recommends":
		return &p.Recommends, false
	case "Provides":
		return &p.Provides, false
	case "Conflicts":
		return &p.Conflicts, false
	case "Breaks":
		return &p.Breaks, false
	case "Replaces":
		return &p.Replaces, false
	case "Filename":
		return &p.Filename, false
	case "MD5sum":
		return &p.Hashes.MD5, false
	case "SHA1":
		return &p.Hashes.SHA1, false
	case "SHA256":
		return &p.Hashes.SHA256, false
	case "SHA512":
		return &p.Hashes.SHA512, false
	case "Size", "Installed-Size", "Essential", "Important", "Protected":
		return nil, true
	}
	return nil, false
}

func otherField(p *Package, name, value string) error {
	switch name {
	case "Size":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || p.Size >= 0 {
			return failure.Syntax("Size %q", value)
		}
		p.Size = n
	case "Installed-Size":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return failure.Syntax("Installed-Size %q", value)
		}
		p.InstalledSize = n
	case "Essential":
		p.Essential = value == "yes"
	case "Important":
		p.Important = value == "yes"
	case "Protected":
		p.Protected = value == "yes"
	}
	return nil
}

// goodWord reports whether a name, version or architecture is made of the characters that Policy
// 5.6 allows in any of them, so that it may stand in file names and logs.
func goodWord(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '.' {
		return false
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("+-.~:_", c) >= 0) {
			return false
		}
	}
	return true
}

// textFields gathers the text of several fields into one string.
type textFields struct {
	buf  []byte
	refs []textRef
	few  [24]textRef
}

type textRef struct {
	into       *string
	start, end int
}

// add notes a field's text, with continuation lines joined; false if it is there already.
func (t *textFields) add(into *string, value []byte) bool {
	if t.refs == nil {
		t.refs = t.few[:0]
		t.buf = make([]byte, 0, 1024)
	}
	for _, r := range t.refs {
		if r.into == into {
			return false
		}
	}
	start := len(t.buf)
	for _, c := range value {
		if c != '\n' {
			t.buf = append(t.buf, c)
		}
	}
	t.refs = append(t.refs, textRef{into, start, len(t.buf)})
	return true
}

// reset forgets the fields of the paragraph before.
func (t *textFields) reset() { t.buf, t.refs = t.buf[:0], t.refs[:0] }

// settle hands out the strings.
func (t *textFields) settle() {
	all := string(t.buf)
	for _, r := range t.refs {
		*r.into = all[r.start:r.end]
	}
}

// escapePath quotes what may not stand in a URL's path as it is. The tilde and the plus sign, which
// Debian's file names are full of, may.
func escapePath(name string) string {
	return strings.ReplaceAll((&url.URL{Path: "/" + name}).EscapedPath()[1:], "%2B", "+")
}
