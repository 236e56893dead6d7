package programs

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fakejail"
)

// candidate is a package that can be installed.
type candidate struct {
	paragraph
	url   string // where it would be fetched; "" for one that is a file here
	file  string // in the jail; of one that is a file here
	suite string
}

// name is what apt calls the file in its archives directory.
func (c candidate) name() string {
	quoted := func(s string) string {
		return strings.NewReplacer("%", "%25", "_", "%5f", ":", "%3a").Replace(s)
	}
	return quoted(c.paragraph["Package"]) + "_" + quoted(c.paragraph["Version"]) + "_" +
		c.paragraph["Architecture"] + ".deb"
}

// problem is what keeps a request from being done.
type problem struct {
	who  string
	what dsc.Alternatives
	with string // the version of what is in conflict; "": it is missing
}

func (e *problem) Error() string {
	if e.with != "" {
		return fmt.Sprintf(" %s : Conflicts: %s but %s is to be installed", e.who, e.what, e.with)
	}
	return fmt.Sprintf(" %s : Depends: %s but it is not installable", e.who, e.what)
}

// resolver finds out what is to be installed.
type resolver struct {
	native    string
	foreign   []string
	installed []paragraph
	offers    []candidate
	coming    []paragraph // that were chosen, or are while what they need is
	chosen    []candidate // in the order in which they are to be installed
	removed   []string
	named     []string          // by the command
	pins      map[string]string // versions that are to be installed, by packages
}

// newResolver reads the status of a system, and the lists that its apt has.
func newResolver(p *fakejail.Proc, c config) (*resolver, error) {
	all, err := readStatus(p)
	if err != nil {
		return nil, err
	}
	r := &resolver{native: native(all), pins: map[string]string{}}
	if err := r.readPins(p, c.preferences); err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.installed() {
			r.installed = append(r.installed, one)
		}
	}
	if text, err := p.ReadFile("/var/lib/dpkg/arch"); err == nil {
		r.foreign = strings.Fields(string(text))
	}
	sources, err := p.ReadFile(c.sources)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(sources)) {
		if err := r.readSource(p, c.lists, line); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readPins reads preferences for certain versions. Others do not count here.
func (r *resolver) readPins(p *fakejail.Proc, file string) error {
	if file == "" {
		return nil
	}
	text, err := p.ReadFile(file)
	if err != nil {
		return err
	}
	all, err := paragraphs(string(text))
	for _, pin := range all {
		name := pin["Package"]
		if version, ok := strings.CutPrefix(pin["Pin"], "version "); ok && r.pins[name] == "" {
			r.pins[name] = version // of several that fit the first counts
		}
	}
	return err
}

// readSource reads the lists of a line of sources.list.
func (r *resolver) readSource(p *fakejail.Proc, lists, line string) error {
	words := strings.Fields(line)
	if len(words) < 4 || words[0] != "deb" || words[1] != "[trusted=yes]" {
		return fmt.Errorf("malformed line in source list: %s", line)
	}
	uri, suite := words[2], words[3]
	dist, components := uri+"/dists/"+suite+"/", words[4:]
	if strings.HasSuffix(suite, "/") {
		dist, components = uri+"/"+suite, []string{""}
	}
	entries, err := p.ReadDir(lists)
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), aptconf.ListName(dist))
		if !ok || !strings.HasSuffix("_"+rest, "_Packages") {
			continue
		}
		component, _, _ := strings.Cut(rest, "_binary-")
		if !slices.Contains(components, strings.TrimSuffix(component, "Packages")) {
			continue
		}
		text, err := p.ReadFile(path.Join(lists, e.Name()))
		if err != nil {
			return err
		}
		all, err := paragraphs(string(text))
		if err != nil {
			return fmt.Errorf("the package lists could not be parsed: %w", err)
		}
		for _, one := range all {
			r.offers = append(r.offers, candidate{paragraph: one, suite: suite,
				url: uri + "/" + one["Filename"]})
		}
	}
	return nil
}

// fits tells whether a package of its architecture is meant by a relation of one of another.
func (r *resolver) fits(p paragraph, of string, qualifier string) bool {
	arch := p["Architecture"]
	switch {
	case arch == "all" || p["Multi-Arch"] == "foreign":
		return arch == "all" || arch == r.native || slices.Contains(r.foreign, arch)
	case qualifier == "any":
		return p["Multi-Arch"] == "allowed"
	case qualifier == "native":
		return arch == r.native
	case qualifier != "":
		return arch == qualifier
	}
	return arch == of
}

