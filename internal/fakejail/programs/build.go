package programs

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// checksums are the fields with the hashes of files; those of a .changes have sections, too.
func checksums(dir string, names []string, sections bool) (string, error) {
	var s1, s256, m5 strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		section := ""
		if sections {
			section = "misc optional "
		}
		fmt.Fprintf(&s1, " %x %d %s\n", sha1.Sum(data), len(data), name)
		fmt.Fprintf(&s256, " %x %d %s\n", sha256.Sum256(data), len(data), name)
		fmt.Fprintf(&m5, " %x %d %s%s\n", md5.Sum(data), len(data), section, name)
	}
	return "Checksums-Sha1:\n" + s1.String() + "Checksums-Sha256:\n" + s256.String() + "Files:\n" +
		m5.String(), nil
}

// kinds are the options of dpkg-buildpackage that say what is built.
var kinds = map[string]string{"-b": "binary", "-B": "any", "-A": "all", "-F": "full",
	"-G": "source,any", "-g": "source,all", "-S": "source"}

// architecture is that of the jail's dpkg.
func architecture(p *fakejail.Proc) string {
	all, err := readStatus(p)
	if err != nil {
		return ""
	}
	return native(all)
}

// BuildPackage is dpkg-buildpackage. It builds what debian/control says, by nothing but that.
func BuildPackage(_ context.Context, p *fakejail.Proc) sandbox.Status {
	kind, arch := "full", architecture(p)
	for _, arg := range p.Argv[1:] {
		if k, ok := kinds[arg]; ok {
			kind = k
		}
		if k, ok := strings.CutPrefix(arg, "--build="); ok {
			kind = k
		}
		if a, ok := strings.CutPrefix(arg, "-a"); ok {
			arch = a
		}
	}
	p.Printf("dpkg-buildpackage: info: source package in %s\n", p.Dir)
	if err := build(p, kind, arch); err != nil {
		return p.Fail(err)
	}
	return fakejail.Exit(0)
}

