package suites

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/deb822"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

//go:embed suites.deb822
var suiteTable []byte

// Table is the suites that are known here: those that nsbuild brings along, and those that the
// machine's administrator and the user add or change, in files of the same format, of which the
// last word counts. The files are read when the table is first asked, and once.
type Table struct {
	read func() ([]Suite, error)
}

// New makes a table of the suites that nsbuild brings along and of files, which need not be
// there.
func New(files ...string) *Table {
	return &Table{sync.OnceValues(func() ([]Suite, error) { return readSuites(files) })}
}

// maxTable bounds a file of suites.
const maxTable = 16 << 20

func readSuites(files []string) ([]Suite, error) {
	var t draft
	if err := t.add(suiteTable, false); err != nil {
		return nil, err
	}
	suites, err := t.suites()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := regular.ReadFile(file, maxTable)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = t.add(data, true)
		}
		if err == nil {
			var more []Suite
			if more, err = t.suites(); err == nil {
				suites = more
			}
		}
		if err != nil {
			return suites,
				fault.New(fault.Usage, "man nsbuild, or docs/suites.md, describe the format",
					"suites: %s: %w", file, err)
		}
	}
	return suites, nil
}

// paragraph is one of a table: the fields of a suite, or of a distribution whose suites take what
// they do not say themselves.
type paragraph map[string]string

// draft is paragraphs in the order in which their suites were first named.
type draft struct {
	order         []string
	bySuite       map[string]paragraph
	distributions map[string]paragraph
}

// ownMirror marks a paragraph whose mirror comes from a file of the user's. No field of deb822 has
// such a name.
const ownMirror = ":own-mirror"

// add reads a table. What own says of a suite that is there already replaces field by field.
func (t *draft) add(data []byte, own bool) error {
	if t.bySuite == nil {
		t.bySuite, t.distributions = map[string]paragraph{}, map[string]paragraph{}
	}
	s := deb822.NewText(data, deb822.Syntax{Limit: maxTable, Comments: true})
	for s.Next() {
		p := paragraph{}
		for _, f := range s.Paragraph {
			if !slices.Contains(suiteFields, string(f.Name)) {
				return failure.Syntax("paragraph %d: there is no field %s; there are %s", s.Count(),
					f.Name, strings.Join(suiteFields, ", "))
			}
			p[string(f.Name)] = string(f.Value)
		}
		if own && p["Mirror"] != "" {
			p[ownMirror] = "yes"
		}
		name, distribution := p["Suite"], p["Distribution"]
		switch {
		case name == "" && distribution == "":
			return failure.Syntax("paragraph %d has neither Suite nor Distribution", s.Count())
		case name == "":
			t.distributions[distribution] = merged(t.distributions[distribution], p)
		case t.bySuite[name] == nil:
			t.order = append(t.order, name)
			t.bySuite[name] = p
		case own:
			t.bySuite[name] = merged(t.bySuite[name], p)
		default:
			return failure.Syntax("suite %s is there twice", name)
		}
	}
	return failure.Malformed(s.Err())
}

func merged(old, p paragraph) paragraph {
	m := paragraph{}
	maps.Copy(m, old)
	maps.Copy(m, p)
	return m
}

// suiteFields are the fields that suites.deb822 explains.
var suiteFields = []string{
	"Suite", "Distribution", "Version", "Aliases", "Like", "Mirror", "Security-Mirror",
	"Archive-Mirror", "Archive-Security-Mirror", "Components", "Keyrings", "Updates", "Security",
	"Base", "Buildd", "EOL", "Quirks",
}

// inherited are the fields that a suite takes from the one it is like.
var inherited = []string{"Components", "Buildd"}

