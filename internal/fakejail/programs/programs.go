// Package programs plays, in jails that are made up, the programs which make a Debian system:
// apt-get, aptitude and dpkg, nsbuild's own applets that fill trees, and what a package is built
// with. They read and write the files that the real ones do, as far as nsbuild looks at them: the
// lists of a fakedebian archive, dpkg's status, what was put into apt's archives directory, source
// packages, results.
//
// Which solution the real apt prefers is not tried with them, nor what maintainer scripts do.
package programs

import (
	"regexp"
	"strconv"
	"sync"

	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/fakejail"
)

// System is what the programs go by. Its zero value is ready for use.
type System struct {
	// Script, when set, runs a maintainer script and returns its status. Otherwise a script does
	// nothing, and ends with the status that stands after an "exit" at the beginning of a line.
	Script func(p *fakejail.Proc, pkg, script, text string) int
}

// Programs are the programs of a system.
func (s *System) Programs() map[string]fakejail.Program {
	return map[string]fakejail.Program{"apt-get": s.aptGet, "aptitude": s.aptitude, "dpkg": s.dpkg,
		"applet " + unpack.Name: s.unpack}
}

// Install adds the programs, and the applets of holders, to a maker.
func (s *System) Install(m *fakejail.Maker) {
	for name, p := range s.Programs() {
		m.Programs[name] = p
	}
	m.Applets["image"] = image
}

var exits = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^exit (\d+)$`) })

// run runs a maintainer script.
func (s *System) run(p *fakejail.Proc, pkg, script, text string) int {
	if s.Script != nil {
		return s.Script(p, pkg, script, text)
	}
	status := 0
	if m := exits().FindStringSubmatch(text); m != nil {
		status, _ = strconv.Atoi(m[1]) // it has digits only
	}
	return status
}
