package bootstrap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pault.ag/go/debian/version"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fault"
)

// Variants of a base, by debootstrap's names.
const (
	VariantBuildd    = "buildd"
	VariantMinbase   = "minbase"
	VariantDefault   = "-"         // required and important packages
	VariantStandard  = "standard"  // these and the standard ones
	VariantEssential = "essential" // the essential packages and apt
)

// Variants lists the variants that Options.Variant accepts.
func Variants() []string {
	return []string{VariantBuildd, VariantMinbase, VariantDefault, VariantStandard,
		VariantEssential}
}

// universe is all packages on offer, the best version of each name.
type universe map[string]*index.Offer

// add offers a package. Of several versions the highest counts, of equal ones the first offered.
func (u universe) add(o *index.Offer) error {
	if old, ok := u[o.Package]; ok {
		ours, err := version.Parse(old.Version)
		if err != nil {
			return fmt.Errorf("package %s: version %q: %w", o.Package, old.Version, err)
		}
		theirs, err := version.Parse(o.Version)
		if err != nil {
			return fmt.Errorf("package %s: version %q: %w", o.Package, o.Version, err)
		}
		if version.Compare(theirs, ours) <= 0 {
			return nil
		}
	}
	u[o.Package] = o
	return nil
}

// Selection is the packages of a base: those that are required, which are unpacked first, and the
// others.
type Selection struct{ Required, Base []*index.Package }

// read has the whole of what the lists say of packages.
func (u universe) read(names []string) ([]*index.Package, error) {
	packages := make([]*index.Package, len(names))
	for i, name := range names {
		var err error
		if packages[i], err = u[name].Read(); err != nil {
			return nil, err
		}
	}
	return packages, nil
}

// choice is the names of a selection, each list sorted.
type choice struct {
	required, base []string
}

// coreOrder is the order in which debootstrap installs what the installation of everything else
// rests on.
func coreOrder(arch string) []string {
	libc := "libc6"
	switch {
	case arch == "alpha" || arch == "ia64":
		libc = "libc6.1"
	case strings.HasPrefix(arch, "hurd-"):
		libc = "libc0.3"
	}
	return []string{"base-passwd", "base-files", "dpkg", libc, "perl-base", "mawk"}
}

// awk is named because base-files asks for a virtual package of that name, which this way of
// choosing does not resolve.
const awk = "mawk"

// choose selects packages as debootstrap's script for Debian does. Of a dependency the first
// alternative counts, without its version, and only if a package has that very name. What is to be
// included gets more than debootstrap gives it: see complete.
func choose(u universe, s suites.Suite, variant string, include, exclude []string) (
	choice, error) {
	seeds, err := u.seeds(s, variant)
	if err != nil {
		return choice{}, err
	}
	ignore := map[string]bool{}
	if s.UsrIsMerged {
		seeds.required = append(seeds.required, "usr-is-merged")
	}
	if s.UsrIsMerged || !s.IncludeRequired {
		ignore["usrmerge"] = true
	}
	seeds.base = append(seeds.base, include...)
	out := exclusion{u: u, names: exclude, include: include}
	for _, name := range exclude {
		if out.needs(name) {
			return choice{}, fault.New(fault.Usage, "leave it out of --exclude",
				"package %s cannot be excluded: no base works without it, or it is included", name)
		}
		ignore[name] = true
	}
	seeds.required = slices.DeleteFunc(seeds.required, out.has)
	seeds.base = slices.DeleteFunc(seeds.base, out.has)
	if err := u.hasAll(seeds, s.Name, include); err != nil {
		return choice{}, err
	}
	c := choice{required: u.closure(seeds.required, ignore)}
	base := u.closure(seeds.base, ignore)
	if len(include) > 0 {
		base = u.complete(c.required, base, ignore)
	}
	if err := out.check(slices.Concat(c.required, base)); err != nil {
		return choice{}, err
	}
	c.base = slices.DeleteFunc(base, func(n string) bool {
		_, found := slices.BinarySearch(c.required, n)
		return found
	})
	return c, nil
}

// seeds are what a variant begins with, in no order.
func (u universe) seeds(s suites.Suite, variant string) (c choice, err error) {
	required := func(is func(*index.Offer) bool) {
		for name, o := range u {
			if is(o) {
				c.required = append(c.required, name)
			}
		}
	}
	priority := func(o *index.Offer) bool { return o.Priority == "required" }
	essential := func(o *index.Offer) bool { return o.Essential }
	switch variant {
	case VariantBuildd:
		c.base = []string{"apt", "build-essential"}
		if s.IncludeRequired {
			required(priority)
		} else {
			required(essential)
			c.required = append(c.required, awk)
		}
	case VariantMinbase:
		required(priority)
		c.base = []string{"apt"}
	case VariantEssential:
		required(essential)
		c.required, c.base = append(c.required, awk), []string{"apt"}
	case VariantDefault, VariantStandard:
		required(priority)
		for name, o := range u {
			if o.Priority == "important" || o.Priority == "standard" && variant == VariantStandard {
				c.base = append(c.base, name)
			}
		}
	default:
		return c, fault.New(fault.Usage, "use one of "+strings.Join(Variants(), ", "),
			"unknown variant %q", variant)
	}
	return c, nil
}

