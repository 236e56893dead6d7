package dsc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Tree is an unpacked source package: a directory with debian/control and debian/changelog.
type Tree struct {
	Dir       string
	Name      string
	Version   Version
	Changelog Entry
	// Released are the distributions that older entries name, the newest first, where the newest is
	// not released.
	Released []string
	Format   string // of debian/source/format; "1.0" when there is none
	Control  Control
}

// Control is debian/control.
type Control struct {
	Source    string
	Packages  []ControlPackage
	Paragraph *Paragraph // the source paragraph
	BuildRelations
}

// ControlPackage is the paragraph of one binary package.
type ControlPackage struct {
	Name     string
	Type     string // Package-Type: "deb" or "udeb"
	Archs    []string
	Profiles [][]string // Build-Profiles
	Provides string     // as it is written, substitution variables included
}

// Architecture is what the .dsc's Architecture field would list: each architecture and wildcard of
// the binary packages, once.
func (c *Control) Architecture() []string {
	var out []string
	for _, p := range c.Packages {
		for _, a := range p.Archs {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// OpenTree reads debian/control, debian/changelog and debian/source/format of a source directory.
// Symbolic links that lead out of dir are not followed.
func OpenTree(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap(fault.GivenBack, "give a directory that exists",
			fmt.Errorf("reading the source directory: %w", err))
	}
	defer root.Close()
	t := &Tree{Dir: dir, Format: "1.0"}
	read := func(name string, parse func(path string, r io.Reader) error) error {
		f, err := regular.OpenIn(root, name)
		if err != nil {
			return err
		}
		defer f.Close()
		return parse(filepath.Join(dir, name), f)
	}
	steps := []struct {
		name  string
		parse func(string, io.Reader) error
	}{
		{"debian/changelog", func(path string, r io.Reader) error {
			text, err := io.ReadAll(io.LimitReader(r, maxControl))
			if err != nil {
				return err
			}
			e, err := ParseChangelog(path, bytes.NewReader(text))
			if err != nil {
				return err
			}
			t.Changelog, t.Name, t.Version = *e, e.Source, e.Version
			if e.Unreleased() {
				t.Released = distributions(text)
			}
			return nil
		}},
		{"debian/control", func(path string, r io.Reader) error {
			c, err := ParseSourceControl(path, r)
			if err == nil {
				t.Control = *c
			}
			return err
		}},
		{"debian/source/format", func(_ string, r io.Reader) error {
			text, err := io.ReadAll(io.LimitReader(r, 4096))
			if f := strings.TrimSpace(string(text)); f != "" {
				t.Format = f
			}
			return err
		}},
	}
	for i, s := range steps {
		err := read(s.name, s.parse)
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) && i == len(steps)-1: // format 1.0
		case errors.Is(err, fs.ErrNotExist):
			return nil, fault.New(fault.GivenBack, "give a directory that holds a Debian source "+
				"package, a .dsc, or the name of a package",
				"%s is not a source package: it has no %s", dir, s.name)
		default:
			return nil, refuse(fault.GivenBack, "correct the file", err)
		}
	}
	if t.Control.Source != t.Name {
		return nil, fault.New(fault.GivenBack, "make both say the same",
			"%s: debian/changelog is of %s, but debian/control of %s", dir, t.Name,
			t.Control.Source)
	}
	return t, nil
}

// ParseSourceControl reads debian/control: the source paragraph, and of each binary package what
// says whether it is built.
func ParseSourceControl(name string, r io.Reader) (*Control, error) {
	paras, err := ParseControl(name, r)
	if err != nil {
		return nil, err
	}
	if len(paras) == 0 {
		return nil, &Error{File: name, Reason: "has no fields"}
	}
	p := paras[0]
	if err := p.required("Source"); err != nil {
		return nil, err
	}
	c := &Control{Paragraph: p, Source: p.folded("Source")}
	if !validPackageName(c.Source) {
		return nil, p.errorf(p.Field("Source"), 0, "%s is not the name of a package",
			quote(c.Source))
	}
	if c.BuildRelations, err = p.buildRelations(); err != nil {
		return nil, err
	}
	for _, p := range paras[1:] {
		b, err := controlPackage(p)
		if err != nil {
			return nil, err
		}
		c.Packages = append(c.Packages, b)
	}
	if len(c.Packages) == 0 {
		return nil, &Error{File: name, Reason: "describes no binary package"}
	}
	return c, nil
}

func controlPackage(p *Paragraph) (ControlPackage, error) {
	b := ControlPackage{Name: p.folded("Package"), Type: p.folded("Package-Type"),
		Provides: p.folded("Provides")}
	if b.Type == "" {
		b.Type = "deb"
	}
	if err := p.required("Package", "Architecture"); err != nil {
		var e *Error
		if errors.As(err, &e) && e.Line == 0 {
			e.Line = p.Line
		}
		return b, err
	}
	if !validPackageName(b.Name) {
		return b, p.errorf(p.Field("Package"), 0, "%s is not the name of a package", quote(b.Name))
	}
	var err error
	if b.Archs, err = p.architectures(); err != nil {
		return b, err
	}
	if f := p.Field("Build-Profiles"); f != nil {
		parser := relationParser{text: f.Value}
		parser.space()
		r := Relation{Name: b.Name}
		if err := parser.profiles(&r); err != nil {
			return b, p.errorf(f, parser.pos, "%v", err)
		}
		if !parser.done() {
			return b, p.errorf(f, parser.pos, "%s: expected profiles in < >",
				quote(f.Value[parser.pos:]))
		}
		b.Profiles = r.Profiles
	}
	return b, nil
}
