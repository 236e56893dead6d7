package debcompare

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/compared"
	"nsbuild/internal/deb"
	"nsbuild/internal/testenv"
)

// TestDebdiff: whatever debdiff says of two sets of packages, the comparison says, too. The sets of
// NSBUILD_TEST_PAIRS, directories as WAS:IS with commas between them, are looked at besides.
func TestDebdiff(t *testing.T) {
	testenv.RequireTool(t, "debdiff")
	pairs := [][2]string{madePair(t)}
	for _, p := range strings.FieldsFunc(os.Getenv("NSBUILD_TEST_PAIRS"),
		func(r rune) bool { return r == ',' }) {
		was, is, _ := strings.Cut(p, ":")
		pairs = append(pairs, [2]string{was, is})
	}
	for _, p := range pairs {
		c, err := Sets(t.Context(), p[0], p[1])
		if err != nil {
			t.Fatal(err)
		}
		said := debdiff(t, p[0], p[1])
		if len(said) < 2 {
			t.Fatalf("debdiff of %v says nothing", p)
		}
		for _, s := range said {
			if !contains(c, s) {
				t.Errorf("%v: debdiff says %q, and compare does not", p, s)
			}
		}
	}
}

// madePair are packages that differ in everything that debdiff knows.
func madePair(t *testing.T) [2]string {
	t.Helper()
	was, is := t.TempDir(), t.TempDir()
	control := func(old, now string) func(*deb.Package) {
		return func(p *deb.Package) { p.Control = strings.Replace(p.Control, old, now, 1) }
	}
	file := func(path string) func(*deb.Package) { return withLibrary(path, []byte("x\n")) }
	tool := func(mode os.FileMode) func(*deb.Package) {
		return func(p *deb.Package) {
			p.Files = append(p.Files, deb.File{Path: "/usr/bin/tool", Body: []byte("x"),
				Mode: mode})
		}
	}
	pack(t, was, "one", file("/usr/share/gone"), file("/usr/share/moved"), tool(0o755))
	pack(t, is, "one", file("/usr/share/come"), tool(0o4755),
		control("Version: 1", "Version: 2"), control("zlib1g", "zlib1g (>= 1), libbz2-1.0"))
	pack(t, was, "two")
	pack(t, is, "two", file("/usr/share/moved"),
		control("Description", "Recommends: one\nDescription"))
	pack(t, was, "lost", file("/usr/share/lost"))
	pack(t, is, "new", file("/usr/share/new"))
	return [2]string{was, is}
}

// statement is one that debdiff makes.
type statement struct {
	what string // lost, gained (packages); files lost, files gained, moved; field
	of   string // package; "" where debdiff does not tell it
	name string
	to   string   // package that a file was moved to
	text []string // of a field: what it has lost or gained
}

