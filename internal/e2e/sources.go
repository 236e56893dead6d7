package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
)

// WriteSource makes a .dsc with its files in the directory where nsbuild is called, and returns its
// name.
func (w *World) WriteSource(t *testing.T, s fakedebian.Source) string {
	t.Helper()
	members := s.Build(t)
	for _, m := range members {
		if err := os.WriteFile(filepath.Join(w.Dir, m.Name), m.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return members[0].Name
}

// WriteTree makes a source directory of a native package.
func (w *World) WriteTree(t *testing.T, dir string) {
	t.Helper()
	name, version, _ := strings.Cut(dir, "-")
	for file, text := range map[string]string{
		"control": "Source: " + name + "\nMaintainer: A <a@b.example>\nSection: misc\nPriority: " +
			"optional\nStandards-Version: 4.6.2\n\n" +
			"Package: " + name + "\nArchitecture: all\nDescription: x\n x\n",
		"changelog": name + " (" + version + ") unstable; urgency=low\n\n  * x\n\n -- A " +
			"<a@b.example>  Mon, 01 Jan 2024 00:00:00 +0000\n",
		"source/format": "3.0 (native)\n",
		"rules":         BadRules("\ttrue\n"),
	} {
		file = filepath.Join(w.Dir, dir, "debian", file)
		Check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		Check(t, os.WriteFile(file, []byte(text), 0o755))
	}
}

// Small is a source with one package for every architecture and one for all.
func Small(name string) fakedebian.Source {
	return fakedebian.Source{Name: name, Version: "1.0", Packages: []fakedebian.Package{
		{Name: name, Architecture: "any"}, {Name: name + "-data", Architecture: "all"}}}
}

// HookSource is a package that builds fast, or not at all.
func (w *World) HookSource(t *testing.T, fails bool) string {
	t.Helper()
	s := fakedebian.Source{Name: "hooked", Version: "1.0", Packages: []fakedebian.Package{
		{Name: "hooked", Architecture: "any"}}}
	if fails {
		s.Name, s.Rules = "unhooked", BadRules("\texit 7\n")
	}
	return w.WriteSource(t, s)
}

// BadRules is a debian/rules that does something to its own machine, or fails.
func BadRules(commands string) string {
	return "#!/usr/bin/make -f\n%:\n" + commands
}

// WritePackage makes a .deb in a directory.
func WritePackage(t *testing.T, dir string, p fakedebian.Package) string {
	t.Helper()
	Check(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, p.Name+"_"+p.Version+"_all.deb")
	Check(t, os.WriteFile(file, p.Deb(t), 0o644))
	return file
}

// Seen is a source whose build says what it sees of its root: which files there are, and what they
// hold. Then it fails, as it makes no package.
func (w *World) Seen(t *testing.T) string {
	t.Helper()
	return w.WriteSource(t, fakedebian.Source{
		Name: "seen", Version: "1.0", BuildDepends: "file, gettext-base",
		Rules: BadRules("\t@dpkg --audit\n\t@dpkg --verify\n" +
			"\t@echo seen: `find /usr/bin /usr/lib/*-linux-gnu* /var/lib/dpkg -xdev -type f " +
			"-readable -exec cksum {} + | sort -k 3 | sha256sum`\n\texit 7\n"),
	})
}

// WhatIsSeen is the digest that a log of the source of Seen has, or "".
func WhatIsSeen(log string) string {
	m := regexp.MustCompile(`(?m)^seen: ([0-9a-f]{64}) `).FindStringSubmatch(log)
	if m == nil {
		return ""
	}
	return m[1]
}

// Sees builds it and returns what it saw, and the log. The failed build is not kept: it would keep
// its layer from being cleaned.
func (w *World) Sees(t *testing.T, dsc string) (string, string) {
	t.Helper()
	o := w.Run(t, "build", "--keep=never", "-d", "bookworm", dsc)
	log := Read(t, filepath.Join(w.Dir, "seen_1.0_amd64.build"))
	saw := WhatIsSeen(log)
	if o.Status != 2 || saw == "" {
		t.Fatalf("%s\n%s", o, log)
	}
	return saw, log
}
