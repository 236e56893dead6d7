package dsc

import (
	"slices"
	"strings"
)

// Context is the build for which relations are reduced.
type Context struct {
	BuildArch string   // of the jail
	HostArch  string   // for which is built; the same unless cross building
	Profiles  []string // active build profiles
	ArchAny   bool     // architecture-dependent packages are built: the -Arch fields count
	ArchAll   bool     // architecture-independent packages are built: the -Indep fields count
}

// BuildRelations are the relation fields of a source package.
type BuildRelations struct {
	Depends, DependsArch, DependsIndep       Relations
	Conflicts, ConflictsArch, ConflictsIndep Relations
}

// buildFields names the fields, in the order of Policy 7.7.
func (b *BuildRelations) fields() []struct {
	name string
	to   *Relations
} {
	return []struct {
		name string
		to   *Relations
	}{
		{"Build-Depends", &b.Depends}, {"Build-Depends-Arch", &b.DependsArch},
		{"Build-Depends-Indep", &b.DependsIndep},
		{"Build-Conflicts", &b.Conflicts}, {"Build-Conflicts-Arch", &b.ConflictsArch},
		{"Build-Conflicts-Indep", &b.ConflictsIndep},
	}
}

// Join adds the relations of another source to these, field by field; b itself is left alone.
func (b BuildRelations) Join(other BuildRelations) BuildRelations {
	out := other
	from, to := b.fields(), out.fields()
	for i := range to {
		*to[i].to = slices.Concat(*to[i].to, *from[i].to)
	}
	return out
}

// Reduced are relations that hold for one build, without restrictions: what a binary package may
// carry in Depends and Conflicts.
type Reduced struct {
	Depends   Relations // with every alternative
	Conflicts Relations
}

// Reduce leaves what holds in a context: fields by the kind of build, alternatives by architecture
// and profile; ":native" becomes nothing, or the build architecture when cross building. extra, if
// any, are added to Depends.
func (b BuildRelations) Reduce(c Context, extra ...Relations) Reduced {
	var out Reduced
	depends, conflicts := []Relations{b.Depends}, []Relations{b.Conflicts}
	if c.ArchAny {
		depends, conflicts = append(depends, b.DependsArch), append(conflicts, b.ConflictsArch)
	}
	if c.ArchAll {
		depends, conflicts = append(depends, b.DependsIndep), append(conflicts, b.ConflictsIndep)
	}
	for _, r := range append(depends, extra...) {
		out.Depends = append(out.Depends, r.reduce(c)...)
	}
	for _, r := range conflicts {
		out.Conflicts = append(out.Conflicts, r.reduce(c)...)
	}
	return out
}

func (r Relations) reduce(c Context) Relations {
	var out Relations
	for _, alts := range r {
		var kept Alternatives
		for _, rel := range alts {
			if !ArchHolds(rel.Archs, c.HostArch) || !ProfilesHold(rel.Profiles, c.Profiles) {
				continue
			}
			rel.Archs, rel.Profiles = nil, nil
			if rel.Qualifier == "native" {
				rel.Qualifier = ""
				if c.HostArch != c.BuildArch {
					rel.Qualifier = c.BuildArch
				}
			}
			kept = append(kept, rel)
		}
		if len(kept) > 0 {
			out = append(out, kept)
		}
	}
	return out
}

// FirstAlternatives leaves the first alternative of each item, and with it those directly after it
// that are relations to the same package ("a (<< 1) | a (>= 2)" is one condition). Debian's build
// daemons resolve so: a build must not depend on which alternative happens to be installable.
func (r Relations) FirstAlternatives() Relations {
	var out Relations
	for _, alts := range r {
		n := 1
		for n < len(alts) && alts[n].Name == alts[0].Name {
			n++
		}
		out = append(out, slices.Clone(alts[:n]))
	}
	return out
}

// ArchHolds tells whether an architecture restriction list covers an architecture. An empty list
// covers all. As dpkg reads lists that mix both kinds: terms are tried in order, the first that
// decides is the outcome, and a list of exclusions covers everything else.
func ArchHolds(list []string, arch string) bool {
	if len(list) == 0 {
		return true
	}
	holds := false
	for _, term := range list {
		if not, excluded := strings.CutPrefix(term, "!"); excluded {
			if MatchArch(arch, not) {
				return false
			}
			holds = true
		} else if MatchArch(arch, term) {
			return true
		}
	}
	return holds
}

// ProfilesHold evaluates a profile formula: it holds when one of its lists does, a list when each
// of its terms does. An empty formula holds.
func ProfilesHold(formula [][]string, active []string) bool {
	if len(formula) == 0 {
		return true
	}
	for _, list := range formula {
		holds := true
		for _, term := range list {
			name, negated := strings.CutPrefix(term, "!")
			if slices.Contains(active, name) == negated {
				holds = false
				break
			}
		}
		if holds {
			return true
		}
	}
	return false
}
