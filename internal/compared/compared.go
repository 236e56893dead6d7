// Package compared is what differs between two sets of packages, as programs and people are told of
// it: the types of the document that nsbuild compare --json writes, and the lines that it prints.
//
// Its schema has a number. Fields may be added under the same number. How packages are compared is
// internal/debcompare's.
package compared

import (
	"fmt"
	"slices"
	"strings"
)

// Schema is the number of the format.
const Schema = 1

// MaxListed is how many names a list of gained or lost ones has at most; how many there are besides
// stands beside it.
const MaxListed = 1000

// Comparison is what differs between two sets of packages.
type Comparison struct {
	Schema   int      `json:"schema"`
	Was      string   `json:"was"` // as they were asked for
	Is       string   `json:"is"`
	Same     bool     `json:"same"`             // byte by byte
	Gained   []string `json:"gained,omitempty"` // packages, as NAME_ARCHITECTURE
	Lost     []string `json:"lost,omitempty"`
	Alone    []Alone  `json:"alone,omitempty"` // the packages of these two
	Moved    []Move   `json:"moved,omitempty"`
	Packages []Pair   `json:"packages,omitempty"`
	// Libraries are shared libraries that differ, in all packages: a new SONAME comes with a new
	// package.
	Libraries []Library `json:"libraries,omitempty"`
	Lintian   *Findings `json:"lintian,omitempty"`  // its tags
	Warnings  *Findings `json:"warnings,omitempty"` // of the logs of the builds
	Notes     []string  `json:"notes,omitempty"`    // what was not looked into
	// Escaped is set while it is in a file; see rawjson.Legible.
	Escaped []string `json:"escaped,omitempty"`
}

// Alone is a package that only one of the sets has.
type Alone struct {
	Name      string   `json:"name"` // NAME_ARCHITECTURE
	Gained    bool     `json:"gained"`
	Version   string   `json:"version"`
	Size      int64    `json:"size"`            // of the .deb, in bytes
	Files     []string `json:"files,omitempty"` // but those that another package had, or has now
	FilesMore int      `json:"files_more,omitempty"`
}

