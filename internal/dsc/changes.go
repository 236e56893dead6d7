package dsc

import (
	"io"
	"strings"

	"nsbuild/internal/fault"
)

// Changes is a .changes file (deb-changes(5)): what a build or an upload consists of.
type Changes struct {
	Path          string
	Signature     Signature
	Source        string
	SourceVersion Version // differs from Version for a binNMU
	Version       Version
	Architecture  []string // may have "source" and "all"
	Binary        []string
	Distribution  string
	Files         []File
	Paragraph     *Paragraph
}

// Buildinfo is a .buildinfo file (deb-buildinfo(5)): what a build was made of and with.
type Buildinfo struct {
	Path          string
	Signature     Signature
	Source        string
	SourceVersion Version
	Version       Version
	Architecture  []string
	BuildArch     string
	BuildPath     string    // "" when it is not recorded
	BuildTainted  []string  // Build-Tainted-By
	Installed     Relations // Installed-Build-Depends: each "name (= version)"
	Files         []File
	Paragraph     *Paragraph
	Environment   []string // each "NAME=value"
}

// artefactHint is what to do about files of a build that do not hold together.
const artefactHint = "the build wrote them so: look at the end of its log, and at what " +
	"debian/rules does after dpkg-genchanges"

// ParseChanges reads a .changes file. name is used in messages.
func ParseChanges(name string, r io.Reader, keys Keyrings) (*Changes, error) {
	c := &Changes{Path: name}
	err := func() (err error) {
		if c.Paragraph, c.Signature, err = readSigned(name, r, keys); err != nil {
			return err
		}
		p := c.Paragraph
		if err = p.required("Source", "Version", "Architecture", "Distribution",
			"Files"); err != nil {
			return err
		}
		if c.Source, c.SourceVersion, c.Version, err = p.sourceAndVersion(); err != nil {
			return err
		}
		if c.Architecture, err = p.architectures(); err != nil {
			return err
		}
		if c.Distribution, err = p.line("Distribution"); err != nil {
			return err
		}
		c.Binary = strings.Fields(p.Get("Binary"))
		if c.Files, err = p.files(true); err != nil {
			return err
		}
		return refuseOwnKind(p, "Files", c.Files, ".changes")
	}()
	if err != nil {
		return nil, refuse(fault.Attempted, artefactHint, err)
	}
	return c, nil
}

// ParseBuildinfo reads a .buildinfo file. name is used in messages.
func ParseBuildinfo(name string, r io.Reader, keys Keyrings) (*Buildinfo, error) {
	b := &Buildinfo{Path: name}
	err := func() (err error) {
		if b.Paragraph, b.Signature, err = readSigned(name, r, keys); err != nil {
			return err
		}
		p := b.Paragraph
		if err = p.required("Source", "Version", "Architecture", "Build-Architecture",
			"Checksums-Sha256"); err != nil {
			return err
		}
		if b.Source, b.SourceVersion, b.Version, err = p.sourceAndVersion(); err != nil {
			return err
		}
		if b.Architecture, err = p.architectures(); err != nil {
			return err
		}
		if b.BuildArch, err = p.line("Build-Architecture"); err != nil {
			return err
		}
		if b.BuildPath, err = p.line("Build-Path"); err != nil {
			return err
		}
		b.BuildTainted = strings.Fields(p.Get("Build-Tainted-By"))
		if b.Environment, err = p.environment(); err != nil {
			return err
		}
		if f := p.Field("Installed-Build-Depends"); f != nil {
			if b.Installed, err = p.relations(f); err != nil {
				return err
			}
		}
		if b.Files, err = p.files(false); err != nil {
			return err
		}
		return refuseOwnKind(p, "Checksums-Sha256", b.Files, ".buildinfo")
	}()
	if err != nil {
		return nil, refuse(fault.Attempted, artefactHint, err)
	}
	return b, nil
}

// environment reads lines NAME="value", in which a backslash stands before " and \.
func (p *Paragraph) environment() ([]string, error) {
	f := p.Field("Environment")
	if f == nil {
		return nil, nil
	}
	var out []string
	pos := 0
	for line := range strings.Lines(f.Value) {
		at := pos
		pos += len(line)
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=\"")
		if !ok || name == "" || !strings.HasSuffix(value, "\"") {
			return nil, p.errorf(f, at, "expected NAME=\"value\", found %s", quote(line))
		}
		out = append(out, name+"="+strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(
			strings.TrimSuffix(value, "\"")))
	}
	return out, nil
}

// sourceAndVersion reads Source, "name" or "name (version)" when the source's version differs, and
// Version.
func (p *Paragraph) sourceAndVersion() (name string, source, version Version, err error) {
	text, err := p.line("Source")
	if err != nil {
		return "", source, version, err
	}
	name, rest, differs := strings.Cut(text, " (")
	if !validPackageName(name) {
		return "", source, version,
			p.errorf(p.Field("Source"), 0, "%s is not the name of a package", quote(name))
	}
	vtext, err := p.line("Version")
	if err != nil {
		return "", source, version, err
	}
	if version, err = ParseVersion(vtext); err != nil {
		return "", source, version, p.errorf(p.Field("Version"), 0, "%v", err)
	}
	source = version
	if differs {
		if source, err = ParseVersion(strings.TrimSuffix(rest, ")")); err != nil {
			return "", source, version, p.errorf(p.Field("Source"), 0, "%v", err)
		}
	}
	return name, source, version, nil
}

// refuseOwnKind refuses a document that lists itself or another of its kind: it would be
// overwritten while it is read.
func refuseOwnKind(p *Paragraph, field string, files []File, suffix string) error {
	for _, f := range files {
		if strings.HasSuffix(f.Name, suffix) {
			return &Error{File: p.File, Line: f.line, Field: field, Reason: "lists " + f.Name +
				", but a " + suffix + " lists none"}
		}
	}
	return nil
}

// Verify checks that every listed file is there, with the promised size and hashes.
func (c *Changes) Verify(open Opener) error {
	return verifyFiles(fault.Attempted, artefactHint, c.Path, "Files", c.Files, checkContents(open))
}

// Verify checks that every listed file is there, with the promised size and hashes.
func (b *Buildinfo) Verify(open Opener) error {
	return verifyFiles(fault.Attempted, artefactHint, b.Path, "Checksums-Sha256", b.Files,
		checkContents(open))
}

// Listed finds a file by name.
func (c *Changes) Listed(name string) (File, bool) { return listed(c.Files, name) }

// Listed finds a file by name.
func (b *Buildinfo) Listed(name string) (File, bool) { return listed(b.Files, name) }

func listed(files []File, name string) (File, bool) {
	for _, f := range files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}
