package pkgbuild

import (
	"context"
	"slices"
	"strings"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/dsc"
)

// SourceOffer is a source of a suite.
type SourceOffer = index.SourceOffer

// Known is what the lists of a suite say of sources that are to be built, without fetching any.
type Known struct {
	suite    *Suite
	offers   map[string]*SourceOffer
	provides map[string][]string // the names that a binary package provides
}

// Offers are the suite's sources by their names.
func (s *Suite) Offers() map[string]*SourceOffer {
	offers := make(map[string]*SourceOffer, len(s.Sources))
	for _, o := range s.Sources {
		offers[o.Package] = o
	}
	return offers
}

// Builds tells whether a source has something for a build.
func (s *Suite) Builds(o *SourceOffer) bool {
	source := dsc.Source{Architecture: strings.Fields(o.Architecture)}
	return s.Context.ArchAll && source.HasArch("all") ||
		s.Context.ArchAny && source.HasArch(s.Context.HostArch)
}

// Known reads the lists for sources of these names.
func (s *Suite) Known(ctx context.Context, names []string) (*Known, error) {
	k := &Known{s, s.Offers(), map[string][]string{}}
	built := map[string]bool{}
	for _, name := range names {
		if o := k.offers[name]; o != nil {
			for _, binary := range o.Binaries() {
				built[binary] = true
			}
		}
	}
	err := s.Binaries(ctx, func(p *index.Package) error {
		if p.Provides != "" && built[p.Package] {
			k.provide(p)
		}
		return nil
	})
	return k, err
}

// provide notes what a package provides. What cannot be read apt does not take either.
func (k *Known) provide(p *index.Package) {
	relations, _ := dsc.ParseRelations(p.Provides)
	for _, alternatives := range relations {
		for _, r := range alternatives {
			if !slices.Contains(k.provides[p.Package], r.Name) {
				k.provides[p.Package] = append(k.provides[p.Package], r.Name)
			}
		}
	}
}

// Look is what Env.Look says of a source, from the lists; nil where these do not do.
func (k *Known) Look(name string, r *Request) *Looked {
	o := k.offers[name]
	if o == nil || r.ownVersion() {
		return nil
	}
	c := k.suite.Context
	c.Profiles = r.Profiles
	version, err := dsc.ParseVersion(o.Version)
	if err != nil {
		return nil
	}
	var b dsc.BuildRelations
	for _, field := range []struct {
		text string
		into *dsc.Relations
	}{{o.BuildDepends, &b.Depends}, {o.BuildDependsArch, &b.DependsArch},
		{o.BuildDependsIndep, &b.DependsIndep}} {
		if *field.into, err = dsc.ParseRelations(field.text); err != nil {
			return nil
		}
	}
	out := &Looked{Name: o.Package, Version: version, Depends: b.Reduce(c).Depends}
	for _, binary := range builtBy(o, c) {
		out.Binaries = append(append(out.Binaries, binary), k.provides[binary]...)
	}
	return out
}

// builtBy are the packages that a build makes, as a Package-List tells (deb-src-control(5)): after
// name, type, section and priority come arch= and profile=, and then the next name. Of an old
// source, which has no such list, all count.
func builtBy(o *SourceOffer, c dsc.Context) (names []string) {
	all := strings.Fields(o.PackageList)
	if len(all) == 0 {
		return o.Binaries()
	}
	for i := 0; i+3 < len(all); {
		name, holds := all[i], true
		for i += 4; i < len(all) && strings.Contains(all[i], "="); i++ {
			key, value, _ := strings.Cut(all[i], "=")
			switch key {
			case "arch":
				archs := strings.Split(value, ",")
				if slices.Contains(archs, "all") {
					holds = holds && c.ArchAll
				} else {
					holds = holds && c.ArchAny && dsc.ArchHolds(archs, c.HostArch)
				}
			case "profile":
				holds = holds && dsc.ProfilesHold(formula(value), c.Profiles)
			}
		}
		if holds {
			names = append(names, name)
		}
	}
	return names
}

// formula reads a Package-List's profile=: lists with commas between them, of terms with plus signs
// between these.
func formula(text string) (lists [][]string) {
	for list := range strings.SplitSeq(text, ",") {
		lists = append(lists, strings.Split(list, "+"))
	}
	return lists
}