// suites makes the suites that the paragraphs describe.
func (t *draft) suites() ([]Suite, error) {
	var suites []Suite
	seen := map[string]bool{}
	for _, name := range t.order {
		own := t.bySuite[name]
		model := cmp.Or(own["Like"], own["Base"]) // what only adds to a suite is made as that
		like, ok := t.bySuite[model]
		if model != "" && !ok {
			return nil, failure.Syntax("suite %s: Like, Base: there is no suite %s", name, model)
		}
		get := func(field string) string {
			if v, ok := own[field]; ok {
				return v
			}
			if v, ok := like[field]; ok && slices.Contains(inherited, field) {
				return v
			}
			if v, ok := t.distributions[own["Distribution"]][field]; ok {
				return v
			}
			if slices.Contains(inherited, field) {
				return t.distributions[like["Distribution"]][field]
			}
			return ""
		}
		suite, err := suiteFrom(name, get)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", name, err)
		}
		if suite.Mirror == "" {
			return nil, failure.Syntax("suite %s has no Mirror", name)
		}
		if suite.Distribution == "" { // one of its own
			suite.Distribution = name
		}
		for _, n := range append([]string{suite.Name}, suite.Aliases...) {
			if seen[suite.Distribution+":"+n] {
				return nil, failure.Syntax("suite %s: the name %s is taken", suite.Name, n)
			}
			seen[suite.Distribution+":"+n] = true
		}
		suites = append(suites, suite)
	}
	return suites, nil
}

// SetLayout says what is special about how the suite's bases are made, in the words of the table's
// field Buildd.
func (s *Suite) SetLayout(words []string) error {
	s.MergedUsr, s.SplitUsr, s.IncludeRequired, s.UsrIsMerged = true, false, false, false
	for _, w := range words {
		switch w {
		case "required":
			s.IncludeRequired = true
		case "split-usr":
			s.MergedUsr, s.SplitUsr = false, true
		case "split-usr-here":
			s.MergedUsr = false
		case "usr-is-merged":
			s.UsrIsMerged = true
		default:
			return failure.Syntax("unknown word %q", w)
		}
	}
	return nil
}

// Layout is what SetLayout sets.
func (s Suite) Layout() []string {
	var words []string
	if s.IncludeRequired {
		words = append(words, "required")
	}
	switch {
	case s.SplitUsr:
		words = append(words, "split-usr")
	case !s.MergedUsr:
		words = append(words, "split-usr-here")
	}
	if s.UsrIsMerged {
		words = append(words, "usr-is-merged")
	}
	return words
}

func suiteFrom(name string, get func(string) string) (Suite, error) {
	s := Suite{
		Name: name, Version: get("Version"), Distribution: get("Distribution"), Base: get("Base"),
		Aliases: strings.Fields(get("Aliases")), Components: strings.Fields(get("Components")),
		Keyrings: strings.Fields(get("Keyrings")),
		Mirror:   get("Mirror"), OwnMirror: get(ownMirror) != "",
		SecurityMirror: get("Security-Mirror"), Updates: get("Updates"), Security: get("Security"),
	}
	if len(s.Components) == 0 {
		s.Components = []string{"main"}
	}
	if err := s.SetLayout(strings.Fields(get("Buildd"))); err != nil {
		return s, fmt.Errorf("field Buildd: %w", err)
	}
	for _, w := range strings.Fields(get("Quirks")) {
		flag, ok := map[string]*bool{
			"archived": &s.Quirks.Archived, "no-inrelease": &s.Quirks.NoInRelease,
			"expired-release": &s.Quirks.ExpiredRelease, "expired-keys": &s.Quirks.ExpiredKeys,
			"weak-hashes": &s.Quirks.WeakHashes, "weak-keys": &s.Quirks.WeakKeys,
			"vsyscall": &s.Quirks.Vsyscall,
		}[w]
		if !ok {
			return s, failure.Syntax("unknown quirk %q", w)
		}
		*flag = true
	}
	if s.Quirks.Archived && !s.OwnMirror {
		s.Mirror, s.SecurityMirror = get("Archive-Mirror"), get("Archive-Security-Mirror")
	}
	if eol := get("EOL"); eol != "" {
		t, err := time.Parse(time.DateOnly, eol)
		if err != nil {
			return s, failure.Syntax("EOL: %v", err)
		}
		s.EOL = t
	}
	return s, nil
}