// debdiff are its statements about two sets: with files that were moved, and with modes and owners.
func debdiff(t *testing.T, was, is string) (all []statement) {
	t.Helper()
	for _, flag := range []string{"--show-moved", "--noshow-moved"} {
		argv := []string{"--no-conf", flag}
		for _, s := range []struct{ flag, dir string }{{"--from", was}, {"--to", is}} {
			debs, err := filepath.Glob(filepath.Join(s.dir, "*.deb"))
			if err != nil {
				t.Fatal(err)
			}
			argv = append(append(argv, s.flag), debs...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "debdiff", argv...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState.ExitCode() != 1 { // they differ
			t.Fatalf("%v: %s", err, out)
		}
		all = append(all, statements(t, string(out))...)
	}
	return all
}

// statements reads what debdiff prints.
func statements(t *testing.T, out string) (all []statement) {
	t.Helper()
	var s statement
	both := false
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.Fields(line)
		last := ""
		if len(words) > 0 {
			last = strings.TrimSuffix(words[len(words)-1], ":")
		}
		has := func(begin string) bool { return strings.HasPrefix(line, begin) }
		switch {
		case len(words) == 0, strings.Trim(line, "-") == "", has("[The following lists"),
			has("different names,"), has("No differences were"), has("File lists identical"),
			both && !has("Control files"):
		case has("Warning: these package names were in the second"):
			s = statement{what: "gained"}
		case has("Warning: these package names were in the first"):
			s = statement{what: "lost"}
		case has("Files only in first"), has("New files in second"):
			s = statement{what: "files gained", of: last}
			if has("Files only in first") {
				s.what = "files lost"
			}
		case has("Files in first"), has("Files in second"):
			s = statement{what: "files gained"}
			if has("Files in first") {
				s.what = "files lost"
			}
		case has("Files moved or copied from at least TWO"):
			both = true
		case has("Files moved from package"):
			s = statement{what: "moved", of: words[4], to: last}
		case has("Control files"):
			s, both = statement{what: "field"}, false
			if has("Control files of package ") {
				s.of = strings.TrimSuffix(words[4], ":")
			}
		case s.what == "gained", s.what == "lost":
			for _, s.name = range words {
				all = append(all, s)
			}
		case strings.Contains(line, " DEBIAN/"):
		case strings.HasPrefix(s.what, "files"), s.what == "moved":
			_, name, found := strings.Cut(line, " /")
			s.name, _, _ = strings.Cut("/"+name, " -> ")
			if !found {
				t.Errorf("debdiff says something else: %s", line)
			}
			all = append(all, s)
		case s.what == "field":
			all = append(all, field1(s, line))
		default:
			t.Errorf("debdiff says something else: %s", line)
		}
	}
	return all
}

// field1 is what debdiff says of a field, in wdiff's format: [-lost-] {+gained+}.
func field1(s statement, line string) statement {
	name, _, _ := strings.Cut(line, ":")
	if s.name = strings.TrimLeft(name, "[{+-"); !isRelation(s.name) {
		return s
	}
	words := func(begin, end string) (all []string) {
		for _, part := range strings.Split(line, begin)[1:] {
			part, _, _ = strings.Cut(part, end)
			for _, w := range strings.Split(strings.TrimPrefix(part, s.name+":"), ",") {
				w = strings.TrimSpace(w)
				if w != "" && !strings.HasPrefix(w, "(") && !strings.Contains(w, "|") &&
					strings.Count(w, "(") == strings.Count(w, ")") { // else it is a part of one
					all = append(all, w)
				}
			}
		}
		return all
	}
	lost, gained := words("[-", "-]"), words("{+", "+}")
	for _, w := range slices.Concat(lost, gained) {
		if !slices.Contains(lost, w) || !slices.Contains(gained, w) { // else it has moved
			s.text = append(s.text, w)
		}
	}
	return s
}

// contains tells whether a comparison has a statement.
func contains(c *compared.Comparison, s statement) bool {
	named := func(name string) bool {
		name, _, _ = strings.Cut(name, "_")
		return s.of == "" || s.of == name
	}
	switch s.what {
	case "gained":
		return slices.Contains(names(c.Gained), s.name)
	case "lost":
		return slices.Contains(names(c.Lost), s.name)
	case "moved":
		return slices.ContainsFunc(c.Moved, func(m compared.Move) bool {
			return m.Path == s.name && named(m.From) && names([]string{m.To})[0] == s.to
		})
	case "field":
		return slices.ContainsFunc(c.Packages, func(p compared.Pair) bool {
			return named(p.Name) && slices.ContainsFunc(p.Differences,
				func(d compared.Difference) bool {
					return d.What == "field" && d.Path == s.name &&
						!slices.ContainsFunc(s.text, func(w string) bool {
							return !strings.Contains(d.Was+"\n"+d.Is, w)
						})
				})
		})
	}
	gone := s.what == "files lost"
	return slices.ContainsFunc(c.Alone, func(a compared.Alone) bool {
		return a.Gained != gone && named(a.Name) && slices.Contains(a.Files, s.name)
	}) || slices.ContainsFunc(c.Moved, func(m compared.Move) bool {
		return m.Path == s.name && (named(m.From) || named(m.To))
	}) || slices.ContainsFunc(c.Packages, func(p compared.Pair) bool {
		return named(p.Name) && slices.ContainsFunc(p.Differences,
			func(d compared.Difference) bool {
				if d.In != compared.InData || d.Path != s.name {
					return false
				}
				switch d.What {
				case "removed":
					return gone
				case "added":
					return !gone
				}
				return d.What == "mode" || d.What == "owner" || d.What == "type" ||
					d.What == "target"
			})
	})
}

// names are packages without their architectures.
func names(all []string) (out []string) {
	for _, name := range all {
		name, _, _ = strings.Cut(name, "_")
		out = append(out, name)
	}
	return out
}
