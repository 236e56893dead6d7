package dsc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Source is a source package, as its .dsc describes it.
type Source struct {
	Path         string // the document, as the caller named it
	Signature    Signature
	Format       string // "1.0", "3.0 (quilt)"
	Name         string
	Version      Version
	Binary       []string // names of its binary packages
	Architecture []string // architectures and wildcards; "all" among them
	Maintainer   string
	Standards    string // Standards-Version
	PackageList  []ListedPackage
	Files        []File // not the .dsc itself
	Paragraph    *Paragraph
	BuildRelations
}

// ListedPackage is one line of Package-List.
type ListedPackage struct {
	Name, Type, Section, Priority string
	Archs                         []string   // nil when not said
	Profiles                      [][]string // of the profile= key: one inner list must hold
	Essential                     bool
}

// dscHint is what to do about a .dsc that cannot be used.
const dscHint = "fetch the source package again, or have dpkg-source -b write a new .dsc"

// Open reads a .dsc, looks at its signature with the keys of keyrings, and parses the signed text.
// It does not look at the files it lists: see Verify. A signature that does not fit is an error;
// one that is absent or by an unknown key is reported in Source.Signature.
func Open(path string, keys Keyrings) (*Source, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, fault.Wrap(fault.GivenBack, "give the path of a .dsc file",
			fmt.Errorf("reading the source package: %w", err))
	}
	defer f.Close()
	return Parse(path, f, keys)
}

// Parse is Open for a document that comes from r; name is used in messages and must end in the
// .dsc's file name.
func Parse(name string, r io.Reader, keys Keyrings) (*Source, error) {
	p, sig, err := readSigned(name, r, keys)
	if err == nil {
		var s *Source
		if s, err = sourceOf(p); err == nil {
			s.Path, s.Signature = name, sig
			return s, nil
		}
	}
	return nil, refuse(fault.GivenBack, dscHint, err)
}

// readSigned reads a document of one paragraph that may be signed.
func readSigned(name string, r io.Reader, keys Keyrings) (*Paragraph, Signature, error) {
	doc, err := readLimited(name, r)
	if err != nil {
		return nil, Signature{}, err
	}
	text, skip, sig, err := openSigned(name, doc, keys)
	if err != nil {
		return nil, Signature{}, err
	}
	paras, err := parseControl(name, text, skip)
	if err != nil {
		return nil, Signature{}, err
	}
	switch len(paras) {
	case 0:
		return nil, Signature{},
			&Error{File: name, Reason: "has no fields: it is empty or not a Debian control file"}
	case 1:
		return paras[0], sig, nil
	}
	return nil, Signature{},
		&Error{File: name, Line: paras[1].Line,
			Reason: "a second paragraph begins here; there must be one"}
}

// required reports the first of the fields that is missing or empty.
func (p *Paragraph) required(names ...string) error {
	for _, n := range names {
		f := p.Field(n)
		if f == nil {
			return &Error{File: p.File, Field: n, Reason: "is missing, but mandatory"}
		}
		if strings.TrimSpace(f.Value) == "" {
			return p.errorf(f, 0, "is empty, but mandatory")
		}
	}
	return nil
}

// nameAndVersion reads a package's name from a field, and Version.
func (p *Paragraph) nameAndVersion(field string) (string, Version, error) {
	name, err := p.line(field)
	if err != nil {
		return "", Version{}, err
	}
	if !validPackageName(name) {
		return "", Version{}, p.errorf(p.Field(field), 0, "%s is not the name of a package",
			quote(name))
	}
	text, err := p.line("Version")
	if err != nil {
		return "", Version{}, err
	}
	v, err := ParseVersion(text)
	if err != nil {
		return "", Version{}, p.errorf(p.Field("Version"), 0, "%v", err)
	}
	return name, v, nil
}

func sourceOf(p *Paragraph) (*Source, error) {
	if err := p.required("Format", "Source", "Version", "Architecture", "Files"); err != nil {
		return nil, err
	}
	s := &Source{Paragraph: p, Maintainer: p.folded("Maintainer"),
		Standards: p.folded("Standards-Version")}
	var err error
	if s.Format, err = p.line("Format"); err != nil {
		return nil, err
	}
	if s.Name, s.Version, err = p.nameAndVersion("Source"); err != nil {
		return nil, err
	}
	if s.Architecture, err = p.architectures(); err != nil {
		return nil, err
	}
	s.Binary = strings.FieldsFunc(p.Get("Binary"), func(r rune) bool {
		return r == ',' || r == ' ' || r == '\n' || r == '\t'
	})
	for _, b := range s.Binary {
		if !validPackageName(b) {
			return nil, p.errorf(p.Field("Binary"), 0, "%s is not the name of a package", quote(b))
		}
	}
	if s.BuildRelations, err = p.buildRelations(); err != nil {
		return nil, err
	}
	if s.PackageList, err = p.packageList(); err != nil {
		return nil, err
	}
	if s.Files, err = p.files(false); err != nil {
		return nil, err
	}
	for i := range s.Files {
		f := &s.Files[i]
		if !strings.HasPrefix(f.Name, s.Name+"_") {
			return nil, &Error{File: p.File, Line: f.line, Field: "Files",
				Reason: fmt.Sprintf(
					"%s does not belong to the source package %s: its name must begin with %s_",
					f.Name, s.Name, s.Name)}
		}
		if f.Name == s.DscName() {
			return nil, &Error{File: p.File, Line: f.line, Field: "Files",
				Reason: f.Name + " lists itself"}
		}
	}
	return s, nil
}

