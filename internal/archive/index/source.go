package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pault.ag/go/debian/version"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb822"
	"nsbuild/internal/nearest"
)

// SourcePackage is a source package as a Sources index describes it.
type SourcePackage struct {
	Package, Version, Architecture, Binary string
	Directory                              string // relative to the archive's URI
	Files                                  []SourceFile
	Component                              string // in whose index it was found
	Repo                                   *aptconf.Repo
}

// SourceFile is one of a source package's files, the .dsc among them.
type SourceFile struct {
	Name   string
	Size   int64
	Hashes hashes.Set
}

// URL is where one of the files is.
func (s *SourcePackage) URL(file string) string {
	return s.Repo.URI + "/" + escapePath(strings.TrimPrefix(s.Directory+"/"+file, "./"))
}

// DSC is the package's .dsc.
func (s *SourcePackage) DSC() (SourceFile, bool) {
	for _, f := range s.Files {
		if strings.HasSuffix(f.Name, ".dsc") {
			return f, true
		}
	}
	return SourceFile{}, false
}

// Sources reads the index of source packages of a component, one at a time; each SourcePackage may
// be kept. An error of fn ends the reading and is returned as it is.
func (x *Indices) Sources(ctx context.Context, r *release.File, component string,
	fn func(*SourcePackage) error) error {
	repo := r.Repo()
	return x.sources(ctx, r, component, func(s *deb822.Scanner) error {
		src, err := parseSource(s)
		if err != nil {
			return failure.WithHint(fmt.Errorf("%s: Sources: %w", repo, err))
		}
		src.Repo, src.Component = &repo, component
		return fn(src)
	})
}

func (x *Indices) sources(ctx context.Context, r *release.File, component string,
	fn func(*deb822.Scanner) error) error {
	path, label, err := x.sourcesFile(ctx, r, component)
	if err != nil {
		return err
	}
	return eachParagraph(ctx, path, label, nil, fn)
}

// sourcesFile is the index of source packages of a component in the cache, and what people call it.
func (x *Indices) sourcesFile(ctx context.Context, r *release.File, component string) (path,
	label string, err error) {
	name := component + "/source/Sources"
	if r.Repo().Flat() {
		name = "Sources"
	}
	path, err = x.Index(ctx, r, name)
	return path, r.Repo().String() + ": " + name, err
}

// parseSource makes a SourcePackage of the current paragraph.
func parseSource(s *deb822.Scanner) (*SourcePackage, error) {
	src := &SourcePackage{}
	files := map[string]*SourceFile{}
	var order []string
	seen := map[*string]bool{}
	for _, f := range s.Paragraph {
		into := sourceField(src, string(f.Name))
		switch string(f.Name) {
		case "Files", "Checksums-Sha1", "Checksums-Sha256", "Checksums-Sha512":
			section := string(f.Name)
			if section == "Files" {
				section = "md5sum"
			}
			if err := addSourceFiles(files, &order, section, f.Value); err != nil {
				return nil, fmt.Errorf("paragraph %d: %w", s.Count(), err)
			}
		}
		if into == nil {
			continue
		}
		if seen[into] {
			return nil, failure.Syntax("paragraph %d: two fields %s", s.Count(), f.Name)
		}
		seen[into] = true
		*into = string(bytes.ReplaceAll(f.Value, []byte("\n"), nil))
	}
	if !goodWord(src.Package) || !goodWord(src.Version) {
		return nil, failure.Syntax("paragraph %d: Package %q, Version %q", s.Count(), src.Package,
			src.Version)
	}
	if src.Directory != "" && src.Directory != "." &&
		!release.LocalName(strings.TrimPrefix(src.Directory, "./")) {
		return nil, failure.Syntax("paragraph %d: source %s: Directory %q", s.Count(), src.Package,
			src.Directory)
	}
	for _, name := range order {
		src.Files = append(src.Files, *files[name])
	}
	return src, nil
}

