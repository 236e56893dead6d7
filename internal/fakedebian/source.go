package fakedebian

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The source formats of dpkg-source(1) that Source can make.
const (
	FormatQuilt  = "3.0 (quilt)"
	FormatNative = "3.0 (native)"
	Format1      = "1.0"
)

// Source is a made-up source package. Name is all it needs: it then builds one binary package of
// that name, without debhelper.
type Source struct {
	Name, Version string // the version defaults to 1.0-1
	Format        string // default FormatQuilt, FormatNative for a version without revision
	Section       string
	Distribution  string // of the changelog; default unstable
	// Architecture of the binary package that is made up; default any.
	Architecture string
	// Packages are the binary packages; only names, architectures, relations, descriptions and
	// further fields count.
	Packages                                                []Package
	BuildDepends, BuildDependsArch, BuildDependsIndep       string
	BuildConflicts, BuildConflictsArch, BuildConflictsIndep string
	// further ones of debian/control's first paragraph and of the .dsc
	Fields []Field
	// Files is the upstream tree, Debian the files below debian/, without that prefix; they replace
	// the made-up ones of the same path.
	Files, Debian []File
	// Rules replaces the made-up debian/rules.
	Rules string
	// Compression of the tarballs; default XZ, Gzip for Format1.
	Compression Compression
	// Hashes listed in the .dsc; default MD5, SHA1 and SHA256, as dpkg-source does.
	Hashes []Hash
	// Key signs the .dsc; nil leaves it unsigned. When it was signed is Signed, default 2024.
	Key    *Key
	Signed time.Time
	// Mutate, when set, changes the .dsc before it is signed.
	Mutate func(dsc string) string
}

func (s *Source) defaults() {
	if s.Version == "" {
		s.Version = "1.0-1"
	}
	if s.Format == "" {
		s.Format = FormatQuilt
		if !strings.Contains(s.Version, "-") {
			s.Format = FormatNative
		}
	}
	if s.Section == "" {
		s.Section = "misc"
	}
	if s.Distribution == "" {
		s.Distribution = "unstable"
	}
	if s.Architecture == "" {
		s.Architecture = "any"
	}
	if len(s.Packages) == 0 {
		s.Packages = []Package{
			{Name: s.Name, Architecture: s.Architecture, Depends: "${misc:Depends}"}}
	}
	if s.Compression == "" {
		s.Compression = XZ
		if s.Format == Format1 {
			s.Compression = Gzip
		}
	}
	if s.Hashes == nil {
		s.Hashes = []Hash{MD5, SHA1, SHA256}
	}
	if s.Signed.IsZero() {
		s.Signed = packed
	}
}

// DscName is the name of the .dsc file.
func (s Source) DscName() string {
	s.defaults()
	return s.stem() + ".dsc"
}

func (s Source) stem() string { return s.Name + "_" + withoutEpoch(s.Version) }

func (s Source) upstream() string {
	v := withoutEpoch(s.Version)
	if i := strings.LastIndex(v, "-"); i >= 0 {
		v = v[:i]
	}
	return v
}

// Build makes the package's files: the .dsc first, then what it lists.
func (s Source) Build(t testing.TB) []Member {
	t.Helper()
	s.defaults()
	top := s.Name + "-" + s.upstream() + "/"
	debian := s.debian()
	var parts []Member
	switch s.Format {
	case FormatNative:
		parts = []Member{
			{s.stem() + ".tar" + s.Compression.suffix(),
				tarball(t, s.Compression, top, slices.Concat(s.Files, debian))}}
	case Format1:
		diff, err := Gzip.compress([]byte(diffOf(top, debian)))
		if err != nil {
			t.Fatal(err)
		}
		parts = []Member{
			{s.Name + "_" + s.upstream() + ".orig.tar.gz", tarball(t, Gzip, top, s.Files)},
			{s.stem() + ".diff.gz", diff},
		}
	default:
		parts = []Member{
			{s.Name + "_" + s.upstream() + ".orig.tar" + s.Compression.suffix(),
				tarball(t, s.Compression, top, s.Files)},
			{s.stem() + ".debian.tar" + s.Compression.suffix(),
				tarball(t, s.Compression, "./", debian)},
		}
	}
	f := s.paragraph()
	for _, h := range s.Hashes {
		if h != MD5 {
			f.add(h.dscField(), listing(h, parts))
		}
	}
	if slices.Contains(s.Hashes, MD5) {
		f.add(MD5.dscField(), listing(MD5, parts))
	}
	text := f.String()
	if s.Mutate != nil {
		text = s.Mutate(text)
	}
	dsc := []byte(text)
	if s.Key != nil {
		dsc = Clearsigned(t, text, s.Signed, s.Key)
	}
	return append([]Member{{s.DscName(), dsc}}, parts...)
}

func listing(h Hash, files []Member) string {
	var b strings.Builder
	for _, m := range files {
		fmt.Fprintf(&b, "\n%s %d %s", h.sum(m.Data), len(m.Data), m.Name)
	}
	return b.String()
}

