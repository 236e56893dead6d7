package debcompare

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/compared"
	"nsbuild/internal/deb"
)

// library is a shared library with a SONAME that exports symbols, and uses one of another.
func library(soname string, symbols ...string) []byte {
	names := []byte("\x00" + soname + "\x00")
	table := make([]byte, elf.Sym64Size)
	add := func(name string, section uint16, bind elf.SymBind, visible elf.SymVis) {
		s := make([]byte, elf.Sym64Size)
		binary.LittleEndian.PutUint32(s, uint32(len(names)))
		s[4], s[5] = byte(bind)<<4|byte(elf.STT_FUNC), byte(visible)
		binary.LittleEndian.PutUint16(s[6:], section)
		names, table = append(names, name+"\x00"...), append(table, s...)
	}
	add("used", uint16(elf.SHN_UNDEF), elf.STB_GLOBAL, elf.STV_DEFAULT)
	add("hidden", 1, elf.STB_GLOBAL, elf.STV_HIDDEN)
	add("local", 1, elf.STB_LOCAL, elf.STV_DEFAULT)
	for _, name := range symbols {
		add(name, 1, elf.STB_WEAK, elf.STV_DEFAULT)
	}
	dynamic := binary.LittleEndian.AppendUint64(nil, uint64(elf.DT_SONAME))
	dynamic = binary.LittleEndian.AppendUint64(dynamic, 1)
	dynamic = append(dynamic, make([]byte, 16)...)
	titles := "\x00.dynstr\x00.dynsym\x00.dynamic\x00.shstrtab\x00"
	var body bytes.Buffer
	var sections []elf.Section64
	put := func(title string, kind elf.SectionType, link uint32, content []byte) {
		sections = append(sections, elf.Section64{Name: uint32(strings.Index(titles, title)),
			Type: uint32(kind), Off: uint64(64 + body.Len()), Size: uint64(len(content)),
			Link: link})
		body.Write(content)
	}
	sections = append(sections, elf.Section64{})
	put(".dynstr", elf.SHT_STRTAB, 0, names)
	put(".dynsym", elf.SHT_DYNSYM, 1, table)
	put(".dynamic", elf.SHT_DYNAMIC, 1, dynamic)
	put(".shstrtab", elf.SHT_STRTAB, 0, []byte(titles))
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1,
		Shoff: uint64(64 + body.Len()), Ehsize: 64, Shentsize: 64, Shnum: uint16(len(sections)),
		Shstrndx: 4}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var out bytes.Buffer
	for _, part := range []any{h, body.Bytes(), sections} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

func withLibrary(path string, body []byte) func(*deb.Package) {
	return func(p *deb.Package) {
		p.Files = append(p.Files, deb.File{Path: path, Body: body})
	}
}

// TestLibraries: a library is the same one by its SONAME, whatever its file and its package are
// called, and one with a new SONAME is found by the name of its file.
func TestLibraries(t *testing.T) {
	was, is := t.TempDir(), t.TempDir()
	const dir = "/usr/lib/x86_64-linux-gnu/"
	pack(t, was, "liba1", withLibrary("/lib/x86_64-linux-gnu/liba.so.1.2",
		library("liba.so.1", "old", "both")))
	pack(t, is, "liba1t64", withLibrary(dir+"liba.so.1.3", library("liba.so.1", "both", "new")))
	pack(t, was, "libb1", withLibrary(dir+"libb.so.1", library("libb.so.1", "b")))
	pack(t, is, "libb2", withLibrary(dir+"libb.so.2", library("libb.so.2", "b")))
	same := withLibrary(dir+"libsame.so.1", library("libsame.so.1", "s"))
	pack(t, was, "x", same, withLibrary(dir+"libx.so", []byte("INPUT(libx.so.1)\n")),
		withLibrary(dir+"libgone.so.1", library("libgone.so.1")),
		withLibrary(dir+"bad.so", append(library("bad"), 1)))
	pack(t, is, "x", same, withLibrary(dir+"libx.so", []byte("INPUT(libx.so.2)\n")),
		withLibrary(dir+"bad.so", library("bad")[:200]))
	c, err := Sets(t.Context(), was, is)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Libraries {
		note, _, _ := strings.Cut(c.Libraries[i].Note, ":")
		c.Libraries[i].Note = note
	}
	want := []compared.Library{
		{WasPackage: "liba1_amd64", WasPath: "/lib/x86_64-linux-gnu/liba.so.1.2",
			WasSoname: "liba.so.1", IsPackage: "liba1t64_amd64", IsPath: dir + "liba.so.1.3",
			IsSoname: "liba.so.1", Gained: []string{"new"}, Lost: []string{"old"}},
		{WasPackage: "x_amd64", WasPath: dir + "bad.so", WasSoname: "bad", IsPackage: "x_amd64",
			IsPath: dir + "bad.so", Note: "its symbols are not known"},
		{WasPackage: "libb1_amd64", WasPath: dir + "libb.so.1", WasSoname: "libb.so.1",
			IsPackage: "libb2_amd64", IsPath: dir + "libb.so.2", IsSoname: "libb.so.2"},
		{WasPackage: "x_amd64", WasPath: dir + "libgone.so.1", WasSoname: "libgone.so.1"}}
	if d := cmp.Diff(want, c.Libraries); d != "" {
		t.Error(d)
	}
}

