package debcompare

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Schema is the number of the format of a report in JSON.
const Schema = 1

// Report is what differs between two sets of packages.
type Report struct {
	Schema   int        `json:"schema"`
	Was      string     `json:"was"` // as they were asked for
	Is       string     `json:"is"`
	Same     bool       `json:"same"`             // byte by byte
	Gained   []string   `json:"gained,omitempty"` // packages, as NAME_ARCHITECTURE
	Lost     []string   `json:"lost,omitempty"`
	Moved    []Move     `json:"moved,omitempty"`
	Packages []Compared `json:"packages,omitempty"`
	// Escaped is set while the report is in its file; see rawjson.Legible.
	Escaped []string `json:"escaped,omitempty"`
}

// Move is a file that another package has now.
type Move struct {
	Path string `json:"path"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Compared is a package that both sets have.
type Compared struct {
	Name        string       `json:"name"` // NAME_ARCHITECTURE
	Was         string       `json:"was"`  // its version
	Is          string       `json:"is"`
	WasSize     int64        `json:"was_size"` // of the .deb, in bytes
	IsSize      int64        `json:"is_size"`
	Same        bool         `json:"same"`
	Differences []Difference `json:"differences,omitempty"`
}

// Package is a .deb of a set.
type Package struct {
	File, Name, Version string // Name is NAME_ARCHITECTURE
	size                int64
}

// Set lists the packages that a .changes, a .buildinfo, a directory or a .deb stands for.
func Set(ctx context.Context, name string) ([]Package, error) {
	const hint = "give a .changes, a .buildinfo, a .deb, or a directory with .debs"
	st, err := os.Stat(name)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, err)
	}
	var files []string
	switch ext := filepath.Ext(name); {
	case st.IsDir():
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		for _, e := range entries {
			files = append(files, filepath.Join(name, e.Name()))
		}
	case ext == ".deb" || ext == ".udeb":
		files = []string{name}
	case ext == ".changes" || ext == ".buildinfo":
		if files, err = listed(name); err != nil {
			return nil, err
		}
	default:
		return nil, fault.New(fault.Usage, hint, "%s is no set of packages", name)
	}
	files = slices.DeleteFunc(files, func(f string) bool {
		return filepath.Ext(f) != ".deb" && filepath.Ext(f) != ".udeb"
	})
	if len(files) == 0 {
		return nil, fault.New(fault.Usage, hint, "%s has no package", name)
	}
	return identify(ctx, files)
}

// maxListed bounds a .changes and a .buildinfo, in bytes.
const maxListed = 16 << 20

// listed are the files that a .changes or a .buildinfo names.
func listed(name string) (files []string, err error) {
	text, err := regular.ReadFile(name, maxListed)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", err)
	}
	var all []dsc.File
	if filepath.Ext(name) == ".changes" {
		c, err := dsc.ParseChanges(name, strings.NewReader(string(text)), nil)
		if err != nil {
			return nil, fault.New(fault.Usage, "", "%w", err)
		}
		all = c.Files
	} else {
		b, err := dsc.ParseBuildinfo(name, strings.NewReader(string(text)), nil)
		if err != nil {
			return nil, fault.New(fault.Usage, "", "%w", err)
		}
		all = b.Files
	}
	for _, f := range all {
		files = append(files, filepath.Join(filepath.Dir(name), f.Name))
	}
	return files, nil
}

// identify reads what packages are called.
func identify(ctx context.Context, files []string) (all []Package, err error) {
	seen := map[string]string{}
	for _, file := range files {
		r, f, err := open(ctx, file)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		control := fields(r.ControlFile("control").Body)
		st, err := os.Stat(file)
		if err == nil {
			err = r.Close()
		}
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		p := Package{File: file, Name: get(control, "Package") + "_" + get(control, "Architecture"),
			Version: get(control, "Version"), size: st.Size()}
		if other, twice := seen[p.Name]; twice {
			return nil, fault.New(fault.Usage, "leave one of them out",
				"%s and %s are both of %s", other, file, p.Name)
		}
		seen[p.Name] = file
		all = append(all, p)
	}
	return all, nil
}

// Sets compares two sets of packages.
func Sets(ctx context.Context, was, is string) (*Report, error) {
	a, err := Set(ctx, was)
	if err != nil {
		return nil, err
	}
	b, err := Set(ctx, is)
	if err != nil {
		return nil, err
	}
	r := &Report{Schema: Schema, Was: was, Is: is}
	x, y := byName(a), byName(b)
	gone, come := map[string][]string{}, map[string][]string{} // paths: packages
	for _, name := range union(x, y) {
		p, before := x[name]
		q, now := y[name]
		switch {
		case !before:
			r.Gained = append(r.Gained, name)
			if err := paths(ctx, q.File, name, come); err != nil {
				return nil, err
			}
		case !now:
			r.Lost = append(r.Lost, name)
			if err := paths(ctx, p.File, name, gone); err != nil {
				return nil, err
			}
		default:
			c := Compared{Name: name, Was: p.Version, Is: q.Version, WasSize: p.size,
				IsSize: q.size}
			if c.Differences, err = Debs(ctx, p.File, q.File); err != nil {
				return nil, err
			}
			c.Same = len(c.Differences) == 0
			noteMoves(c, gone, come)
			r.Packages = append(r.Packages, c)
		}
	}
	r.moves(gone, come)
	r.Same = len(r.Gained)+len(r.Lost) == 0 &&
		!slices.ContainsFunc(r.Packages, func(c Compared) bool { return !c.Same })
	return r, nil
}

func byName(all []Package) map[string]Package {
	m := map[string]Package{}
	for _, p := range all {
		m[p.Name] = p
	}
	return m
}

// paths notes the files of a package that only one of the sets has.
func paths(ctx context.Context, file, name string, into map[string][]string) error {
	c, err := read(ctx, file)
	if err != nil {
		return err
	}
	for path, e := range c.entries {
		if e.kind != tar.TypeDir { // directories are everybody's
			into[path] = append(into[path], name)
		}
	}
	return nil
}

// noteMoves notes the files that a package has gained or lost.
func noteMoves(c Compared, gone, come map[string][]string) {
	for _, d := range c.Differences {
		switch {
		case d.In != InData || d.directory:
		case d.What == "removed":
			gone[d.Path] = append(gone[d.Path], c.Name)
		case d.What == "added":
			come[d.Path] = append(come[d.Path], c.Name)
		}
	}
}

// moves finds the files that one package has lost and another has gained.
func (r *Report) moves(gone, come map[string][]string) {
	for _, path := range union(gone, come) {
		if len(gone[path]) == 1 && len(come[path]) == 1 {
			r.Moved = append(r.Moved, Move{path, gone[path][0], come[path][0]})
		}
	}
}

// Summary is one line for people.
func (c Compared) Summary() string {
	text := c.Name + " " + c.Was
	if c.Was != c.Is {
		text += " → " + c.Is
	}
	if c.Same {
		return text + ": the same bytes"
	}
	text += ": " + fault.Count(len(c.Differences), "difference", "differences")
	if c.WasSize != c.IsSize {
		text += fmt.Sprintf(", %d → %d bytes", c.WasSize, c.IsSize)
	}
	return text
}