// paragraph is the .dsc's, without its lists of files.
func (s Source) paragraph() fields {
	var names, list, archs []string
	for _, p := range s.Packages {
		p.defaults()
		names = append(names, p.Name)
		list = append(list, fmt.Sprintf("\n%s deb %s %s arch=%s", p.Name, p.Section, p.Priority,
			strings.ReplaceAll(p.Architecture, " ", ",")))
		for a := range strings.FieldsSeq(p.Architecture) {
			if !slices.Contains(archs, a) {
				archs = append(archs, a)
			}
		}
	}
	f := fields{}
	f.add("Format", s.Format)
	f.add("Source", s.Name)
	f.add("Binary", strings.Join(names, ", "))
	f.add("Architecture", strings.Join(archs, " "))
	f.add("Version", s.Version)
	f.add("Maintainer", maintainer)
	f.add("Standards-Version", "4.6.2")
	s.relations(&f)
	f = append(f, s.Fields...)
	f.add("Package-List", strings.Join(list, ""))
	return f
}

func (s Source) relations(f *fields) {
	f.add("Build-Depends", s.BuildDepends)
	f.add("Build-Depends-Arch", s.BuildDependsArch)
	f.add("Build-Depends-Indep", s.BuildDependsIndep)
	f.add("Build-Conflicts", s.BuildConflicts)
	f.add("Build-Conflicts-Arch", s.BuildConflictsArch)
	f.add("Build-Conflicts-Indep", s.BuildConflictsIndep)
}

// debian is the debian directory, given and made-up files together.
func (s Source) debian() []File {
	rules := s.Rules
	if rules == "" {
		rules = s.rules()
	}
	made := []File{
		{Path: "debian/changelog",
			Body: fmt.Sprintf("%s (%s) %s; urgency=medium\n\n  * Made up.\n\n -- %s  %s\n",
				s.Name, s.Version, s.Distribution, maintainer, packed.Format(time.RFC1123Z))},
		{Path: "debian/control", Body: s.control()},
		{Path: "debian/copyright",
			Body: "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: 2024 nobody\nLicense: CC0-1.0\n"},
		{Path: "debian/rules", Body: rules, Mode: 0o755},
	}
	if s.Format != Format1 {
		made = append(made, File{Path: "debian/source/format", Body: s.Format + "\n"})
	}
	var out []File
	for _, f := range s.Debian {
		f.Path = "debian/" + f.Path
		out = append(out, f)
	}
	for _, f := range made {
		if !slices.ContainsFunc(out, func(given File) bool { return given.Path == f.Path }) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (s Source) control() string {
	f := fields{}
	f.add("Source", s.Name)
	f.add("Section", s.Section)
	f.add("Priority", "optional")
	f.add("Maintainer", maintainer)
	f.add("Standards-Version", "4.6.2")
	if fields(s.Fields).get("Rules-Requires-Root") == "" {
		f.add("Rules-Requires-Root", "no")
	}
	s.relations(&f)
	f = append(f, s.Fields...)
	text := f.String()
	for _, p := range s.Packages {
		p.defaults()
		b := fields{}
		b.add("Package", p.Name)
		b.add("Architecture", p.Architecture)
		b.add("Multi-Arch", p.MultiArch)
		b.add("Depends", p.Depends)
		b.add("Provides", p.Provides)
		b.add("Description", p.Description)
		b = append(b, p.Fields...)
		text += "\n" + b.String()
	}
	return text
}

// rules builds each package with dpkg's own tools: what it holds is a copyright file and, for a
// package named like the source, whatever "make install" of the upstream tree installs, if there is
// a Makefile.
func (s Source) rules() string {
	var arch, indep []string
	for _, p := range s.Packages {
		if p.defaults(); p.Architecture == "all" {
			indep = append(indep, p.Name)
		} else {
			arch = append(arch, p.Name)
		}
	}
	return `#!/usr/bin/make -f
# Needs nothing but dpkg-dev and make.
SHELL = /bin/sh -e
MADE = $(wildcard Makefile)

build build-arch build-indep:
	$(if $(MADE),$(MAKE) all)

clean:
	$(if $(MADE),$(MAKE) clean)
	rm -rf debian/made debian/files

pack-%:
	install -d debian/made/$*/DEBIAN debian/made/$*/usr/share/doc/$*
	install -m 644 debian/copyright debian/made/$*/usr/share/doc/$*/copyright
	$(if $(MADE),if test $* = ` + s.Name + `; then $(MAKE) install DESTDIR=$(CURDIR)/debian/made/$*; fi)
	dpkg-gencontrol -p$* -Pdebian/made/$* -Tdebian/$*.substvars
	dpkg-deb --root-owner-group --build debian/made/$* ..

binary-arch: ` + packs(arch) + `
binary-indep: ` + packs(indep) + `
binary: binary-arch binary-indep

.PHONY: build build-arch build-indep clean binary binary-arch binary-indep
`
}

func packs(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, "pack-"+n)
	}
	return strings.Join(out, " ")
}

// diffOf is a unified diff that adds each file.
func diffOf(top string, files []File) string {
	var b strings.Builder
	old := strings.TrimSuffix(top, "/") + ".orig/"
	for _, f := range files {
		lines := strings.Split(strings.TrimSuffix(f.Body, "\n"), "\n")
		fmt.Fprintf(&b, "--- %s%s\n+++ %s%s\n@@ -0,0 +1,%d @@\n", old, f.Path, top, f.Path,
			len(lines))
		for _, l := range lines {
			b.WriteString("+" + l + "\n")
		}
	}
	return b.String()
}
