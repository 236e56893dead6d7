package dsc

// Allows tells whether a version is one that a relation wants. One that cannot be compared is not
// looked at.
func (r Relation) Allows(have Version) bool {
	if r.Op == "" || r.Invalid != "" {
		return true
	}
	c := have.Compare(r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	}
	return c > 0
}

// MetBy tells whether a package is what a relation asks for: by its name, or by a name that it
// provides (Policy 7.5). A relation with a version takes a provided name only in a version of its
// own. Architectures are not looked at.
func (r Relation) MetBy(name string, version Version, provides Relations) bool {
	if r.Name == name {
		return r.Allows(version)
	}
	for _, alternatives := range provides {
		for _, p := range alternatives {
			if p.Name == r.Name && (r.Op == "" || p.Op == "=" && r.Allows(p.Version)) {
				return true
			}
		}
	}
	return false
}
