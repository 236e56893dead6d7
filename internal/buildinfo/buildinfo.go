// Package buildinfo reads .buildinfo files (deb-buildinfo(5)) as what they are good for: a build
// that is to be done again.
//
// It says which packages the build had, where it ran, in which environment, and what came out of
// it. Signatures and syntax are internal/dsc's to look at; where the packages are found is left to
// internal/rebuild.
package buildinfo

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Build is a build as its .buildinfo describes it.
type Build struct {
	*dsc.Buildinfo
	HostArch   string // that the packages are for
	Any, All   bool   // which packages were built: those of an architecture, those of all
	WithSource bool   // whether the source package was made, too
	Changelog  string // the entry of a binary-only upload; "" for none
	Date       time.Time
	Kernel     string // "" where it is not said, as in the other texts
	Origin     string
	Packages   []Package // that were installed, by name
	Variables  []string  // of the environment, each NAME=VALUE, in their order
}

// Package is a package that was installed.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"` // "": that of the build, or all
}

func (p Package) String() string {
	if p.Arch != "" {
		return p.Name + ":" + p.Arch + "=" + p.Version
	}
	return p.Name + "=" + p.Version
}

// maxSize bounds a .buildinfo, in bytes: one of ten thousand packages has half a million.
const maxSize = 16 << 20

// undecided is an error of a file that nothing can be decided by.
func undecided(hint, format string, args ...any) error {
	return fault.New(fault.GivenBack, hint, format, args...)
}

// Read reads a .buildinfo. Its signature is looked up in keys; one that does not fit is an error.
func Read(file string, keys dsc.Keyrings) (*Build, error) {
	text, err := regular.ReadFile(file, maxSize)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "give the path of a .buildinfo",
			fmt.Errorf("reading the .buildinfo: %w", err))
	}
	return Parse(file, text, keys)
}

// Parse is Read for a text; name is used in messages.
func Parse(name string, text []byte, keys dsc.Keyrings) (*Build, error) {
	info, err := dsc.ParseBuildinfo(name, bytes.NewReader(text), keys)
	if err != nil {
		return nil, fault.Wrap(fault.GivenBack, "", unkinded{err})
	}
	b := &Build{Buildinfo: info, Kernel: info.Paragraph.Get("Build-Kernel-Version"),
		Origin: info.Paragraph.Get("Build-Origin")}
	for _, step := range []func() error{b.readArchs, b.readPackages, b.readPath,
		b.readVariables} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if date := strings.TrimSpace(info.Paragraph.Get("Build-Date")); date != "" {
		if b.Date, err = time.Parse("Mon, _2 Jan 2006 15:04:05 -0700", date); err != nil {
			return nil, undecided("", "%s: Build-Date %q is no date", name, date)
		}
	}
	b.Changelog = changelogOf(info.Paragraph.Get("Binary-Only-Changes"))
	return b, nil
}

// unkinded is an error whose kind does not count: a .buildinfo that cannot be read is no failure of
// the package that is to be built.
type unkinded struct{ err error }

func (u unkinded) Error() string { return u.err.Error() }

// readArchs finds out what was built.
func (b *Build) readArchs() error {
	if !dsc.KnownArch(b.BuildArch) {
		return undecided("", "%s: Build-Architecture %q is not known", b.Path, b.BuildArch)
	}
	b.HostArch = b.BuildArch
	for _, a := range b.Architecture {
		switch {
		case a == "source":
			b.WithSource = true
		case a == "all":
			b.All = true
		case !dsc.KnownArch(a):
			return undecided("", "%s: Architecture %q is not known", b.Path, a)
		case b.Any && a != b.HostArch:
			return undecided("", "%s: Architecture has both %s and %s", b.Path, b.HostArch, a)
		default:
			b.Any, b.HostArch = true, a
		}
	}
	if !b.Any && !b.All {
		return undecided("a .buildinfo of a build of packages is needed",
			"%s: it is of a source package alone: there is nothing to build again", b.Path)
	}
	return nil
}

// readPackages takes the packages that were installed.
func (b *Build) readPackages() error {
	if len(b.Installed) == 0 {
		return undecided("", "%s: Installed-Build-Depends names no package", b.Path)
	}
	versions := map[string]string{}
	for _, alternatives := range b.Installed {
		r := alternatives[0]
		if len(alternatives) > 1 || r.Op != "=" || r.Archs != nil || r.Profiles != nil {
			return undecided("", "%s: Installed-Build-Depends: %s names no single version", b.Path,
				alternatives)
		}
		p := Package{Name: r.Name, Version: r.Version.String(), Arch: r.Qualifier}
		if p.Arch == b.BuildArch || p.Arch == "any" || p.Arch == "native" {
			p.Arch = ""
		}
		key := p.Name + ":" + p.Arch
		if before, twice := versions[key]; twice {
			if before == p.Version {
				continue
			}
			return undecided("", "%s: Installed-Build-Depends has %s in two versions", b.Path,
				p.Name)
		}
		versions[key] = p.Version
		b.Packages = append(b.Packages, p)
	}
	slices.SortFunc(b.Packages, func(a, c Package) int {
		return strings.Compare(a.String(), c.String())
	})
	return nil
}

// readPath refuses a path that no source can be unpacked at.
func (b *Build) readPath() error {
	p := b.BuildPath
	if p == "" {
		return nil
	}
	top, rest, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	if !path.IsAbs(p) || path.Clean(p) != p || rest == "" || len(p) > 1024 ||
		slices.Contains([]string{"dev", "proc", "sys", "run"}, top) ||
		strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return undecided("", "%s: Build-Path %q is no directory that a package can be built in",
			b.Path, p)
	}
	return nil
}

// readVariables takes the environment, but for what says where programs are and who runs them.
func (b *Build) readVariables() error {
	seen := map[string]bool{}
	for _, v := range b.Environment {
		name, _, _ := strings.Cut(v, "=")
		if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") !=
			"" || seen[name] || strings.ContainsRune(v, 0) {
			return undecided("", "%s: Environment: %q is no variable, or there twice", b.Path, v)
		}
		seen[name] = true
		switch name {
		case "PATH", "HOME", "SHELL", "USER", "LOGNAME":
		default:
			b.Variables = append(b.Variables, v)
		}
	}
	return nil
}

// changelogOf makes the entry of a changelog of a field's value.
func changelogOf(value string) string {
	lines := strings.Split(strings.Trim(value, "\n"), "\n")
	for i, l := range lines {
		if strings.TrimSpace(l) == "." {
			lines[i] = ""
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// Results are the files that came out of it and that a build of the packages makes again: not the
// source package, which its maintainer has signed since.
func (b *Build) Results() (results []dsc.File, left []string) {
	for _, f := range b.Files {
		if strings.HasSuffix(f.Name, ".deb") || strings.HasSuffix(f.Name, ".udeb") ||
			!b.WithSource {
			results = append(results, f)
			continue
		}
		left = append(left, f.Name)
	}
	return results, left
}