// satisfies tells whether a package is what a relation asks for, by its name or what it provides.
func (r *resolver) satisfies(p paragraph, rel dsc.Relation, of string) bool {
	version, err := dsc.ParseVersion(p["Version"])
	if err != nil && rel.Op != "" || !r.fits(p, of, rel.Qualifier) {
		return false
	}
	provided, err := dsc.ParseRelations(p["Provides"])
	return rel.MetBy(p["Package"], version, provided) && (err == nil || p["Package"] == rel.Name)
}

// holds compares a version with what a relation wants.
func holds(version string, rel dsc.Relation) bool {
	v, err := dsc.ParseVersion(version)
	return rel.Op == "" || err == nil && rel.Allows(v)
}

// have tells whether a relation holds already.
func (r *resolver) have(rel dsc.Relation, of string) bool {
	meant := func(p paragraph) bool { return r.satisfies(p, rel, of) && r.allows(p) }
	return slices.ContainsFunc(r.coming, meant) ||
		slices.ContainsFunc(r.installed, func(p paragraph) bool {
			return meant(p) && !slices.ContainsFunc(r.coming, p.same)
		})
}

// allows tells whether no other version of a package is preferred.
func (r *resolver) allows(p paragraph) bool {
	pin := r.pins[p["Package"]]
	return pin == "" || pin == p["Version"]
}

// best is the newest offer that a relation can mean, of the native architecture where others will
// do, too.
func (r *resolver) best(rel dsc.Relation, of string) (best candidate, found bool) {
	better := func(c candidate) bool {
		if (c.paragraph["Package"] == rel.Name) != (best.paragraph["Package"] == rel.Name) {
			return c.paragraph["Package"] == rel.Name
		}
		if a, b := c.paragraph["Architecture"], best.paragraph["Architecture"]; a != b {
			return a == r.native || a == "all"
		}
		return c.newer(best.paragraph)
	}
	for _, c := range r.offers {
		if r.satisfies(c.paragraph, rel, of) && r.allows(c.paragraph) && (!found || better(c)) {
			best, found = c, true
		}
	}
	return best, found
}

// want chooses what relations ask for, that of an architecture.
func (r *resolver) want(who string, relations dsc.Relations, of string) error {
next:
	for _, alternatives := range relations {
		for _, rel := range alternatives {
			if r.have(rel, of) {
				continue next
			}
		}
		for _, rel := range alternatives {
			if c, ok := r.best(rel, of); ok {
				if err := r.choose(c); err != nil {
					return err
				}
				continue next
			}
		}
		return &problem{who: who, what: alternatives}
	}
	return nil
}

// choose has a package installed, after what it depends on.
func (r *resolver) choose(c candidate) error {
	needs, err := c.relations("Pre-Depends", "Depends")
	if err != nil {
		return err
	}
	of := c.paragraph["Architecture"]
	if of == "all" {
		of = r.native
	}
	r.coming = append(r.coming, c.paragraph) // so that a circle ends
	if err := r.want(c.paragraph["Package"], needs, of); err != nil {
		return err
	}
	r.chosen = append(r.chosen, c)
	conflicts, err := c.relations("Conflicts")
	if err != nil {
		return err
	}
	for _, with := range conflicts {
		for _, other := range r.coming {
			if other["Package"] == with[0].Name && !other.same(c.paragraph) {
				return &problem{who: c.paragraph["Package"], what: with, with: other["Version"]}
			}
		}
	}
	return r.refuse(conflicts)
}

// refuse has what conflicts removed.
func (r *resolver) refuse(relations dsc.Relations) error {
	for _, alternatives := range relations {
		for _, rel := range alternatives {
			for _, p := range r.installed {
				if p["Package"] == rel.Name && holds(p["Version"], rel) {
					r.removed = append(r.removed, rel.Name)
				}
			}
		}
	}
	return nil
}

// upgrade chooses what is newer than what is installed.
func (r *resolver) upgrade() error {
	for _, p := range r.installed {
		newest := candidate{paragraph: p}
		for _, c := range r.offers {
			if c.same(p) && c.newer(newest.paragraph) {
				newest = c
			}
		}
		if newest.url == "" || slices.ContainsFunc(r.coming, p.same) {
			continue
		}
		if err := r.choose(newest); err != nil {
			return err
		}
	}
	return nil
}

// uri is a line of what --print-uris prints.
func (c candidate) uri() string {
	if c.url == "" {
		return fmt.Sprintf("'file:%s' %s 0 \n", c.file, c.name())
	}
	size, err := strconv.ParseInt(c.paragraph["Size"], 10, 64)
	if err != nil {
		size = -1
	}
	hash := ""
	for _, kind := range []string{"SHA512", "SHA256"} {
		if sum := c.paragraph[kind]; sum != "" && hash == "" {
			hash = kind + ":" + sum
		}
	}
	return fmt.Sprintf("'%s' %s %d %s\n", strings.ReplaceAll(c.url, "%", "%25"), c.name(), size,
		hash)
}