func (p *Paragraph) architectures() ([]string, error) {
	archs := strings.Fields(p.Get("Architecture"))
	for _, a := range archs {
		if !isWord(a) {
			return nil, p.errorf(p.Field("Architecture"), 0, "%s is no architecture", quote(a))
		}
	}
	return archs, nil
}

// buildRelations reads Build-Depends and its kin.
func (p *Paragraph) buildRelations() (BuildRelations, error) {
	var out BuildRelations
	for _, x := range out.fields() {
		f := p.Field(x.name)
		if f == nil {
			continue
		}
		r, err := p.relations(f)
		if err != nil {
			return out, err
		}
		if strings.HasPrefix(x.name, "Build-Conflicts") {
			for _, alts := range r {
				if len(alts) > 1 {
					return out, p.errorf(f, 0, "%s: alternatives have no meaning in conflicts",
						quote(alts.String()))
				}
			}
		}
		*x.to = r
	}
	return out, nil
}

// relations parses the value of a relation field.
func (p *Paragraph) relations(f *Field) (Relations, error) {
	r, err := parseRelations(f.Value, true)
	var at *RelationError
	switch {
	case errors.As(err, &at):
		return nil, p.errorf(f, at.Pos, "%s", at.Reason)
	case err != nil:
		return nil, p.errorf(f, 0, "%v", err)
	}
	return r, nil
}

// packageList reads Package-List (deb-src-control and dsc(5)): name, type, section, priority, then
// key=value.
func (p *Paragraph) packageList() ([]ListedPackage, error) {
	f := p.Field("Package-List")
	if f == nil {
		return nil, nil
	}
	var out []ListedPackage
	pos := 0
	for line := range strings.Lines(f.Value) {
		at := pos
		pos += len(line)
		cols := strings.Fields(line)
		if len(cols) == 0 {
			continue
		}
		if len(cols) < 4 || !validPackageName(cols[0]) {
			return nil,
				p.errorf(f, at, "expected name, type, section and priority of a package, found %s",
					quote(strings.TrimSpace(line)))
		}
		l := ListedPackage{Name: cols[0], Type: cols[1], Section: cols[2], Priority: cols[3]}
		for _, kv := range cols[4:] {
			switch key, value, _ := strings.Cut(kv, "="); key {
			case "arch":
				l.Archs = strings.Split(value, ",")
			case "profile":
				l.Profiles = profileList(value)
			case "essential":
				l.Essential = value == "yes"
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// profileList reads the form that Package-List gives to a formula: "+" stands between lists, ","
// between the terms of one.
func profileList(value string) [][]string {
	var out [][]string
	for list := range strings.SplitSeq(value, "+") {
		out = append(out, strings.Split(list, ","))
	}
	return out
}

// Verify checks that every listed file is there, with the promised size and hashes.
func (s *Source) Verify(open Opener) error { return s.verify(checkContents(open)) }

// Present checks that every listed file is in dir, with the promised size. It reads no file, so it
// can be asked before anything is done for a build; what the files contain is Verify's.
func (s *Source) Present(dir string) error { return s.verify(checkSizes(dir)) }

func (s *Source) verify(check func(*File) error) error {
	return verifyFiles(fault.GivenBack,
		"fetch the source package again, for instance with: apt-get source --download-only "+s.Name,
		s.Path, "Files", s.Files, check)
}

// DirName is where dpkg-source -x unpacks by default: NAME-UPSTREAM.
func (s *Source) DirName() string { return s.Name + "-" + s.Version.Upstream() }

// PkgVer is NAME_VERSION without the epoch: what file names begin with.
func (s *Source) PkgVer() string { return PkgVer(s.Name, s.Version) }

// DscName is the name that its .dsc has in an archive.
func (s *Source) DscName() string { return s.PkgVer() + ".dsc" }

// PkgVer is NAME_VERSION without the epoch.
func PkgVer(name string, v Version) string { return name + "_" + v.FileName() }

// WeakFiles are the files for which the .dsc promises neither SHA256 nor SHA512.
func (s *Source) WeakFiles() []string {
	var out []string
	for _, f := range s.Files {
		if f.SHA256 == "" && f.SHA512 == "" {
			out = append(out, f.Name)
		}
	}
	return out
}

// BuildsOn tells whether there is something to build for a host architecture: its Architecture
// field covers it, or has "all" and architecture-independent packages are wanted. When not,
// sbuild's outcome is "skipped".
func (s *Source) BuildsOn(c Context) bool {
	for _, a := range s.Architecture {
		if a == "all" {
			if c.ArchAll {
				return true
			}
		} else if MatchArch(c.HostArch, a) {
			return true
		}
	}
	return false
}

// HasArch tells whether the Architecture field covers an architecture, "all" included.
func (s *Source) HasArch(arch string) bool {
	if arch == "all" {
		return slices.Contains(s.Architecture, "all")
	}
	return slices.ContainsFunc(s.Architecture, func(a string) bool {
		return a != "all" && MatchArch(arch, a)
	})
}
