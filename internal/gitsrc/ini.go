package gitsrc

import (
	"fmt"
	"strings"
	"unicode"
)

// setting is a value of a configuration file.
type setting struct {
	text string
	file string // where it stands
	own  bool   // in a file of the caller's or the machine's, not of the source
}

// settings of several files, read one over the other as Python's configparser does it.
type sections struct {
	defaults map[string]setting
	named    map[string]map[string]setting
}

func newSections() *sections {
	return &sections{map[string]setting{}, map[string]map[string]setting{}}
}

// read adds a file. The format is that of configparser: values go on in lines that are indented
// further than their key; a key or a section that a file has twice is an error, as is a line that
// is neither.
func (s *sections) read(name, text string, own bool) error {
	p := &iniReader{all: s, name: name, own: own, seen: map[string]bool{}}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	number := 0
	for line := range strings.Lines(text) {
		number++
		if err := p.line(strings.TrimSuffix(line, "\n")); err != nil {
			return fmt.Errorf("%s:%d: %w", name, number, err)
		}
	}
	p.finish()
	return nil
}

// iniReader reads one file.
type iniReader struct {
	all     *sections
	name    string
	own     bool
	seen    map[string]bool
	section string
	into    map[string]setting // nil before the first section
	key     string             // whose value may go on; "" for none
	value   []string
	indent  int
}

func (p *iniReader) line(line string) error {
	text := strings.TrimSpace(line)
	if text == "" {
		if p.key != "" {
			p.value = append(p.value, "")
		}
		return nil
	}
	if text[0] == '#' || text[0] == ';' {
		return nil
	}
	indent := strings.IndexFunc(line, func(c rune) bool { return !unicode.IsSpace(c) })
	if p.key != "" && indent > p.indent {
		p.value = append(p.value, text)
		return nil
	}
	p.finish()
	p.indent = indent
	if end := strings.LastIndexByte(text, ']'); text[0] == '[' && end > 1 {
		return p.begin(text[1:end])
	}
	if p.into == nil {
		return fmt.Errorf("%q stands before the first [section]", text)
	}
	i := strings.IndexAny(text, "=:")
	if i <= 0 {
		return fmt.Errorf("%q is no line of the form KEY = VALUE", text)
	}
	p.key = strings.ToLower(strings.TrimSpace(text[:i]))
	p.value = []string{strings.TrimSpace(text[i+1:])}
	id := p.section + "\x00" + p.key
	if p.seen[id] {
		return fmt.Errorf("[%s] has %s twice", p.section, p.key)
	}
	p.seen[id] = true
	return nil
}

// begin begins a section.
func (p *iniReader) begin(name string) error {
	p.section, p.into = name, p.all.defaults
	if name == "DEFAULT" {
		return nil
	}
	if p.seen[name] {
		return fmt.Errorf("the file has [%s] twice", name)
	}
	p.seen[name] = true
	if p.all.named[name] == nil {
		p.all.named[name] = map[string]setting{}
	}
	p.into = p.all.named[name]
	return nil
}

// finish puts a value in its place once it is known to have ended.
func (p *iniReader) finish() {
	if p.key != "" {
		text := strings.TrimRightFunc(strings.Join(p.value, "\n"), unicode.IsSpace)
		p.into[p.key] = setting{text, p.name, p.own}
	}
	p.key, p.value = "", nil
}

// of are the settings of a command of gbp's: its section over the old names of it, over [DEFAULT].
// An old section brings [DEFAULT] with it, as gbp reads it.
func (s *sections) of(command string) map[string]setting {
	out := map[string]setting{}
	add := func(from map[string]setting) {
		for key, v := range from {
			out[key] = v
		}
	}
	add(s.defaults)
	for _, old := range []string{"gbp-" + command, "git-" + command} {
		if section, ok := s.named[old]; ok {
			add(s.defaults)
			add(section)
		}
	}
	add(s.named[command])
	return out
}