func build(p *fakejail.Proc, kind, arch string) error {
	dir := host(p, ".")
	above := filepath.Dir(dir)
	has := func(one string) bool {
		return slices.Contains(strings.Split(kind, ","), one) || kind == "full" ||
			kind == "binary" && one != "source"
	}
	s, err := readSource(dir)
	if err != nil {
		return err
	}
	var files, archs []string
	if has("source") {
		if s, err = packSource(dir); err != nil {
			return err
		}
		files, archs = append(files, s.files...), append(archs, "source")
	}
	for i, c := range s.control.Packages {
		is := arch
		switch {
		case slices.Contains(c.Archs, "all"):
			if is = "all"; !has("all") {
				continue
			}
		case !has("any") || !slices.ContainsFunc(c.Archs, func(a string) bool {
			return dsc.MatchArch(arch, a)
		}):
			continue
		}
		name, err := s.binary(above, s.packages[i], is)
		if err != nil {
			return err
		}
		if files = append(files, name); !slices.Contains(archs, is) {
			archs = append(archs, is)
		}
	}
	suffix := arch
	if !has("any") {
		if suffix = "all"; !has("all") {
			suffix = "source"
		}
	}
	stem := dsc.PkgVer(s.control.Source, s.entry.Version) + "_" + suffix
	info, err := s.buildinfo(above, archs, arch, files)
	if err == nil {
		err = os.WriteFile(filepath.Join(above, stem+".buildinfo"), []byte(info), 0o644)
	}
	if err != nil {
		return err
	}
	text, err := s.changes(dir, archs, append(files, stem+".buildinfo"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(above, stem+".changes"), []byte(text), 0o644)
}

// binary makes a binary package.
func (s *packed) binary(dir string, about *dsc.Paragraph, arch string) (file string, err error) {
	name, version := about.Get("Package"), s.entry.Version
	var control strings.Builder
	fmt.Fprintf(&control, "Package: %s\n", name)
	if name != s.control.Source {
		fmt.Fprintf(&control, "Source: %s\n", s.control.Source)
	}
	fmt.Fprintf(&control, "Version: %s\nArchitecture: %s\nMaintainer: %s\n", version, arch,
		s.control.Paragraph.Get("Maintainer"))
	for _, field := range []string{"Depends", "Conflicts", "Recommends"} {
		var all []string
		for one := range strings.SplitSeq(about.Get(field), ",") {
			if one = strings.TrimSpace(one); one != "" && !strings.HasPrefix(one, "${") {
				all = append(all, one)
			}
		}
		if len(all) > 0 {
			fmt.Fprintf(&control, "%s: %s\n", field, strings.Join(all, ", "))
		}
	}
	fmt.Fprintf(&control, "Description: %s\n", about.Get("Description"))
	p := deb.Package{Control: control.String(), Scripts: map[string]string{},
		Files: []deb.File{{Path: "/usr/share/doc/" + name + "/copyright", Body: []byte("free\n")}}}
	for _, field := range []string{"Postinst", "Postrm"} { // which tests give a package
		if command := about.Get("X-" + field); command != "" {
			p.Scripts[strings.ToLower(field)] = "#!/bin/sh\n" + command + "\n"
		}
	}
	var out bytes.Buffer
	if err := deb.Write(&out, p); err != nil {
		return "", err
	}
	file = dsc.PkgVer(name, version) + "_" + arch + ".deb"
	return file, os.WriteFile(filepath.Join(dir, file), out.Bytes(), 0o644)
}

func (s *packed) buildinfo(dir string, archs []string, arch string, files []string) (string,
	error) {
	sums, err := checksums(dir, files, false)
	if err != nil {
		return "", err
	}
	before, _, _ := strings.Cut(sums, "Files:\n")
	return fmt.Sprintf("Format: 1.0\nSource: %s\nBinary: %s\nArchitecture: %s\nVersion: %s\n%s"+
		"Build-Architecture: %s\n", s.control.Source, s.control.Source, strings.Join(archs, " "),
		s.entry.Version, before, arch), nil
}

// heading is the first line of an entry of a changelog.
var heading = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\S+ \((\S+)\) `)
})

// changes is the .changes of a build of the source in a directory.
func (s *packed) changes(dir string, archs, files []string) (string, error) {
	sums, err := checksums(filepath.Dir(dir), files, true)
	if err != nil {
		return "", err
	}
	log, err := os.ReadFile(filepath.Join(dir, "debian/changelog"))
	if err != nil {
		return "", err
	}
	source := s.control.Source
	versions := heading().FindAllSubmatch(log, 2)
	if s.entry.BinaryOnly && len(versions) > 1 {
		source += fmt.Sprintf(" (%s)", versions[1][1])
	}
	return fmt.Sprintf("Format: 1.8\nDate: Wed, 01 May 2024 12:00:00 +0000\nSource: %s\n"+
		"Binary: %s\nArchitecture: %s\nVersion: %s\nDistribution: %s\nUrgency: medium\n"+
		"Maintainer: %s\nChanged-By: %s\nDescription:\n made up\nChanges:\n made up\n%s", source,
		s.control.Source, strings.Join(archs, " "), s.entry.Version, s.entry.Distribution(),
		s.control.Paragraph.Get("Maintainer"), s.entry.Maintainer, sums), nil
}

// genChanges is dpkg-genchanges --build=source.
func genChanges(p *fakejail.Proc) error {
	dir := host(p, ".")
	s, err := readSource(dir)
	if err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(dir), dsc.PkgVer(s.control.Source, s.entry.Version)+".dsc")
	source, err := dsc.Open(file, nil)
	if err != nil {
		return err
	}
	files := []string{filepath.Base(file)}
	for _, f := range source.Files {
		files = append(files, f.Name)
	}
	text, err := s.changes(dir, []string{"source"}, files)
	p.Printf("%s", text)
	return err
}
