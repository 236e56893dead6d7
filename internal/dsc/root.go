package dsc

import (
	"slices"
	"strings"
)

// Versions of dpkg that changed what Rules-Requires-Root means (deb-src-control(5)).
const (
	// from here on fakeroot is not even looked for where the field says "no"
	dpkgRootless        = "1.20"
	dpkgRootlessDefault = "1.22.13" // an absent field means "no"; before, "binary-targets"
)

// NeedsRoot tells whether the dpkg-buildpackage of this version runs anything of the source as
// root, or would give it the means to, so that fakeroot has to be there.
func (c *Control) NeedsRoot(dpkg Version) bool {
	f := c.Paragraph.Field("Rules-Requires-Root")
	switch {
	case dpkg.Older(dpkgRootless):
		return true
	case f == nil:
		return dpkg.Older(dpkgRootlessDefault)
	}
	return !slices.Contains(strings.Fields(f.Value), "no")
}

// Older tells whether a version is less than one that is known to be good.
func (v Version) Older(than string) bool {
	w, err := ParseVersion(than)
	return err == nil && v.Compare(w) < 0
}
