package bootstrap

import (
	"slices"
	"strings"

	"pault.ag/go/debian/version"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/fault"
)

// checkPreDepends refuses what no dpkg could install: what a package pre-depends on must be there
// and configured before the package itself is unpacked (Debian Policy 7.2). Other dependencies may
// be circular, and dpkg says which of them it lacks. u is what there is besides.
func (s Selection) checkPreDepends(suite string, u universe) error {
	all := slices.Concat(s.Required, s.Base)
	names := make([]string, len(all))
	needs := map[string][]string{} // what each package pre-depends on
	for i, p := range all {
		names[i] = p.Package
		for group := range strings.SplitSeq(p.PreDepends, ",") {
			if strings.TrimSpace(group) == "" {
				continue
			}
			by := fulfilling(group, all)
			if by == "" {
				hint := "check the components and the mirror of the suite"
				for alternative := range strings.SplitSeq(group, "|") {
					if r := readRelation(alternative); u[r.name] != nil &&
						r.allows(u[r.name].Version) {
						hint = "--include=" + r.name
						break
					}
				}
				return fault.New(fault.Internal, hint, "suite %s: package %s pre-depends on %s, "+
					"which no package for this base fulfils", suite, p.Package, oneSpaced(group))
			}
			needs[p.Package] = append(needs[p.Package], by)
		}
	}
	if circle := findCircle(names, needs); circle != nil {
		return fault.New(fault.Internal,
			"the archive itself is at fault: name another with --mirror", "suite %s: packages "+
				"pre-depend on each other in a circle, so that none can be unpacked first: %s",
			suite, strings.Join(append(circle, circle[0]), " → "))
	}
	return nil
}

// fulfilling is the first of the packages that fulfils a relation with its alternatives, or "". The
// first alternative counts most, and in it a package of just that name.
func fulfilling(group string, packages []*index.Package) string {
	for alternative := range strings.SplitSeq(group, "|") {
		r := readRelation(alternative)
		provider := ""
		for _, p := range packages {
			switch {
			case p.Package == r.name && r.allows(p.Version):
				return p.Package
			case provider == "" && p.Provides != "" && r.providedBy(p.Provides):
				provider = p.Package
			}
		}
		if provider != "" {
			return provider
		}
	}
	return ""
}

// relation is one alternative of a relation field of a binary package: "libc6 (>= 2.36)".
type relation struct{ name, operator, version string }

func readRelation(text string) relation {
	text, constraint, _ := strings.Cut(text, "(")
	name, _, _ := strings.Cut(strings.TrimSpace(text), ":") // a qualifier: any, or an architecture
	constraint, _, _ = strings.Cut(constraint, ")")
	constraint = strings.TrimSpace(constraint)
	rest := strings.TrimLeft(constraint, "<>=")
	return relation{name, constraint[:len(constraint)-len(rest)], strings.TrimSpace(rest)}
}

// allows tells whether a version fulfils the relation. What cannot be understood is left to dpkg.
func (r relation) allows(v string) bool {
	if r.operator == "" {
		return true
	}
	have, err := version.Parse(v)
	if err != nil {
		return true
	}
	want, err := version.Parse(r.version)
	if err != nil {
		return true
	}
	switch n := version.Compare(have, want); r.operator {
	case "<<":
		return n < 0
	case "<=", "<": // Policy 7.1: the old forms mean "or equal"
		return n <= 0
	case "=":
		return n == 0
	case ">=", ">":
		return n >= 0
	case ">>":
		return n > 0
	}
	return true
}

// providedBy tells whether a field Provides fulfils the relation: one with a version needs a
// version there (Policy 7.5).
func (r relation) providedBy(provides string) bool {
	for p := range strings.SplitSeq(provides, ",") {
		if has := readRelation(p); has.name == r.name &&
			(r.operator == "" || has.version != "" && r.allows(has.version)) {
			return true
		}
	}
	return false
}

// oneSpaced is a relation as a message quotes it.
func oneSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// findCircle returns names each of which needs the next, and the last the first; nil when there are
// none.
func findCircle(names []string, needs map[string][]string) []string {
	done := map[string]bool{}
	var path, circle []string
	var visit func(name string) bool
	visit = func(name string) bool {
		if i := slices.Index(path, name); i >= 0 {
			circle = slices.Clone(path[i:])
			return true
		}
		if done[name] {
			return false
		}
		path = append(path, name)
		if slices.ContainsFunc(needs[name], visit) {
			return true
		}
		path = path[:len(path)-1]
		done[name] = true
		return false
	}
	if slices.ContainsFunc(names, visit) {
		return circle
	}
	return nil
}
