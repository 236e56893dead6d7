package dsc

import (
	"fmt"
	"slices"
	"strings"
)

// Relation is one alternative of a dependency: "libc6-dev:any (>= 2.36) [linux-any] <!nocheck>"
// (Policy 7.1, deb-src-control(5)).
type Relation struct {
	Name      string
	Qualifier string // "" , "any", "native" or an architecture
	// "", "<<", "<=", "=", ">=" or ">>"; the obsolete "<" and ">" are read as "<=" and ">="
	Op      string
	Version Version  // zero when Op is ""
	Invalid string   // why Version is none that could be compared; "" when it can
	Archs   []string // the restriction list, "!" before what is excluded; nil for none
	// the restriction formula: one inner list must hold, each of its terms must; "!" before what is
	// negated; nil for none
	Profiles [][]string
}

// Alternatives are relations of which one must hold ("a | b").
type Alternatives []Relation

// Relations is the value of a field such as Build-Depends: all of them must hold.
type Relations []Alternatives

// RelationError is a place in a relation field that cannot be read.
type RelationError struct {
	Pos    int // byte offset in the text
	Reason string
}

func (e *RelationError) Error() string { return e.Reason }

// ParseRelations parses the value of a relation field. An error is a *RelationError. Empty items (a
// comma too many) are passed over, as dpkg does.
func ParseRelations(text string) (Relations, error) { return parseRelations(text, false) }

// parseRelations is ParseRelations. unchecked takes any text as a version, as dpkg-source does:
// only of a relation that holds for a build is the version looked at. See Relations.Invalid.
func parseRelations(text string, unchecked bool) (Relations, error) {
	p := relationParser{text: text, unchecked: unchecked}
	var out Relations
	for {
		p.space()
		if p.done() {
			return out, nil
		}
		if p.peek() == ',' {
			p.pos++
			continue
		}
		alts, err := p.alternatives()
		if err != nil {
			return nil, err
		}
		out = append(out, alts)
	}
}

// relationParser is a position in a relation field.
type relationParser struct {
	text      string
	pos       int
	unchecked bool // versions are not looked at
}

func (p *relationParser) done() bool { return p.pos >= len(p.text) }

func (p *relationParser) peek() byte {
	if p.done() {
		return 0
	}
	return p.text[p.pos]
}

