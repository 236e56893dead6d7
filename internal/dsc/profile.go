package dsc

import (
	"slices"
	"strings"
)

// registeredProfiles are the names of Debian's registry of build profiles
// (wiki.debian.org/BuildProfileSpec). Those with a prefix of stage or pkg. are open-ended.
var registeredProfiles = []string{
	"cross", "nobiarch", "nocheck", "nocil", "nodoc", "nogir", "nogolang", "noguile", "noinsttest",
	"nojava", "nolua", "noocaml", "noperl", "nopython", "noruby", "noudeb", "nowasm",
}

// RegisteredProfile tells whether a build profile is one that Debian's registry knows.
func RegisteredProfile(name string) bool {
	if stage, ok := strings.CutPrefix(name, "stage"); ok {
		return stage != "" && strings.Trim(stage, "0123456789") == ""
	}
	return slices.Contains(registeredProfiles, name) || strings.HasPrefix(name, "pkg.")
}

// ValidProfile tells whether text can be the name of a build profile.
func ValidProfile(text string) bool { return isProfile(text) && text == strings.ToLower(text) }

// ProfileNames are the profiles that the relations make a difference for.
func (b BuildRelations) ProfileNames() []string {
	var out []string
	for _, f := range b.fields() {
		for _, alternatives := range *f.to {
			for _, r := range alternatives {
				out = append(out, formulaNames(r.Profiles)...)
			}
		}
	}
	return out
}

// ProfileNames are the profiles that decide whether a binary package is built, and those of the
// build relations.
func (c *Control) ProfileNames() []string {
	out := c.BuildRelations.ProfileNames()
	for _, p := range c.Packages {
		out = append(out, formulaNames(p.Profiles)...)
	}
	return out
}

// ProfileNames are the profiles of Package-List, and those of the build relations.
func (s *Source) ProfileNames() []string {
	out := s.BuildRelations.ProfileNames()
	for _, p := range s.PackageList {
		out = append(out, formulaNames(p.Profiles)...)
	}
	return out
}

func formulaNames(formula [][]string) []string {
	var out []string
	for _, list := range formula {
		for _, term := range list {
			out = append(out, strings.TrimPrefix(term, "!"))
		}
	}
	return out
}
