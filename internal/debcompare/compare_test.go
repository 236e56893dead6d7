package debcompare

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/compared"
	"nsbuild/internal/deb"
	"nsbuild/internal/fault"
)

// pack writes a package into a directory.
func pack(t *testing.T, dir, name string, change ...func(*deb.Package)) string {
	t.Helper()
	p := deb.Package{Control: "Package: " + name + "\nVersion: 1\nArchitecture: amd64\n" +
		"Depends: libc6 (>= 2.36), zlib1g\nDescription: none\n",
		Scripts: map[string]string{"postinst": "#!/bin/sh\ntrue\n"},
		Files: []deb.File{{Path: "/usr/bin/" + name, Body: []byte("program\n"), Mode: 0o755},
			{Path: "/etc/" + name, Body: []byte("a\nb\n")}},
		Time: time.Unix(1e9, 0)}
	for _, c := range change {
		c(&p)
	}
	var out bytes.Buffer
	file := filepath.Join(dir, name+"_1_amd64.deb")
	err := deb.Write(&out, p)
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDebs(t *testing.T) {
	was := pack(t, t.TempDir(), "one")
	for name, c := range map[string]struct {
		change func(*deb.Package)
		want   []string
	}{
		"nothing": {func(*deb.Package) {}, nil},
		"field": {func(p *deb.Package) {
			p.Control = strings.Replace(p.Control, "none", "some", 1)
		}, []string{"control.tar Description: field none → some"}},
		"relation": {func(p *deb.Package) {
			p.Control = strings.Replace(p.Control, "zlib1g", "libzstd1", 1)
		}, []string{"control.tar Depends: field zlib1g → libzstd1"}},
		"order of relations": {func(p *deb.Package) {
			p.Control = strings.Replace(p.Control, "libc6 (>= 2.36), zlib1g",
				"zlib1g, libc6 (>= 2.36)", 1)
		}, []string{"control.tar Depends: field [order]"}},
		"script": {func(p *deb.Package) { p.Scripts["postinst"] = "#!/bin/sh\nfalse\n" },
			[]string{"control.tar postinst: content [content]"}},
		"conffiles": {func(p *deb.Package) { p.Scripts["conffiles"] = "/etc/one\n" },
			[]string{"control.tar conffiles: added"}},
		"mode": {func(p *deb.Package) { p.Files[0].Mode = 0o700 },
			[]string{"data.tar /usr/bin/one: mode 0755 → 0700"}},
		"order of lines": {func(p *deb.Package) { p.Files[1].Body = []byte("b\na\n") },
			[]string{"data.tar /etc/one: content [order]"}},
		"removed": {func(p *deb.Package) { p.Files = p.Files[:1] },
			[]string{"data.tar /etc: removed", "data.tar /etc/one: removed"}},
	} {
		got, err := Debs(t.Context(), was, pack(t, t.TempDir(), "one", c.change))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, d := range got {
			lines = append(lines, d.String())
		}
		if !slices.Equal(lines, c.want) {
			t.Errorf("%s: %q", name, lines)
		}
	}
	got, err := Debs(t.Context(), was, pack(t, t.TempDir(), "one", func(p *deb.Package) {
		p.Time = time.Unix(2e9, 0)
	}))
	if err != nil || len(got) == 0 || slices.ContainsFunc(got, func(d compared.Difference) bool {
		return d.What != "time" || d.Kind != KindTime
	}) {
		t.Errorf("time: %v, %v", got, err)
	}
}

// Each kind is told by what only it does to a file.
func TestKinds(t *testing.T) {
	packed := func(text string, at int64) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.ModTime = time.Unix(at, 0)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for _, c := range []struct{ name, was, is, want string }{
		{"x", "built 2026-01-02 10:11:12\n", "built 2026-03-04 01:02:03\n", KindTime},
		{"x", "dir=/build/one/x-1\n", "dir=/tmp/two/x-1\n", KindPath},
		{"x", "built by h8@one\n", "built by root@two\n", KindNames},
		{"x", "b\na\n", "a\nb\n", KindOrder},
		{"x", "lang C.UTF-8\n", "lang de_DE\n", KindLocale},
		{"x", "one\n", "two\n", KindOther},
		{"x.gz", string(packed("a", 1)), string(packed("a", 2)), KindGzip},
		{"x.gz", string(packed("1\n2\n", 1)), string(packed("2\n1\n", 1)), KindOrder},
		{"x.pyc", "\x00a", "\x00b", KindBytecode},
		{"x", "\x7fELFone", "\x7fELFtwo", KindProgram},
		{"x.a", "!<arch>\na", "!<arch>\nb", KindProgram},
	} {
		if got := kindOf(c.name, []byte(c.was), []byte(c.is)); got != c.want {
			t.Errorf("%s: %q and %q: %s, not %s", c.name, c.was, c.is, got, c.want)
		}
	}
}

// TestKindsOfPrograms: a date or a path that differs is the reason only where nothing else differs
// that does not come of it. Else it may be the reason, and it is said so.
func TestKindsOfPrograms(t *testing.T) {
	const id = ".note.gnu.build-id"
	for name, c := range map[string]struct {
		was, is map[string]string
		want    string
	}{
		"a date": {map[string]string{".rodata": "x 2026-01-02\x00y", id: "1"},
			map[string]string{".rodata": "x 2026-03-04\x00y", id: "2"}, KindTime},
		"a date, and other code": {map[string]string{".rodata": "x 2026-01-02", ".text": "1", id: "1"},
			map[string]string{".rodata": "x 2026-03-04", ".text": "2", id: "2"},
			KindTime + perhaps},
		"a date, and another text": {map[string]string{".rodata": "one 2026-01-02"},
			map[string]string{".rodata": "two 2026-03-04"}, KindTime + perhaps},
		"a path": {map[string]string{".debug_line_str": "/build/one/x.c", ".debug_info": "1"},
			map[string]string{".debug_line_str": "/build/other/x.c", ".debug_info": "2"}, KindPath},
		"a path, and other code": {map[string]string{".rodata": "/build/one/x.c", ".text": "1"},
			map[string]string{".rodata": "/build/two/x.c", ".text": "2"}, KindPath + perhaps},
		"other code": {map[string]string{".text": "1"}, map[string]string{".text": "2"},
			KindProgram},
		"the build ID": {map[string]string{id: "1"}, map[string]string{id: "2"}, KindBuildID},
		"the same date": {map[string]string{".rodata": "1 2026"},
			map[string]string{".rodata": "2 2026"}, KindProgram},
		"another section": {map[string]string{".a": "1"}, map[string]string{".b": "1"},
			KindProgram},
	} {
		was, is := map[string][]byte{}, map[string][]byte{}
		var differ []string
		for name, text := range c.was {
			if was[name] = []byte(text); c.is[name] != text {
				differ = append(differ, name)
			}
		}
		for name, text := range c.is {
			if is[name] = []byte(text); was[name] == nil {
				differ = append(differ, name)
			}
		}
		slices.Sort(differ)
		if got := kindOfSections(was, is, differ); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

func TestSets(t *testing.T) {
	was, is := t.TempDir(), t.TempDir()
	moved := deb.File{Path: "/usr/share/moved", Body: []byte("moved\n")}
	pack(t, was, "one", func(p *deb.Package) { p.Files = append(p.Files, moved) })
	pack(t, is, "one")
	pack(t, was, "two")
	pack(t, is, "two", func(p *deb.Package) { p.Files = append(p.Files, moved) })
	pack(t, was, "gone")
	pack(t, is, "new")
	pack(t, was, "same")
	pack(t, is, "same")
	r, err := Sets(t.Context(), was, is)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(r.Same, r.Gained, r.Lost, r.Moved)
	for _, p := range r.Packages {
		got += "\n" + p.Summary()
	}
	if want := "false [new_amd64] [gone_amd64] [{/usr/share/moved one_amd64 two_amd64}]\n" +
		"one_amd64 1: 2 differences"; !strings.HasPrefix(got, want) ||
		!strings.Contains(got, "\nsame_amd64 1: the same bytes") {
		t.Error(got)
	}
	if r, err := Sets(t.Context(), was, was); err != nil || !r.Same {
		t.Errorf("%v, %v", r, err)
	}
	for _, bad := range []string{filepath.Join(was, "none"), t.TempDir(), "/dev/null"} {
		if _, err := Sets(t.Context(), was, bad); fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", bad, err)
		}
	}
	newer := pack(t, t.TempDir(), "same", func(p *deb.Package) {
		p.Control = strings.Replace(p.Control, "Version: 1", "Version: 10", 1)
	})
	if err := os.Rename(newer, filepath.Join(is, "same_10_amd64.deb")); err != nil {
		t.Fatal(err)
	}
	if r, err = Sets(t.Context(), was, is); err != nil || !slices.ContainsFunc(r.Packages,
		func(p compared.Pair) bool { return p.Name == "same_amd64" && p.Is == "10" }) {
		t.Errorf("the newest of two versions does not count: %v, %v", r, err)
	}
	pack(t, is, "twice")
	if err := os.Link(filepath.Join(is, "twice_1_amd64.deb"), filepath.Join(is,
		"again.deb")); err != nil {
		t.Fatal(err)
	}
	if _, err := Sets(t.Context(), was, is); fault.KindOf(err) != fault.Usage {
		t.Errorf("two of one version: %v", err)
	}
	cut := filepath.Join(t.TempDir(), "cut.deb")
	text, err := os.ReadFile(filepath.Join(was, "one_1_amd64.deb"))
	if err == nil {
		err = os.WriteFile(cut, text[:len(text)/2], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sets(t.Context(), cut, cut); err == nil {
		t.Error("half a package is taken")
	}
}

func FuzzKind(f *testing.F) {
	f.Add("x.gz", []byte("\x1f\x8b\x08\x00"), []byte("\x1f\x8b\x08\x01"))
	f.Add("x", []byte("\x7fELF\x02\x01\x01"), []byte("\x7fELF\x01\x01\x01"))
	f.Add("x", []byte("a\nb\n"), []byte("b\na\n"))
	f.Fuzz(func(t *testing.T, name string, was, is []byte) {
		if kindOf(name, was, is) == "" {
			t.Error("no kind")
		}
	})
}

// TestNamesOfDiffs has patch(1) find the files of a diff: with one slash behind a and b.
func TestNamesOfDiffs(t *testing.T) {
	for _, name := range []string{"/etc/built", "postinst"} {
		got := unified(name, []byte("a\n"), []byte("b\n"))
		want := "--- a/" + strings.TrimPrefix(name, "/") + "\n"
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}