func (p *relationParser) space() {
	for !p.done() && strings.IndexByte(whiteSpace+"\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// while takes the longest run of bytes for which ok holds.
func (p *relationParser) while(ok func(byte) bool) string {
	start := p.pos
	for !p.done() && ok(p.text[p.pos]) {
		p.pos++
	}
	return p.text[start:p.pos]
}

func (p *relationParser) fail(at int, format string, args ...any) error {
	return &RelationError{Pos: at, Reason: fmt.Sprintf(format, args...)}
}

// rest shows what stands at an offset, up to the end of its item.
func (p *relationParser) rest(at int) string {
	s := p.text[min(at, len(p.text)):]
	if i := strings.IndexAny(s, ",|\n"); i > 0 {
		s = s[:i]
	}
	return quote(strings.TrimSpace(s))
}

func (p *relationParser) alternatives() (Alternatives, error) {
	var out Alternatives
	for {
		r, err := p.relation()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		p.space()
		switch p.peek() {
		case '|':
			p.pos++
			// dpkg passes over it, as over a comma too many
			if p.space(); p.done() || p.peek() == ',' {
				return out, nil
			}
		case ',', 0:
			if p.done() || p.peek() == ',' {
				return out, nil
			}
			fallthrough
		default:
			return nil, p.fail(p.pos, "%s after the relation to %s: expected a comma, a version "+
				"in ( ), architectures in [ ] or profiles in < >", p.rest(p.pos), r.Name)
		}
	}
}

func (p *relationParser) relation() (Relation, error) {
	var r Relation
	p.space()
	start := p.pos
	r.Name = p.while(isNameByte)
	switch {
	case r.Name == "" && strings.HasPrefix(p.text[p.pos:], "${"):
		return r, p.fail(start, "%s: substitution variables do not hold in build relations",
			p.rest(start))
	case r.Name == "" || !isAlnum(r.Name[0]):
		if r.Name == "" && p.done() {
			return r, p.fail(start, "ends where the name of a package is expected")
		}
		return r, p.fail(start, "%s: expected the name of a package", p.rest(start))
	}
	if p.peek() == ':' {
		p.pos++
		r.Qualifier = p.while(func(c byte) bool { return isAlnum(c) || c == '-' })
		if r.Qualifier == "" {
			return r, p.fail(p.pos, "nothing after the colon of %s:", r.Name)
		}
	}
	for _, part := range []func(*Relation) error{p.version, p.archs, p.profiles} {
		p.space()
		if err := part(&r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// version parses "(>= 1.2)", if there.
func (p *relationParser) version(r *Relation) error {
	if p.peek() != '(' {
		return nil
	}
	start := p.pos
	p.pos++
	p.space()
	at := p.pos
	switch op := p.while(func(c byte) bool { return c == '<' || c == '=' || c == '>' }); op {
	case "<<", "<=", "=", ">=", ">>":
		r.Op = op
	case "<", ">":
		r.Op = op + "="
	default:
		return p.fail(at, "%s: expected one of << <= = >= >> before the version", p.rest(start))
	}
	p.space()
	at = p.pos
	text := p.while(func(c byte) bool { return strings.IndexByte(whiteSpace+"\n)", c) < 0 })
	v, err := ParseVersion(text)
	if err != nil && p.unchecked { // dpkg-source writes none at all where it takes one that is none
		v, r.Invalid, err = Version{text: text}, err.Error(), nil
	}
	if err != nil {
		if strings.Contains(text, "${") {
			return p.fail(at, "%s: substitution variables do not hold in build relations",
				quote(text))
		}
		return p.fail(at, "relation to %s: %v", r.Name, err)
	}
	r.Version = v
	p.space()
	if p.peek() != ')' {
		return p.fail(start, "%s: the ) is missing", p.rest(start))
	}
	p.pos++
	return nil
}

// archs parses "[amd64 any-i386]" or "[!hurd-any]", if there.
func (p *relationParser) archs(r *Relation) error {
	if p.peek() != '[' {
		return nil
	}
	start := p.pos
	end := strings.IndexByte(p.text[start:], ']')
	if end < 0 {
		return p.fail(start, "%s: the ] is missing", p.rest(start))
	}
	r.Archs = strings.Fields(p.text[start+1 : start+end])
	p.pos += end + 1
	if len(r.Archs) == 0 {
		return p.fail(start, "relation to %s: the architecture list [] is empty", r.Name)
	}
	for i, a := range r.Archs {
		r.Archs[i] = strings.ToLower(a)
		if !isWord(strings.TrimPrefix(a, "!")) {
			return p.fail(start, "relation to %s: %s is no architecture", r.Name, quote(a))
		}
	}
	return nil
}

// profiles parses "<!nocheck> <cross stage1>", if there.
func (p *relationParser) profiles(r *Relation) error {
	for ; p.peek() == '<'; p.space() {
		start := p.pos
		end := strings.IndexByte(p.text[start:], '>')
		if end < 0 {
			return p.fail(start, "%s: the > is missing", p.rest(start))
		}
		list := strings.Fields(strings.ToLower(p.text[start+1 : start+end]))
		p.pos += end + 1
		if len(list) == 0 {
			return p.fail(start, "relation to %s: the profile list <> is empty", r.Name)
		}
		for _, t := range list {
			if !isProfile(strings.TrimPrefix(t, "!")) {
				return p.fail(start, "relation to %s: %s is no build profile", r.Name, quote(t))
			}
		}
		r.Profiles = append(r.Profiles, list)
	}
	return nil
}

// Invalid finds the first relation whose version cannot be compared, which dpkg-checkbuilddeps
// refuses.
func (r Relations) Invalid() (Relation, bool) {
	for _, alts := range r {
		for _, rel := range alts {
			if rel.Invalid != "" {
				return rel, true
			}
		}
	}
	return Relation{}, false
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isNameByte(c byte) bool { return isAlnum(c) || c == '+' || c == '.' || c == '-' }

// isWord holds for what can be an architecture's name.
func isWord(s string) bool {
	return s != "" && isAlnum(s[0]) &&
		strings.IndexFunc(s, func(r rune) bool {
			return r >= 0x80 || !isAlnum(byte(r)) && r != '-'
		}) < 0
}

// isProfile holds for what can be a profile's name: "nocheck", "pkg.foo.bar".
func isProfile(s string) bool {
	return s != "" && isAlnum(s[0]) &&
		strings.IndexFunc(s, func(r rune) bool {
			return r >= 0x80 || !isNameByte(byte(r)) && r != '_'
		}) < 0
}

// validPackageName holds for the name of a package (Policy 5.6.1), upper case allowed as dpkg does.
func validPackageName(s string) bool {
	return len(s) >= 2 && isAlnum(s[0]) &&
		strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 || !isNameByte(byte(r)) }) < 0
}

// String is the relation in the form of dpkg's tools: "a:any (>= 1) [amd64] <!nocheck>".
func (r Relation) String() string {
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Qualifier != "" {
		b.WriteString(":" + r.Qualifier)
	}
	if r.Op != "" {
		b.WriteString(" (" + r.Op + " " + r.Version.String() + ")")
	}
	if r.Archs != nil {
		b.WriteString(" [" + strings.Join(r.Archs, " ") + "]")
	}
	for _, l := range r.Profiles {
		b.WriteString(" <" + strings.Join(l, " ") + ">")
	}
	return b.String()
}

// String joins the alternatives with " | ".
func (a Alternatives) String() string {
	parts := make([]string, len(a))
	for i, r := range a {
		parts[i] = r.String()
	}
	return strings.Join(parts, " | ")
}

// String joins the relations with ", ": the value of a control field.
func (r Relations) String() string {
	parts := make([]string, len(r))
	for i, a := range r {
		parts[i] = a.String()
	}
	return strings.Join(parts, ", ")
}

// Qualifiers are the architectures that relations name explicitly ("gcc:armhf"), in order, each
// once; any, all and native are not among them.
func (r Relations) Qualifiers() []string {
	var out []string
	for _, a := range r {
		for _, rel := range a {
			switch rel.Qualifier {
			case "", "any", "all", "native":
			default:
				if !slices.Contains(out, rel.Qualifier) {
					out = append(out, rel.Qualifier)
				}
			}
		}
	}
	return out
}