// TestDamagedLibraries: what a header promises is not believed.
func TestDamagedLibraries(t *testing.T) {
	good := library("liba.so.1", "one")
	// as many names of sections as there can be, each as long as the file
	many := append(bytes.Clone(good), make([]byte, 64<<14)...)
	binary.LittleEndian.PutUint16(many[60:], maxSections)
	strtab := binary.LittleEndian.Uint64(many[40:]) + 4*64
	binary.LittleEndian.PutUint64(many[strtab+32:], 1<<20)
	endless := bytes.Clone(good)
	binary.LittleEndian.PutUint64(endless[40:], 1<<63)
	for name, b := range map[string][]byte{"empty": nil, "magic": good[:4], "cut": good[:100],
		"many": many, "endless": endless} {
		if _, symbols, err := exported(b); err == nil {
			t.Errorf("%s: %q", name, symbols)
		}
	}
	if soname, symbols, err := exported(good); err != nil || soname != "liba.so.1" ||
		fmt.Sprint(symbols) != "[one]" {
		t.Errorf("%s, %q, %v", soname, symbols, err)
	}
	long := library("liba.so.1", strings.Repeat("x", 1<<20))
	if _, symbols, err := exported(long); err != nil || len(symbols[0]) != maxSymbol {
		t.Errorf("%d symbols, %v", len(symbols), err)
	}
}

func FuzzExported(f *testing.F) {
	f.Add(library("liba.so.1", "one", "two"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, symbols, err := exported(b)
		if n := len(symbols); err == nil && n > len(b) {
			t.Errorf("%d symbols in %d bytes", n, len(b))
		}
	})
}

// TestEvidence: tags and warnings are those of logs beside the packages, and it is said where there
// are none.
func TestEvidence(t *testing.T) {
	was, is := t.TempDir(), t.TempDir()
	pack(t, was, "one")
	pack(t, is, "one", func(p *deb.Package) {
		p.Control = strings.Replace(p.Control, "Version: 1", "Version: 1:2", 1)
	})
	c, err := Sets(t.Context(), was, is)
	if err != nil {
		t.Fatal(err)
	}
	if c.Lintian.Note != "no output of lintian beside the packages" ||
		c.Warnings.Note != "no log of a build beside the packages" {
		t.Errorf("%v, %v", c.Lintian, c.Warnings)
	}
	box := func(title string) string {
		rule := "+" + strings.Repeat("-", 20) + "+\n"
		return "\n" + rule + fmt.Sprintf("| %-18s |\n", title) + rule + "\n"
	}
	write := func(dir, name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	head := "nsbuild 0\n" + box("Build") + "a.c:1: warning: old\n"
	lintian := box("Post Build") + "lintian\n-------\n\nE: one: kept\n"
	old := write(was, "one_1_amd64.build", head+
		"dpkg-source: warning: one_1.dsc is not signed\n"+lintian+"W: one: gone\n")
	write(is, "one_2_amd64-2026-01-02T10:00:00Z.build", head+"before: warning: x\n")
	now := write(is, "one_2_amd64-2026-01-02T11:00:00Z.build", head+
		"dpkg-source: warning: one_2.dsc is not signed\nb.c:1: warning: new\n"+lintian)
	write(is, "other_1_amd64.build", head+"not of these packages: warning: x\n")
	if c, err = Sets(t.Context(), was, is); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(is, "one_2_amd64.build")
	if err := os.Symlink(filepath.Base(now), link); err != nil {
		t.Fatal(err)
	}
	linked, err := Sets(t.Context(), was, is)
	if err != nil {
		t.Fatal(err)
	}
	c.Lintian.Is, c.Warnings.Is = []string{link}, []string{link}
	if d := cmp.Diff(c, linked); d != "" {
		t.Errorf("with a link to the newest log: %s", d)
	}
	if d := cmp.Diff(&compared.Findings{Was: []string{old}, Is: []string{link},
		Lost: []string{"W: one: gone"}},
		c.Lintian); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(&compared.Findings{Was: []string{old}, Is: []string{link},
		Gained: []string{"b.c: warning: new"}}, c.Warnings); d != "" {
		t.Error(d)
	}
	a, err := Set(t.Context(), was)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Set(t.Context(), is)
	if err != nil {
		t.Fatal(err)
	}
	Lint(c, a, b, []string{"E: one: kept [one_1_all.deb]", "W: one: gone"},
		[]string{"E: one: kept [one_2_all.deb]", "I: one: come"}, "lintian of x")
	if d := cmp.Diff(&compared.Findings{By: "lintian of x", Gained: []string{"I: one: come"},
		Lost: []string{"W: one: gone"}}, c.Lintian); d != "" {
		t.Error("lintian, run now:", d)
	}
}