// Move is a file that another package has now.
type Move struct {
	Path string `json:"path"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Pair is a package that both sets have, or the two of sets with no more than one.
type Pair struct {
	Name         string       `json:"name"`              // NAME_ARCHITECTURE
	Renamed      string       `json:"renamed,omitempty"` // what it is called now, if not so
	Was          string       `json:"was"`               // its version
	Is           string       `json:"is"`
	WasSize      int64        `json:"was_size"` // of the .deb, in bytes
	IsSize       int64        `json:"is_size"`
	WasInstalled int64        `json:"was_installed,omitempty"` // of all files in it, in bytes
	IsInstalled  int64        `json:"is_installed,omitempty"`
	Same         bool         `json:"same"`
	Grown        []Growth     `json:"grown,omitempty"` // files, the one that has grown most first
	Changes      []Change     `json:"changes,omitempty"`
	Differences  []Difference `json:"differences,omitempty"`
	More         int          `json:"more,omitempty"` // differences that are left out
}

// Growth is a file that is larger now.
type Growth struct {
	Path string `json:"path"`
	Was  int64  `json:"was"`
	Is   int64  `json:"is"`
}

// What a Change is of.
const (
	OfRelation  = "relation"
	OfConffiles = "conffiles"
	OfTriggers  = "triggers"
	OfShlibs    = "shlibs"
	OfSymbols   = "symbols"
)

// Change is what a list has gained and lost.
type Change struct {
	Of         string   `json:"of"`   // relation, conffiles, triggers, shlibs, symbols
	Name       string   `json:"name"` // of the field, or of the control file
	Gained     []string `json:"gained,omitempty"`
	Lost       []string `json:"lost,omitempty"`
	GainedMore int      `json:"gained_more,omitempty"`
	LostMore   int      `json:"lost_more,omitempty"`
}

// Library is a shared library that differs.
type Library struct {
	WasPackage string   `json:"was_package,omitempty"` // absent: it is new
	WasPath    string   `json:"was_path,omitempty"`
	WasSoname  string   `json:"was_soname,omitempty"`
	IsPackage  string   `json:"is_package,omitempty"` // absent: it is gone
	IsPath     string   `json:"is_path,omitempty"`
	IsSoname   string   `json:"is_soname,omitempty"`
	Gained     []string `json:"gained,omitempty"` // symbols that it exports, as NAME@VERSION
	Lost       []string `json:"lost,omitempty"`
	GainedMore int      `json:"gained_more,omitempty"`
	LostMore   int      `json:"lost_more,omitempty"`
	Note       string   `json:"note,omitempty"` // why its symbols are not known
}

// Findings are what the builds of two sets were told.
type Findings struct {
	Was        []string `json:"was,omitempty"` // the logs and results that were read
	Is         []string `json:"is,omitempty"`
	By         string   `json:"by,omitempty"` // what looked at both sets now, in place of these
	Gained     []string `json:"gained,omitempty"`
	Lost       []string `json:"lost,omitempty"`
	GainedMore int      `json:"gained_more,omitempty"`
	LostMore   int      `json:"lost_more,omitempty"`
	Note       string   `json:"note,omitempty"` // why they are not compared
}

// Where something differs.
const (
	InPackage = "package"
	InControl = "control.tar"
	InData    = "data.tar"
)

// Difference is one thing that differs between two packages.
type Difference struct {
	In   string `json:"in"`
	Path string `json:"path,omitempty"` // there, or the name of a field
	// added, removed, content, mode, owner, time, target, type, order, field, members, packing
	What string `json:"what"`
	Kind string `json:"kind,omitempty"` // what makes it, where that can be told
	Was  string `json:"was,omitempty"`
	Is   string `json:"is,omitempty"`
	Diff string `json:"diff,omitempty"` // of texts, unified
	// Directory tells that what was added or removed is one.
	Directory bool `json:"directory,omitempty"`
}

// String is one line for people.
func (d Difference) String() string {
	text := d.In
	if d.Path != "" {
		text += " " + d.Path
	}
	return text + ": " + d.said()
}

// said is what differs, without where.
func (d Difference) said() string {
	text := d.What
	if d.Was != "" || d.Is != "" {
		text += fmt.Sprintf(" %s → %s", orNone(d.Was), orNone(d.Is))
	}
	if d.Kind != "" {
		text += " [" + d.Kind + "]"
	}
	return text
}

func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return strings.ReplaceAll(s, "\n", " ")
}

// Bound is a list without what is too much, and how much that is.
func Bound(list []string) ([]string, int) {
	if len(list) <= MaxListed {
		return list, 0
	}
	return list[:MaxListed:MaxListed], len(list) - MaxListed
}

// Bounds of what stands in the result of a build.
const (
	shortDifferences = 500      // of all packages
	shortDiff        = 16 << 10 // bytes of one
	shortDiffs       = 256 << 10
	shortListed      = 100
)

// Short is a comparison as it stands in the result of a build: with all packages, and without what
// would make that too large. nsbuild compare shows the rest.
func (c *Comparison) Short() *Comparison {
	out := *c
	room, text := shortDifferences, shortDiffs
	out.Moved = c.Moved[:min(len(c.Moved), shortDifferences):min(len(c.Moved), shortDifferences)]
	out.Alone = slices.Clone(c.Alone[:min(len(c.Alone), shortDifferences)])
	for i := range out.Alone {
		short(&out.Alone[i].Files, &out.Alone[i].FilesMore)
	}
	out.Packages = nil
	for _, p := range c.Packages {
		// control members come first; what is said of times alone says least
		all := slices.Clone(p.Differences)
		slices.SortStableFunc(all, func(a, b Difference) int { return weight(a) - weight(b) })
		n := min(room, len(all))
		room -= n
		p.More += len(all) - n
		p.Differences = all[:n]
		for i := range p.Differences {
			d := &p.Differences[i]
			if d.In == InData || len(d.Diff) > min(shortDiff, text) {
				d.Diff = ""
			}
			text -= len(d.Diff)
		}
		p.Changes = slices.Clone(p.Changes)
		for i := range p.Changes {
			ch := &p.Changes[i]
			short(&ch.Gained, &ch.GainedMore)
			short(&ch.Lost, &ch.LostMore)
		}
		out.Packages = append(out.Packages, p)
	}
	out.Libraries = slices.Clone(c.Libraries[:min(len(c.Libraries), shortDifferences)])
	for i := range out.Libraries {
		l := &out.Libraries[i]
		short(&l.Gained, &l.GainedMore)
		short(&l.Lost, &l.LostMore)
	}
	for _, f := range []**Findings{&out.Lintian, &out.Warnings} {
		if *f != nil {
			one := **f
			short(&one.Gained, &one.GainedMore)
			short(&one.Lost, &one.LostMore)
			*f = &one
		}
	}
	return &out
}

func weight(d Difference) int {
	switch {
	case d.In == InControl:
		return 0
	case d.What == "time", d.What == "order":
		return 2
	}
	return 1
}

func short(list *[]string, more *int) {
	if n := len(*list) - shortListed; n > 0 {
		*list, *more = (*list)[:shortListed:shortListed], *more+n
	}
}
