package archive

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/fault"
)

//go:embed suites.deb822
var suiteTable []byte

// Suite is what nsbuild knows about one suite before it has asked a mirror: one paragraph of suites.deb822, with its distribution's defaults filled in.
type Suite struct {
	Name           string // codename and directory below dists/: "bookworm"
	Version        string // "12"; "" for sid and for what only adds to another suite
	Aliases        []string
	Distribution   string // "debian", "ubuntu"; "" when the suite is not in the table
	Components     []string
	Keyrings       []string // base names: "debian-archive-keyring.gpg"
	Mirror         string   // the distribution's primary mirror for this suite
	SecurityMirror string
	Updates        string // suite names; "" where there is none
	Security       string
	Base           string    // for backports and experimental: the suite it adds to
	EOL            time.Time // zero when not known

	MergedUsr       bool // whether the buildd variant has merged directories
	IncludeRequired bool // whether the buildd variant has the packages of Priority: required (from trixie on it has not)
	UsrIsMerged     bool // whether usr-is-merged is added and the dependency on usrmerge not followed (bookworm)

	Quirks Quirks
}

// Quirks are the concessions that old suites need. All are false for a suite that is still made.
type Quirks struct {
	Archived       bool // it lives on the archive mirror, the host's ordinary mirror does not have it
	NoInRelease    bool // there is Release and Release.gpg only
	ExpiredRelease bool // its Valid-Until has passed for good
	ExpiredKeys    bool // the keys that signed it have expired since
	WeakHashes     bool // MD5 and SHA-1 in the indices count
	WeakKeys       bool // DSA, 1024 bits, SHA-1 self-signatures, and keys without usage flags count
	Vsyscall       bool // its programs call into the vsyscall page
}

// CustomSuite describes a suite that the table does not have: modern, with the component main. Its mirror and its keyring must be given.
func CustomSuite(name string) Suite {
	return Suite{Name: name, Components: []string{"main"}, MergedUsr: true}
}

// Suites returns the whole table, oldest first, distribution by distribution. The caller may change what it gets.
func Suites() []Suite {
	suites, err := loadTable()
	if err != nil {
		panic(err) // the table is compiled in and a test reads it
	}
	out := make([]Suite, len(suites))
	for i, s := range suites {
		s.Aliases, s.Components, s.Keyrings = slices.Clone(s.Aliases), slices.Clone(s.Components), slices.Clone(s.Keyrings)
		out[i] = s
	}
	return out
}

// loadTable parses the embedded table once.
var loadTable = sync.OnceValues(func() ([]Suite, error) { return parseSuites(suiteTable) })

// LookupSuite finds a suite by its codename, an alias (stable, unstable), its version (12), or either behind its distribution ("debian:12", "ubuntu:24.04"). Names of a suite's
// parts, as changelogs have them, are understood too: bookworm-security means bookworm, bookworm-proposed-updates adds to it. The error for
// an unknown name is of kind fault.Usage and names the nearest ones.
func LookupSuite(name string) (Suite, error) {
	want, distribution := strings.ToLower(strings.TrimSpace(name)), ""
	if d, rest, ok := strings.Cut(want, ":"); ok {
		want, distribution = rest, d
	}
	suites := Suites()
	for _, suffix := range []string{"-security", "/updates", "-updates", "-proposed-updates", "-proposed", "-backports-sloppy", "-backports"} {
		base, ok := strings.CutSuffix(want, suffix)
		if i := slices.IndexFunc(suites, func(s Suite) bool { return s.named(base) }); ok && i >= 0 && !slices.ContainsFunc(suites, func(s Suite) bool { return s.named(want) }) {
			return suites[i].part(suffix), nil
		}
	}
	var names []string
	for _, s := range suites {
		if distribution != "" && s.Distribution != distribution {
			continue
		}
		if s.named(want) {
			return s, nil
		}
		names = append(append(names, s.Name), s.Aliases...)
	}
	if len(names) == 0 {
		return Suite{}, fault.New(fault.Usage, "known are debian and ubuntu", "suite %q: no distribution %q is known", name, distribution)
	}
	hint := "give --mirror and --keyring for a suite that is not in the table"
	if near := nearest(want, names, 3); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return Suite{}, fault.New(fault.Usage, hint, "suite %q is not known", name)
}

