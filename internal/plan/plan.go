// Package plan is a build that has been planned and not begun: everything that decides its result,
// resolved and pinned, as a file. Whoever builds a plan builds over the same packages from the same
// source, whatever the mirrors have become.
//
// Its schema has a number, as a result's has. The package holds the types, and writes and reads
// them; how a plan comes to be, and is built, is left to internal/pkgbuild.
package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/fault"
	"nsbuild/internal/rawjson"
)

// Schema is the number of the format that this package writes.
const Schema = 1

// Suffix is how the name of a plan's file ends.
const Suffix = ".plan.json"

// Plan is one build. Times are UTC (RFC 3339), sizes bytes; hashes are lower-case hexadecimal.
type Plan struct {
	Schema  int       `json:"schema"`
	Program string    `json:"program"` // "nsbuild 0.1.0"
	Created time.Time `json:"created"`

	Source Source `json:"source"`
	Target Target `json:"target"`
	Kind   Kind   `json:"kind"`
	Base   Base   `json:"base"`
	// what the packages below were found in
	Repositories []Repository `json:"repositories,omitempty"`
	Dependencies Dependencies `json:"dependencies"`
	Environment  []string     `json:"environment"` // NAME=VALUE, before hooks change it
	Limits       Limits       `json:"limits"`
	Hooks        []Hook       `json:"hooks,omitempty"`

	// Escaped are the JSON Pointers (RFC 6901) of texts above that are not UTF-8, and so written
	// otherwise (see internal/rawjson). It is set when the plan is written.
	Escaped []string `json:"escaped,omitempty"`
}

// Source says what is built: a source package by its files, or a directory.
type Source struct {
	Name    string `json:"name"`
	Version string `json:"version"` // with its epoch
	From    string `json:"from"`    // as asked for: a path, a URL, a name
	DSC     string `json:"dsc,omitempty"`
	// the text of the .dsc
	Text  string `json:"text,omitempty"`
	Dir   string `json:"dir,omitempty"` // where the files lie; "" for those that were fetched
	Files []File `json:"files,omitempty"`
	Tree  string `json:"tree,omitempty"` // a source directory
	// of the directory's names, kinds, modes and contents, and of the upstream tarballs beside it
	TreeDigest string `json:"tree_digest,omitempty"`
}

// File is a file of a source package.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	URL    string `json:"url,omitempty"`
}

// Target says for what it is built.
type Target struct {
	Distribution string   `json:"distribution"`
	Asked        bool     `json:"asked"` // it was asked for by name, and the .changes are for it
	BuildArch    string   `json:"build_arch"`
	HostArch     string   `json:"host_arch"`
	BuildType    string   `json:"build_type"` // as dpkg-buildpackage --build takes it
	Profiles     []string `json:"profiles,omitempty"`
	Options      []string `json:"deb_build_options,omitempty"`
}

// Kind says how packages are made of the source.
type Kind struct {
	BinNMU            string   `json:"binnmu,omitempty"`
	BinNMUVersion     int      `json:"binnmu_version,omitempty"`
	EntryDate         string   `json:"entry_date,omitempty"` // of the changelog's own entry
	BinNMUChangelog   string   `json:"binnmu_changelog,omitempty"`
	AppendToVersion   string   `json:"append_to_version,omitempty"`
	SourceOnlyChanges bool     `json:"source_only_changes,omitempty"`
	BuildOptions      []string `json:"buildpackage_options,omitempty"`
	SourceOptions     []string `json:"source_options,omitempty"`
	Maintainer        string   `json:"maintainer,omitempty"`
	Uploader          string   `json:"uploader,omitempty"`
}

// Base is the base that is built over.
type Base struct {
	Name       string `json:"name"`
	Generation int    `json:"generation"`
	Digest     string `json:"digest"` // of its packages, and of what else was done to it
	// all that it has installed; a lock says it, and a plan need not
	Packages []Package `json:"packages,omitempty"`
}

// Repository is a suite of an archive.
type Repository struct {
	URI        string    `json:"uri"`
	Suite      string    `json:"suite"`
	Components []string  `json:"components,omitempty"`
	Date       time.Time `json:"date,omitzero"`
	SHA256     string    `json:"sha256,omitempty"` // of the Release file's signed text
}

// Dependencies are what is installed for the build beyond the base.
type Dependencies struct {
	Resolver  string    `json:"resolver"`
	Depends   string    `json:"depends"` // for these architectures, profiles and kind of build
	Conflicts string    `json:"conflicts,omitempty"`
	Added     Added     `json:"added"`
	Packages  []Package `json:"packages"` // that the base lacks, as apt wants them
}

// Added are relations beyond those of the source, as they were given.
type Added struct {
	Depends        []string `json:"depends,omitempty"`
	DependsArch    []string `json:"depends_arch,omitempty"`
	DependsIndep   []string `json:"depends_indep,omitempty"`
	Conflicts      []string `json:"conflicts,omitempty"`
	ConflictsArch  []string `json:"conflicts_arch,omitempty"`
	ConflictsIndep []string `json:"conflicts_indep,omitempty"`
	Alternatives   string   `json:"alternatives,omitempty"` // yes, no, or as the resolver does
}

// Package is a binary package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	SHA512  string `json:"sha512,omitempty"` // where the archive promises it, too
	URI     string `json:"uri"`              // of its repository
	File    string `json:"file"`             // there
	// Release is the SHA-256 of the Release file whose lists name it; "": none is known
	Release string `json:"release,omitempty"`
}

// Limits bound the build.
type Limits struct {
	Memory     int64   `json:"memory,omitempty"`
	Processors float64 `json:"processors,omitempty"`
	Processes  int64   `json:"processes,omitempty"`
	MaxResults int64   `json:"max_results,omitempty"`
}

// Hook is what runs at a moment of the build.
type Hook struct {
	Stage  string   `json:"stage"` // see docs/hooks.md
	Names  []string `json:"names"`
	Digest string   `json:"digest"` // of their files, and of what they are told
}

// Write stores a plan, in one step. Its schema is set.
func Write(path string, p *Plan) error {
	out := *p
	out.Schema, out.Escaped = Schema, nil
	out, out.Escaped = rawjson.Legible(out)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(out)
	if err == nil {
		err = atomicfile.Write(path, text.Bytes(), atomicfile.Options{Mode: 0o644, Sync: true})
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// maxPlan is more than a plan has, in bytes: one line of it for each of some thousand packages.
const maxPlan = 64 << 20

// Read reads a plan. One of another schema is refused, and one with fields that are not known: they
// would decide about the build.
func Read(path string) (*Plan, error) {
	p, err := read(path)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", fmt.Errorf("reading the plan %s: %w", path, err))
	}
	return p, nil
}

func read(path string) (*Plan, error) {
	if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if st.Size() > maxPlan {
		return nil, errors.New("it is larger than any plan")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var number struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &number); err != nil {
		return nil, err
	}
	if number.Schema != Schema {
		return nil, fmt.Errorf("it has schema %d, this program knows %d", number.Schema, Schema)
	}
	var p Plan
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, err
	}
	if err := rawjson.Exact(&p, p.Escaped); err != nil {
		return nil, err
	}
	p.Escaped = nil
	return &p, nil
}
