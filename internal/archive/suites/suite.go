// Package suites has the table of suites: data, in suites.deb822, and the keyrings that sign them.
//
// What is known of a suite before a mirror is asked stands here: its names, mirrors, components and
// keys, how its bases are made, and what an old one is allowed. What its Release file says is left
// to package archive.
package suites

import (
	"slices"
	"strings"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
)

// Suite is what nsbuild knows about one suite before it has asked a mirror: one paragraph of
// suites.deb822, with its distribution's defaults filled in.
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
	// whether the mirror is the user's choice, which comes before the host's apt sources
	OwnMirror bool

	MergedUsr bool // whether the buildd variant has merged directories
	// whether the buildd variant has the packages of Priority: required (from trixie on it has not)
	IncludeRequired bool
	SplitUsr        bool // whether no variant has them
	// whether usr-is-merged is added and the dependency on usrmerge not followed (bookworm)
	UsrIsMerged bool

	Quirks Quirks
}

// Quirks are the concessions that old suites need. All are false for a suite that is still made.
type Quirks struct {
	// it lives on the archive mirror, the host's ordinary mirror does not have it
	Archived       bool
	NoInRelease    bool // there is Release and Release.gpg only
	ExpiredRelease bool // its Valid-Until has passed for good
	ExpiredKeys    bool // the keys that signed it have expired since
	WeakHashes     bool // MD5 and SHA-1 in the indices count
	WeakKeys       bool // DSA, 1024 bits, SHA-1 self-signatures, and keys without usage flags count
	Vsyscall       bool // its programs call into the vsyscall page
}

// Custom describes a suite that the table does not have: what there is to know of it, its
// Release file will tell (Table.Complete). Its mirror must be given.
func Custom(name string) Suite {
	return Suite{Name: name, MergedUsr: true}
}

// Complete fills in a suite that the table does not have by what its Release file says: its
// components, and its names. One that has the codename of a known suite is made as that one, any
// other as the newest ones are. A suite of the table stays as it is.
func (t *Table) Complete(s Suite, components []string, names ...string) Suite {
	if s.Distribution != "" {
		return s
	}
	s.Components = components
	for _, name := range names {
		if known, err := t.Lookup(name); err == nil {
			s.MergedUsr, s.SplitUsr, s.IncludeRequired, s.UsrIsMerged = known.MergedUsr,
				known.SplitUsr, known.IncludeRequired, known.UsrIsMerged
			break
		}
	}
	return s
}

// All returns the whole table, oldest first, distribution by distribution, then what the machine
// and the user added. The caller may change what it gets. With an error, which is about a file of
// theirs, it is the table as it was before that file.
func (t *Table) All() ([]Suite, error) {
	suites, err := t.read()
	out := make([]Suite, len(suites))
	for i, s := range suites {
		s.Aliases, s.Components, s.Keyrings = slices.Clone(s.Aliases), slices.Clone(s.Components),
			slices.Clone(s.Keyrings)
		out[i] = s
	}
	return out, err
}

// Lookup finds a suite by its codename, an alias (stable, unstable), its version (12), or
// either behind its distribution ("debian:12", "ubuntu:24.04"). Names of a suite's parts, as
// changelogs have them, are understood too: bookworm-security means bookworm,
// bookworm-proposed-updates adds to it. The error for an unknown name is of kind fault.Usage and
// names the nearest ones.
func (t *Table) Lookup(name string) (Suite, error) {
	want, distribution := strings.ToLower(strings.TrimSpace(name)), ""
	if d, rest, ok := strings.Cut(want, ":"); ok {
		want, distribution = rest, d
	}
	suites, err := t.All()
	if err != nil {
		return Suite{}, err
	}
	for _, suffix := range []string{"-security", "/updates", "-updates", "-proposed-updates",
		"-proposed", "-backports-sloppy", "-backports"} {
		base, ok := strings.CutSuffix(want, suffix)
		if i := slices.IndexFunc(suites, func(s Suite) bool { return s.named(base) }); ok &&
			i >= 0 && !slices.ContainsFunc(suites, func(s Suite) bool { return s.named(want) }) {
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
		return Suite{}, fault.New(fault.Usage, "known are debian and ubuntu",
			"suite %q: no distribution %q is known", name, distribution)
	}
	hint := "give --mirror and --keyring for a suite that is not in the table"
	if near := nearest.Names(want, names, 3); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return Suite{}, fault.New(fault.Usage, hint, "suite %q is not known", name)
}

// part is the suite that a name such as bookworm-security means. -updates and -security are already
// among the suite's own repositories; the others only add to it.
func (s Suite) part(suffix string) Suite {
	switch suffix {
	case "-security", "/updates", "-updates":
		return s
	}
	over := s
	over.Name, over.Base, over.Version, over.Aliases, over.Updates, over.Security = s.Name+suffix,
		s.Name, "", nil, "", ""
	return over
}

// named reports whether name is one of the suite's names.
func (s Suite) named(name string) bool {
	return name != "" && (s.Name == name || s.Version == name || slices.Contains(s.Aliases, name))
}

// Distribution finds the distribution that a host's source is of, from a suite name in it;
// security tells its security archive. ok is false for anything the table does not know, such as a
// vendor's own repository.
func (t *Table) Distribution(suite string) (distribution string, security, ok bool) {
	suite = strings.TrimSuffix(suite, "/")
	suites, _ := t.All() // an error in the user's table is Lookup's to report
	for _, s := range suites {
		for _, n := range append([]string{s.Name}, s.Aliases...) {
			switch suite {
			case n, n + "-updates", n + "-proposed-updates", n + "-proposed", n + "-backports",
				n + "-backports-sloppy":
				return s.Distribution, false, true
			case n + "-security", n + "/updates":
				return s.Distribution, true, true
			}
		}
	}
	return "", false, false
}
