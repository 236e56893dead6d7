package debcompare

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// What makes files differ, as far as it can be told from them.
const (
	KindTime        = "time stamp"
	KindPath        = "build path"
	KindOrder       = "order"
	KindNames       = "host or user name"
	KindProgram     = "compiler output"
	KindBuildID     = "build ID"
	KindGzip        = "gzip header"
	KindCompression = "compression"
	KindLocale      = "locale"
	KindBytecode    = "byte code"
	KindOther       = "content"
)

// patterns are what tells kinds apart in texts.
type patterns struct{ time, path, names, locale *regexp.Regexp }

var known = sync.OnceValue(func() patterns {
	return patterns{
		time: regexp.MustCompile(`(?i)\b(?:19|20)\d\d[-/.]?(?:0\d|1[0-2])[-/.]?[0-3]\d|` +
			`\b\d{1,2}:\d\d(?::\d\d)?\b|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\b|` +
			`\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b|` +
			`\b1[0-9]{9}\b|\b(?:19|20)\d\d\b`),
		path: regexp.MustCompile(`/(?:build|tmp|home|srv|root|var/tmp|usr/src|` +
			`<<PKGBUILDDIR>>)/[^\s"':]+`),
		names:  regexp.MustCompile(`(?i)\b(?:host|user|built by|builder|login|@)[\w.@: =-]*`),
		locale: regexp.MustCompile(`\b(?:LC_[A-Z]+|LANG|[a-z]{2}_[A-Z]{2}|UTF-8|C\.UTF-8|POSIX)\b`),
	}
})

// kindOf says what makes two contents differ.
func kindOf(name string, was, is []byte) string {
	switch {
	case gzipped(was) && gzipped(is):
		a, err := gunzip(was)
		b, err2 := gunzip(is)
		switch {
		case err != nil || err2 != nil:
			return KindOther
		case !bytes.Equal(a, b):
			return kindOf(strings.TrimSuffix(name, ".gz"), a, b)
		case !bytes.Equal(was[:min(10, len(was))], is[:min(10, len(is))]):
			return KindGzip
		}
		return KindCompression
	case bytes.HasPrefix(was, []byte(elf.ELFMAG)) && bytes.HasPrefix(is, []byte(elf.ELFMAG)):
		return kindOfPrograms(was, is)
	case strings.HasSuffix(name, ".pyc"):
		return KindBytecode
	case bytes.HasPrefix(was, []byte("!<arch>\n")), bytes.HasPrefix(is, []byte("!<arch>\n")):
		return KindProgram
	case bytes.IndexByte(was, 0) >= 0 || bytes.IndexByte(is, 0) >= 0:
		return KindOther
	}
	return kindOfTexts(was, is)
}

func gzipped(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) }

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 4*maxContent))
}

// kindOfTexts looks at the lines that only one of two texts has.
func kindOfTexts(was, is []byte) string {
	gone, come := onlyIn(was, is), onlyIn(is, was)
	if len(gone) == 0 && len(come) == 0 {
		return KindOrder
	}
	p := known()
	for _, k := range []struct {
		kind string
		is   *regexp.Regexp
	}{{KindPath, p.path}, {KindTime, p.time}, {KindNames, p.names}, {KindLocale, p.locale}} {
		without := func(lines []string) []string {
			out := make([]string, len(lines))
			for i, l := range lines {
				out[i] = k.is.ReplaceAllString(l, "·")
			}
			slices.Sort(out)
			return out
		}
		if slices.Equal(without(gone), without(come)) {
			return k.kind
		}
	}
	return KindOther
}

// onlyIn are lines of a which b has not as often.
func onlyIn(a, b []byte) (only []string) {
	count := map[string]int{}
	for line := range bytes.Lines(b) {
		count[string(line)]++
	}
	for line := range bytes.Lines(a) {
		if count[string(line)]--; count[string(line)] < 0 {
			only = append(only, string(line))
		}
	}
	return only
}

// kindOfPrograms looks at the sections of programs and libraries.
func kindOfPrograms(was, is []byte) string {
	a, err := sections(was)
	b, err2 := sections(is)
	if err != nil || err2 != nil {
		return KindProgram
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[name]; !ok || !bytes.Equal(a[name], other) {
			differ = append(differ, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			differ = append(differ, name)
		}
	}
	differ = slices.DeleteFunc(differ, func(s string) bool { return s == ".gnu_debuglink" })
	return kindOfSections(a, b, differ)
}

// perhaps is said of a kind that something differs by, where something else differs, too, of which
// it is not known whether it comes of that.
const perhaps = ", perhaps"

// kindOfSections says what makes the sections of a program differ. What follows from another
// section, as a build ID does, counts as that.
func kindOfSections(a, b map[string][]byte, differ []string) string {
	if slices.Equal(differ, []string{".note.gnu.build-id"}) {
		return KindBuildID
	}
	p := known()
	for _, k := range []struct {
		kind string
		is   *regexp.Regexp
		in   []string // beginnings of the names of sections with such texts
	}{{KindPath, p.path, []string{".rodata", ".debug_str", ".debug_line_str"}},
		{KindTime, p.time, []string{".rodata"}}} {
		found, all := false, true
		for _, name := range differ {
			texts := slices.ContainsFunc(k.in, func(in string) bool {
				return strings.HasPrefix(name, in)
			})
			switch {
			case texts && differing(k.is, a[name], b[name]):
				found = true
				all = all && bytes.Equal(k.is.ReplaceAll(a[name], nil),
					k.is.ReplaceAll(b[name], nil))
			case texts:
				all = false
			case name != ".note.gnu.build-id" && !strings.HasPrefix(name, ".debug"):
				all = false
			}
		}
		switch {
		case found && all:
			return k.kind
		case found:
			return k.kind + perhaps
		}
	}
	return KindProgram
}

// differing tells whether two texts have other places that a pattern is in, of the first of them.
func differing(pattern *regexp.Regexp, was, is []byte) bool {
	const most = 64
	return !slices.EqualFunc(pattern.FindAll(was, most), pattern.FindAll(is, most), bytes.Equal)
}

// sections are those of a program, unpacked, by their names.
func sections(b []byte) (out map[string][]byte, err error) {
	defer func() {
		if r := recover(); r != nil { // the library is not made for hostile files
			err = fmt.Errorf("reading ELF: %v", r)
		}
	}()
	f, err := openELF(b)
	if err != nil {
		return nil, err
	}
	out = map[string][]byte{}
	left := 8 * maxContent
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(s.Open(), int64(left)))
		if err != nil {
			return nil, err
		}
		left -= len(data)
		out[s.Name] = append(out[s.Name], data...)
	}
	return out, nil
}