// sourceField is where a field of text belongs; nil: it is another.
func sourceField(src *SourcePackage, name string) *string {
	switch name {
	case "Package":
		return &src.Package
	case "Version":
		return &src.Version
	case "Architecture":
		return &src.Architecture
	case "Binary":
		return &src.Binary
	case "Directory":
		return &src.Directory
	}
	return nil
}

func addSourceFiles(files map[string]*SourceFile, order *[]string, section string,
	value []byte) error {
	for len(value) > 0 {
		var line []byte
		line, value = deb822.CutLine(value)
		words := bytes.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return failure.Syntax("%q is not a digest, a size and a name", deb822.Clip(line))
		}
		size, err := strconv.ParseInt(string(words[1]), 10, 64)
		name := string(words[2])
		if err != nil || size < 0 || !release.LocalName(name) || strings.Contains(name, "/") {
			return failure.Syntax("%q: bad size or name", deb822.Clip(line))
		}
		f, ok := files[name]
		if !ok {
			f = &SourceFile{Name: name, Size: size}
			files[name] = f
			*order = append(*order, name)
		}
		if f.Size != size {
			return failure.Syntax("two sizes for %s", name)
		}
		if !f.Hashes.Add(section, string(words[0])) {
			return failure.Syntax("%q: bad digest", deb822.Clip(line))
		}
	}
	return nil
}

// FindSource finds a source package by its name, in its newest version among the given suites, or
// by name and version ("hello=2.10-3"), in their components.
func (x *Indices) FindSource(ctx context.Context, releases []*release.File, spec string) (
	*SourcePackage, error) {
	name, wanted, exact := strings.Cut(spec, "=")
	if !goodWord(name) || exact && !goodWord(wanted) {
		return nil, failure.New("give NAME or NAME=VERSION", "source package %q: %w", spec,
			failure.ErrNoPackage)
	}
	var found []*SourcePackage
	var lists []*sourceList
	for _, r := range releases {
		repo := r.Repo()
		for _, component := range repo.IndexComponents() {
			l, err := x.sourceList(ctx, r, component)
			if errors.Is(err, failure.ErrNoIndex) { // a component without sources
				continue
			}
			if err != nil {
				return nil, err
			}
			these, err := l.find(name, &repo, component)
			if err != nil {
				return nil, err
			}
			lists, found = append(lists, l), append(found, these...)
		}
	}
	return pickSource(found, releases, name, wanted, lists)
}

func pickSource(found []*SourcePackage, releases []*release.File, name, wanted string,
	lists []*sourceList) (*SourcePackage, error) {
	var suites []string
	for _, r := range releases {
		suites = append(suites, r.Repo().Suite)
	}
	where := strings.Join(suites, ", ")
	if len(found) == 0 {
		var names []string
		for _, l := range lists {
			names = append(names, l.names...)
		}
		hint := "it must be the name of a source package, which may differ from that of its " +
			"binary packages"
		if like := nearest.Names(name, names, 3); len(like) > 0 {
			hint = "did you mean " + strings.Join(like, " or ") + "?"
		}
		return nil, failure.New(hint, "source package %s in %s: %w", name, where,
			failure.ErrNoPackage)
	}
	var versions []string
	var best *SourcePackage
	var bestVersion version.Version
	for _, s := range found {
		if !slices.Contains(versions, s.Version) {
			versions = append(versions, s.Version)
		}
		v, err := version.Parse(s.Version)
		if err != nil {
			return nil, failure.Syntax("source %s: version %q: %v", name, s.Version, err)
		}
		if wanted != "" && s.Version != wanted {
			continue
		}
		if best == nil || version.Compare(v, bestVersion) > 0 {
			best, bestVersion = s, v
		}
	}
	if best == nil {
		return nil, failure.New("there is "+strings.Join(versions, ", "),
			"source package %s=%s in %s: %w", name, wanted, where, failure.ErrNoVersion)
	}
	return best, nil
}
