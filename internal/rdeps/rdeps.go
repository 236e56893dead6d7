// Package rdeps finds the sources that a change of packages can do something to: those that are
// built, or tested, with one of them. It keeps what is known of how sources are built without a
// change.
//
// What a suite has is told to it. Nothing is fetched or built here.
package rdeps

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/dsc"
)

// Search is what is looked for.
type Search struct {
	Changed []*index.Package // the packages that are changed
	Own     []string         // the sources that these are of: they are no reverse dependencies
	Context dsc.Context      // of the builds
	// FirstOnly tells whether the first alternative of a build dependency is the only one.
	FirstOnly bool
	// Depth is how far it may be to a changed package: 1 is a build dependency itself, 2 also one
	// that depends on it.
	Depth int
	// Tests adds sources whose tests (autopkgtest) are run with one of the packages.
	Tests   bool
	Match   []string // patterns of which a source's name fits one; none: every name does
	Exclude []string // patterns of which it fits none
	Limit   int      // 0: none
	// Binaries calls a function for each package of the suite; it is asked where Depth or Tests
	// want it.
	Binaries func(func(*index.Package) error) error
}

// Found is a source that the change can do something to.
type Found struct {
	Name    string   `json:"source"`
	Version string   `json:"version"`
	Via     []string `json:"via"`             // binary packages by which it comes to the change
	Depth   int      `json:"depth"`           // as Search.Depth; 0: by its tests alone
	Tests   bool     `json:"tests,omitempty"` // its tests are run with one of the packages
}

// binary is a package that is changed, or that depends on one which is.
type binary struct {
	name     string
	version  dsc.Version
	provides dsc.Relations
}

// level has the packages of one distance.
type level struct {
	depth int
	by    map[string][]*binary // by their names, and those that they provide
}

func newLevel(depth int) *level { return &level{depth, map[string][]*binary{}} }

func (l *level) add(b *binary) {
	names := []string{b.name}
	for _, alternatives := range b.provides {
		for _, p := range alternatives {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		l.by[n] = append(l.by[n], b)
	}
}

// mentions tells, quickly, whether a relation field can name one of them.
func (l *level) mentions(field string) bool {
	for field != "" {
		end := strings.IndexFunc(field, func(r rune) bool { return !inName(r) })
		if end < 0 {
			end = len(field)
		}
		if _, ok := l.by[field[:end]]; ok {
			return true
		}
		field = strings.TrimLeftFunc(field[end:], func(r rune) bool { return !inName(r) })
	}
	return false
}

func inName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '+' || r == '.'
}

// meet are the packages of the level that meet one of some relations.
func (l *level) meet(relations dsc.Relations) (all []*binary) {
	for _, alternatives := range relations {
		for _, r := range alternatives {
			for _, b := range l.by[r.Name] {
				if r.MetBy(b.name, b.version, b.provides) && !slices.Contains(all, b) {
					all = append(all, b)
				}
			}
		}
	}
	return all
}

// Sources are those of a suite to which the change can do something, in the order of their names.
func (s *Search) Sources(suite []*index.SourceOffer) ([]*Found, error) {
	for _, pattern := range slices.Concat(s.Match, s.Exclude) {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%q is no pattern: %w", pattern, err)
		}
	}
	levels, tested, err := s.levels()
	if err != nil {
		return nil, err
	}
	var all []*Found
	for _, o := range suite {
		if slices.Contains(s.Own, o.Package) || !s.matches(o.Package) || !s.builds(o) {
			continue
		}
		if f := s.look(o, levels, tested); f != nil {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *Found) int { return cmp.Compare(a.Name, b.Name) })
	if s.Limit > 0 {
		all = all[:min(len(all), s.Limit)]
	}
	return all, nil
}

func (s *Search) matches(name string) bool {
	fits := func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
	return (len(s.Match) == 0 || slices.ContainsFunc(s.Match, fits)) &&
		!slices.ContainsFunc(s.Exclude, fits)
}

// builds tells whether a source has something for the architecture.
func (s *Search) builds(o *index.SourceOffer) bool {
	source := dsc.Source{Architecture: strings.Fields(o.Architecture)}
	return s.Context.ArchAll && source.HasArch("all") ||
		s.Context.ArchAny && source.HasArch(s.Context.HostArch)
}

