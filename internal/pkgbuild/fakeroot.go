package pkgbuild

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"nsbuild/internal/base"
	"nsbuild/internal/dsc"
)

// rootOption is an option of dpkg-buildpackage that has it want root whatever the source says.
var rootOption = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(-r|--root-command=|--rules-requires-root$|--as-root$)`)
})

// needsFakeroot tells whether dpkg-buildpackage will want fakeroot, and why, for the log. Where
// that cannot be known before the source is unpacked it is wanted: it does no harm.
func (b *builder) needsFakeroot() (needed bool, why string) {
	if b.sourceAlone() {
		return false, "the source package alone is made"
	}
	if i := slices.IndexFunc(b.o.BuildOpts, rootOption().MatchString); i >= 0 {
		return true, "dpkg-buildpackage is given " + b.o.BuildOpts[i]
	}
	control, err := b.in.Control()
	if err != nil {
		return true, fmt.Sprintf("whether the source needs root is not known: %v", err)
	}
	version, err := dpkgVersion(b.base.Manifest.Packages)
	if err != nil {
		return true, err.Error()
	}
	says := "no Rules-Requires-Root"
	if f := control.Paragraph.Field("Rules-Requires-Root"); f != nil {
		says = "Rules-Requires-Root: " + f.Value
	}
	return control.NeedsRoot(version), fmt.Sprintf("debian/control has %s, for dpkg %s", says,
		version)
}

// dpkgVersion is the version of the tools that build, as far as the base has them.
func dpkgVersion(packages []base.Package) (dsc.Version, error) {
	for _, name := range []string{"dpkg-dev", "dpkg"} {
		if i := slices.IndexFunc(packages, func(p base.Package) bool {
			return p.Name == name
		}); i >= 0 {
			return dsc.ParseVersion(packages[i].Version)
		}
	}
	return dsc.Version{}, errors.New("the base has no dpkg")
}

// knowsSanitizeEnv tells whether the base's dpkg-buildpackage has the option --sanitize-env: since
// dpkg 1.20.0, says its manual page. What is not known is taken to be no older.
func knowsSanitizeEnv(packages []base.Package) bool {
	version, err := dpkgVersion(packages)
	return err != nil || !version.Older("1.20.0")
}