// part is the suite that a name such as bookworm-security means. -updates and -security are already among the suite's own repositories; the others only add to it.
func (s Suite) part(suffix string) Suite {
	switch suffix {
	case "-security", "/updates", "-updates":
		return s
	}
	over := s
	over.Name, over.Base, over.Version, over.Aliases, over.Updates, over.Security = s.Name+suffix, s.Name, "", nil, "", ""
	return over
}

// named reports whether name is one of the suite's names.
func (s Suite) named(name string) bool {
	return name != "" && (s.Name == name || s.Version == name || slices.Contains(s.Aliases, name))
}

// distributionOf finds the distribution that a host's source is of, from a suite name in it; security tells its security archive. ok is false for anything the table does
// not know, such as a vendor's own repository.
func distributionOf(suite string) (distribution string, security, ok bool) {
	suite = strings.TrimSuffix(suite, "/")
	for _, s := range Suites() {
		for _, n := range append([]string{s.Name}, s.Aliases...) {
			switch suite {
			case n, n + "-updates", n + "-proposed-updates", n + "-proposed", n + "-backports", n + "-backports-sloppy":
				return s.Distribution, false, true
			case n + "-security", n + "/updates":
				return s.Distribution, true, true
			}
		}
	}
	return "", false, false
}

// parseSuites reads a suite table. A suite takes from its distribution's paragraph what its own does not say.
func parseSuites(data []byte) ([]Suite, error) {
	defaults := map[string]map[string]string{}
	var suites []Suite
	seen := map[string]bool{}
	s := newScanner(bytes.NewReader(data), maxParagraph, true)
	for s.next() {
		own := map[string]string{}
		for _, f := range s.fields {
			own[string(f.name)] = string(f.value)
		}
		distribution := own["Distribution"]
		if own["Suite"] == "" {
			if distribution == "" {
				return nil, syntaxf("paragraph %d has neither Suite nor Distribution", s.count)
			}
			defaults[distribution] = own
			continue
		}
		get := func(name string) string {
			if v, ok := own[name]; ok {
				return v
			}
			return defaults[distribution][name]
		}
		suite, err := suiteFrom(own["Suite"], get)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", own["Suite"], err)
		}
		for _, n := range append([]string{suite.Name}, suite.Aliases...) {
			if seen[distribution+":"+n] {
				return nil, syntaxf("suite %s: the name %s is taken", suite.Name, n)
			}
			seen[distribution+":"+n] = true
		}
		suites = append(suites, suite)
	}
	if s.err != nil {
		return nil, s.err
	}
	return suites, nil
}

func suiteFrom(name string, get func(string) string) (Suite, error) {
	s := Suite{
		Name: name, Version: get("Version"), Distribution: get("Distribution"), Base: get("Base"),
		Aliases: strings.Fields(get("Aliases")), Components: strings.Fields(get("Components")), Keyrings: strings.Fields(get("Keyrings")),
		Mirror: get("Mirror"), SecurityMirror: get("Security-Mirror"), Updates: get("Updates"), Security: get("Security"),
		MergedUsr: true,
	}
	for _, w := range strings.Fields(get("Buildd")) {
		switch w {
		case "required":
			s.IncludeRequired = true
		case "split-usr":
			s.MergedUsr = false
		case "usr-is-merged":
			s.UsrIsMerged = true
		default:
			return s, syntaxf("unknown word %q in Buildd", w)
		}
	}
	for _, w := range strings.Fields(get("Quirks")) {
		flag, ok := map[string]*bool{
			"archived": &s.Quirks.Archived, "no-inrelease": &s.Quirks.NoInRelease, "expired-release": &s.Quirks.ExpiredRelease, "expired-keys": &s.Quirks.ExpiredKeys,
			"weak-hashes": &s.Quirks.WeakHashes, "weak-keys": &s.Quirks.WeakKeys, "vsyscall": &s.Quirks.Vsyscall,
		}[w]
		if !ok {
			return s, syntaxf("unknown quirk %q", w)
		}
		*flag = true
	}
	if s.Quirks.Archived {
		s.Mirror, s.SecurityMirror = get("Archive-Mirror"), get("Archive-Security-Mirror")
	}
	if eol := get("EOL"); eol != "" {
		t, err := time.Parse(time.DateOnly, eol)
		if err != nil {
			return s, syntaxf("EOL: %v", err)
		}
		s.EOL = t
	}
	return s, nil
}