// look looks at one source; nil: the change does nothing to it.
func (s *Search) look(o *index.SourceOffer, levels []*level, tested map[string][]string) *Found {
	f := &Found{Name: o.Package, Version: o.Version}
	depends := s.depends(o, levels)
	for _, l := range levels {
		met := l.meet(depends)
		if len(met) > 0 && f.Depth == 0 {
			f.Depth = l.depth
		}
		for _, b := range met {
			f.Via = append(f.Via, b.name)
		}
	}
	if s.Tests && strings.Contains(o.Testsuite, "autopkgtest") {
		by := tested[o.Package]
		for name := range strings.FieldsFuncSeq(o.TestsuiteTriggers, func(r rune) bool {
			return r == ',' || r == ' '
		}) {
			if _, ok := levels[0].by[name]; ok {
				by = append(by, name)
			}
		}
		f.Tests = len(by) > 0
		f.Via = append(f.Via, by...)
	}
	if len(f.Via) == 0 {
		return nil
	}
	slices.Sort(f.Via)
	f.Via = slices.Compact(f.Via)
	return f
}

// depends are the build dependencies of a source as far as they may have to do with the packages
// of the levels. What cannot be read counts as none: a build will say so.
func (s *Search) depends(o *index.SourceOffer, levels []*level) dsc.Relations {
	var b dsc.BuildRelations
	for _, f := range []struct {
		text string
		into *dsc.Relations
	}{{o.BuildDepends, &b.Depends}, {o.BuildDependsArch, &b.DependsArch},
		{o.BuildDependsIndep, &b.DependsIndep}} {
		if !slices.ContainsFunc(levels, func(l *level) bool { return l.mentions(f.text) }) {
			continue
		}
		if r, err := dsc.ParseRelations(f.text); err == nil {
			*f.into = r
		}
	}
	depends := b.Reduce(s.Context).Depends
	if s.FirstOnly {
		depends = depends.FirstAlternatives()
	}
	return depends
}

// levels are the changed packages, and those that depend on them as far as is asked for. tested
// are, for each source with packages that depend on a changed one, the names of these packages.
func (s *Search) levels() (levels []*level, tested map[string][]string, err error) {
	first := newLevel(1)
	for _, p := range s.Changed {
		b, err := binaryOf(p)
		if err != nil {
			return nil, nil, fmt.Errorf("the package %s: %w", p, err)
		}
		first.add(b)
	}
	levels = []*level{first}
	tested = map[string][]string{}
	if s.Depth < 2 && !s.Tests {
		return levels, tested, nil
	}
	var rest []*index.Package
	err = s.Binaries(func(p *index.Package) error {
		if !slices.Contains(s.Own, SourceOf(p)) {
			rest = append(rest, p)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for depth := 2; depth <= max(2, s.Depth); depth++ {
		next := newLevel(depth)
		var left []*index.Package
		for _, p := range rest {
			b := dependent(p, levels[len(levels)-1])
			if b == nil {
				left = append(left, p)
				continue
			}
			next.add(b)
			if depth == 2 {
				tested[SourceOf(p)] = append(tested[SourceOf(p)], b.name)
			}
		}
		if depth > s.Depth || len(next.by) == 0 {
			break // it was looked for because of the tests alone, or there is none
		}
		levels, rest = append(levels, next), left
	}
	return levels, tested, nil
}

// dependent is a package that depends on one of a level; nil: it does not.
func dependent(p *index.Package, on *level) *binary {
	for _, field := range []string{p.PreDepends, p.Depends} {
		if !on.mentions(field) {
			continue
		}
		depends, err := dsc.ParseRelations(field)
		if err != nil {
			continue // apt would not install it
		}
		if len(on.meet(depends)) > 0 {
			b, err := binaryOf(p)
			if err != nil {
				return nil
			}
			return b
		}
	}
	return nil
}

func binaryOf(p *index.Package) (*binary, error) {
	version, err := dsc.ParseVersion(p.Version)
	if err != nil {
		return nil, err
	}
	provides, err := dsc.ParseRelations(p.Provides)
	return &binary{name: p.Package, version: version, provides: provides}, err
}

// SourceOf is the name of a package's source.
func SourceOf(p *index.Package) string {
	name, _, _ := strings.Cut(cmp.Or(p.Source, p.Package), " ")
	return name
}

// List is what programs are told of what was found.
type List struct {
	Schema  int      `json:"schema"`
	Suite   string   `json:"suite"`
	Changed []string `json:"changed"` // names of packages
	Sources []*Found `json:"sources"`
}

// ListSchema is the number of the format of List. Fields may be added under the same number.
const ListSchema = 1