// hasAll tells whether the suite has all that a base begins with.
func (u universe) hasAll(seeds choice, suite string, include []string) error {
	for _, name := range slices.Concat(seeds.required, seeds.base) {
		if _, ok := u[name]; ok {
			continue
		}
		if slices.Contains(include, name) {
			return fault.New(fault.Usage, "check its name; or name the component or "+
				"the mirror that has it with --components or --mirror",
				"suite %s has no package %s to include", suite, name)
		}
		return fault.New(fault.Internal, "check the components and the mirror of the suite",
			"suite %s has no package %s for this base", suite, name)
	}
	return nil
}

// exclusion is what is not to be in a base.
type exclusion struct {
	u              universe
	names, include []string
}

func (e *exclusion) has(name string) bool { return slices.Contains(e.names, name) }

// needs tells whether no base works without a package, or it is to be included.
func (e *exclusion) needs(name string) bool {
	o := e.u[name]
	return o != nil && o.Essential || slices.Contains(e.include, name) ||
		slices.Contains(coreOrder(""), name)
}

// check refuses packages that depend on what is excluded.
func (e *exclusion) check(chosen []string) error {
	for _, name := range chosen {
		for _, dep := range slices.Concat(firstNames(e.u[name].PreDepends),
			firstNames(e.u[name].Depends)) {
			if !e.has(dep) {
				continue
			}
			hint := "leave it out of --exclude"
			if !e.needs(name) {
				hint = "exclude " + name + ", too, or leave " + dep + " out of --exclude"
			}
			return fault.New(fault.Usage, hint, "package %s cannot be excluded: %s depends on it",
				dep, name)
		}
	}
	return nil
}

// closure adds what the packages depend on, to the end. The result is sorted.
func (u universe) closure(names []string, ignore map[string]bool) []string {
	seen := map[string]bool{}
	todo := slices.Clone(names)
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		c, ok := u[name]
		if !ok || seen[name] || ignore[name] {
			continue
		}
		seen[name] = true
		todo = append(append(todo, firstNames(c.PreDepends)...), firstNames(c.Depends)...)
	}
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// complete adds to the base what its packages depend on by another name than that of a first
// alternative: another alternative, or a package that provides one (perl-openssl-abi-3). dpkg would
// not configure a package without. What is there already, or left out on purpose, is enough.
func (u universe) complete(required, base []string, ignore map[string]bool) []string {
	there := maps.Clone(ignore)
	settled := 0 // of the base, whose dependencies are there
	for added := slices.Concat(required, base); len(added) > 0; {
		for _, name := range added {
			there[name] = true
			for _, provided := range firstNames(u[name].Provides) {
				there[provided] = true
			}
		}
		added = nil
		for ; settled < len(base) && len(added) == 0; settled++ {
			o := u[base[settled]]
			for _, names := range alternatives(o.PreDepends + "," + o.Depends) {
				if slices.ContainsFunc(names, func(n string) bool { return there[n] }) {
					continue
				}
				if more := u.substitute(names, ignore); more != "" {
					added = append(added, more)
					break
				}
			}
		}
		if len(added) > 0 {
			added = slices.DeleteFunc(u.closure(added, ignore), func(n string) bool {
				return there[n]
			})
			base = append(base, added...)
			settled-- // there may be more that it lacks
		}
	}
	slices.Sort(base)
	return base
}

// substitute is the first of some alternatives that there is, else what provides the first: of
// several the one of the highest priority, and the first in the alphabet. "" is none.
func (u universe) substitute(names []string, ignore map[string]bool) string {
	for _, name := range names {
		if u[name] != nil && !ignore[name] {
			return name
		}
	}
	rank := func(name string) int {
		i := slices.Index([]string{"required", "important", "standard", "optional"},
			u[name].Priority)
		if i < 0 {
			return 4
		}
		return i
	}
	best := ""
	for name, o := range u {
		if ignore[name] || o.Provides == "" || !slices.Contains(firstNames(o.Provides), names[0]) {
			continue
		}
		if best == "" || cmp.Or(rank(name)-rank(best), strings.Compare(name, best)) < 0 {
			best = name
		}
	}
	return best
}

// firstNames are the names of the first alternatives of a relation field.
func firstNames(relations string) []string {
	var names []string
	for _, group := range alternatives(relations) {
		names = append(names, group[0])
	}
	return names
}

// alternatives are the names of a relation field, those of one dependency together.
func alternatives(relations string) [][]string {
	var groups [][]string
	for group := range strings.SplitSeq(relations, ",") {
		var names []string
		for name := range strings.SplitSeq(group, "|") {
			name = strings.TrimSpace(name)
			if i := strings.IndexAny(name, " (:[<\t\n"); i >= 0 {
				name = name[:i]
			}
			if name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			groups = append(groups, names)
		}
	}
	return groups
}

// order lists all chosen packages as debootstrap unpacks them.
func (c choice) order(arch string) []string {
	core := coreOrder(arch)
	var out []string
	for _, n := range core {
		if slices.Contains(c.required, n) {
			out = append(out, n)
		}
	}
	for _, n := range slices.Concat(c.required, c.base) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
