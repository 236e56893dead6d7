package index

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"pault.ag/go/debian/version"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb822"
)

// SourceOffer is what choosing among source packages needs to know of one. A suite has some 30,000,
// so nothing else is kept, nor even looked at. The text of its fields is on one line.
type SourceOffer struct {
	Package, Version, Architecture, Section           string
	Binary                                            string // names, with commas between them
	PackageList                                       string // its lines, with blanks between them
	BuildDepends, BuildDependsArch, BuildDependsIndep string
	Testsuite, TestsuiteTriggers                      string
	Component                                         string // in whose index it was found
	Repo                                              *aptconf.Repo
}

// SourceOffers reads the index of source packages of a component in one pass, for whoever wants to
// choose among them. Those that a suite has only for others' sake (Extra-Source-Only) are left out.
func (x *Indices) SourceOffers(ctx context.Context, r *release.File, component string,
	fn func(*SourceOffer) error) error {
	repo := r.Repo()
	name := component + "/source/Sources"
	if repo.Flat() {
		name = "Sources"
	}
	path, err := x.Index(ctx, r, name)
	if err != nil {
		return err
	}
	var text textFields
	return eachRaw(ctx, path, repo.String()+": "+name, func(raw []byte, _ int64) error {
		o, extra := readSourceOffer(raw, &text)
		if extra || !goodWord(o.Package) || !goodWord(o.Version) {
			return nil // it is nothing that can be chosen
		}
		o.Repo, o.Component = &repo, component
		return fn(o)
	})
}

// readSourceOffer takes the fields that count out of a paragraph, by way of text.
func readSourceOffer(raw []byte, text *textFields) (o *SourceOffer, extra bool) {
	o = &SourceOffer{}
	var only string
	text.reset()
	for len(raw) > 0 {
		var line []byte
		line, raw = deb822.CutLine(raw)
		if len(line) == 0 || strings.IndexByte("ABEPSTV", line[0]) < 0 {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		into := o.field(string(name), &only)
		if into == nil {
			continue
		}
		value, raw = unfolded(value, raw)
		text.add(into, bytes.TrimSpace(value)) // of two, the first
	}
	text.settle()
	return o, only == "yes"
}

// field says where a field's text goes; nil: nowhere.
func (o *SourceOffer) field(name string, only *string) *string {
	switch name {
	case "Package":
		return &o.Package
	case "Version":
		return &o.Version
	case "Architecture":
		return &o.Architecture
	case "Section":
		return &o.Section
	case "Binary":
		return &o.Binary
	case "Package-List":
		return &o.PackageList
	case "Build-Depends":
		return &o.BuildDepends
	case "Build-Depends-Arch":
		return &o.BuildDependsArch
	case "Build-Depends-Indep":
		return &o.BuildDependsIndep
	case "Testsuite":
		return &o.Testsuite
	case "Testsuite-Triggers":
		return &o.TestsuiteTriggers
	case "Extra-Source-Only":
		return only
	}
	return nil
}

// Binaries are the names of its binary packages.
func (o *SourceOffer) Binaries() []string {
	return strings.FieldsFunc(o.Binary, func(r rune) bool { return r == ',' || r == ' ' })
}

// NewestSources are the sources of suites, each in its newest version, in the order of their names:
// what asking for each by its name would find.
func (x *Indices) NewestSources(ctx context.Context, releases []*release.File) ([]*SourceOffer,
	error) {
	newest := map[string]*SourceOffer{}
	for _, r := range releases {
		for _, component := range r.Repo().IndexComponents() {
			err := x.SourceOffers(ctx, r, component, func(o *SourceOffer) error {
				have := newest[o.Package]
				later := have == nil
				if !later && o.Version != have.Version {
					v, err := version.Parse(o.Version)
					w, err2 := version.Parse(have.Version)
					later = err == nil && (err2 != nil || version.Compare(v, w) > 0)
				}
				if later {
					newest[o.Package] = o
				}
				return nil
			})
			if err != nil && !errors.Is(err, failure.ErrNoIndex) { // a component without sources
				return nil, err
			}
		}
	}
	all := make([]*SourceOffer, 0, len(newest))
	for _, o := range newest {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *SourceOffer) int {
		return strings.Compare(a.Package, b.Package)
	})
	return all, nil
}
