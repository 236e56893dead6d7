package sbuildrc

import (
	"slices"
	"strconv"
	"strings"
)

// expression reads one value: primaries joined by . || // and ? :.
func (p *parser) expression() (*Value, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.no("it is nested too deep")
	}
	defer func() { p.depth-- }()
	v, err := p.either()
	if err != nil {
		return nil, err
	}
	if ok, err := p.token("?"); err != nil || !ok {
		return v, err
	}
	yes, err := p.expression()
	if err != nil {
		return nil, err
	}
	if err := p.want(":"); err != nil {
		return nil, err
	}
	no, err := p.expression()
	if err != nil {
		return nil, err
	}
	if v.True() {
		return yes, nil
	}
	return no, nil
}

// either reads values joined by || and //.
func (p *parser) either() (*Value, error) {
	v, err := p.concatenation()
	for err == nil {
		defined := strings.HasPrefix(p.src[p.pos:], "//")
		if !defined && !strings.HasPrefix(p.src[p.pos:], "||") ||
			strings.HasPrefix(p.src[p.pos+2:], "=") {
			return v, nil
		}
		p.pos += 2
		if err = p.space(); err != nil {
			break
		}
		var other *Value
		if other, err = p.concatenation(); err != nil {
			break
		}
		if defined && v.Kind == Undef || !defined && !v.True() {
			v = other
		}
	}
	return nil, err
}

// concatenation reads values joined by a dot.
func (p *parser) concatenation() (*Value, error) {
	v, err := p.primary()
	for err == nil {
		rest := p.src[p.pos:]
		if !strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "..") ||
			strings.HasPrefix(rest, ".=") {
			return v, nil
		}
		if err = p.want("."); err != nil {
			break
		}
		var other *Value
		if other, err = p.primary(); err == nil {
			v, err = p.join(v, other)
		}
	}
	return nil, err
}

// join puts two texts together.
func (p *parser) join(a, b *Value) (*Value, error) {
	if a.Kind > Scalar || b.Kind > Scalar {
		return nil, p.no("a list or hash within a string")
	}
	if len(a.Text)+len(b.Text) > maxText {
		return nil, p.no("a string of more than %d bytes", maxText)
	}
	return text(a.Text + b.Text), nil
}

// primary reads a value without operators.
func (p *parser) primary() (*Value, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.no("it is nested too deep")
	}
	defer func() { p.depth-- }()
	rest := p.src[p.pos:]
	if rest == "" {
		return nil, p.no("%s", p.here())
	}
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return p.one(p.quoted())
	case isDigit(c), (c == '-' || c == '.') && len(rest) > 1 && isDigit(rest[1]):
		return p.number()
	case strings.HasPrefix(rest, "$conf->"):
		return p.ownValue()
	case c == '$':
		v, err := p.variableValue()
		if err != nil {
			return nil, err
		}
		return v, p.space()
	case c == '[':
		items, err := p.bracketed("[", "]")
		if err != nil {
			return nil, err
		}
		return &Value{Kind: List, Items: items}, nil
	case c == '{':
		items, err := p.bracketed("{", "}")
		if err != nil {
			return nil, err
		}
		return p.hashOf(items)
	case c == '(':
		items, err := p.bracketed("(", ")")
		return p.one(items, len(items) != 1, err)
	case c == '\\':
		if err := p.want("\\"); err != nil {
			return nil, err
		}
		to, err := p.target(true)
		if err == nil && !to.array {
			err = p.no("a reference to something that is no list and no hash")
		}
		if err != nil {
			return nil, err
		}
		return to.get(), nil
	case strings.HasPrefix(rest, "<<"):
		return p.heredoc()
	}
	switch w := word(rest); {
	case w == "undef":
		if _, err := p.keyword(w); err != nil {
			return nil, err
		}
		if ok, err := p.token("("); err != nil || ok {
			return &Value{}, errOr(err, p.want(")"))
		}
		return &Value{}, nil
	case w == "q" || w == "qq":
		return p.one(p.quoted())
	case w == "qr":
		return p.pattern()
	}
	return nil, p.no("%s", p.here())
}

// ownValue reads $conf->get('KEY'): how a file asks sbuild for what a key has so far. What it has
// by itself is taken to be nothing: sbuild's own lists and tables are mostly empty.
func (p *parser) ownValue() (*Value, error) {
	rest, ok := strings.CutPrefix(p.src[p.pos:], "$conf->")
	if w := word(rest); !ok || w != "get" && w != "_get" {
		return nil, p.no("%s", p.here())
	}
	p.pos = len(p.src) - len(rest) + len(word(rest))
	if err := p.want("("); err != nil {
		return nil, err
	}
	key, err := p.one(p.quoted())
	if err != nil {
		return nil, err
	}
	name := "$" + strings.ToLower(key.Text)
	if v := p.config.vars[name]; v != nil {
		return v.value, p.want(")")
	}
	return &Value{}, p.want(")")
}

// one is the value of what was read, where one is wanted.
func (p *parser) one(values []*Value, list bool, err error) (*Value, error) {
	switch {
	case err != nil:
		return nil, err
	case list:
		return nil, p.no("a list where one value is wanted")
	}
	return values[0], nil
}

// number reads a decimal number.
func (p *parser) number() (*Value, error) {
	end := p.pos + 1
	for end < len(p.src) && (isDigit(p.src[end]) || p.src[end] == '_' || p.src[end] == '.' &&
		end+1 < len(p.src) && isDigit(p.src[end+1])) {
		end++
	}
	literal := strings.TrimPrefix(p.src[p.pos:end], "-")
	n, ok := number(strings.ReplaceAll(literal, "_", ""))
	if !ok || end < len(p.src) && isLetter(p.src[end]) {
		return nil, p.no("%s", p.here())
	}
	if p.src[p.pos] == '-' && n != "0" {
		n = "-" + n
	}
	p.pos = end
	return text(n), p.space()
}

// bracketed reads a list within brackets.
func (p *parser) bracketed(opening, closing string) ([]*Value, error) {
	if err := p.want(opening); err != nil {
		return nil, err
	}
	items, err := p.items(closing)
	if err != nil {
		return nil, err
	}
	return items, p.want(closing)
}

// listExpression reads what stands behind @x = and push @x.
func (p *parser) listExpression() ([]*Value, error) { return p.items(";)}") }

// items reads elements separated by commas up to one of the characters, which stays. Lists among
// them become part of the list.
func (p *parser) items(ends string) ([]*Value, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.no("it is nested too deep")
	}
	defer func() { p.depth-- }()
	out := []*Value{}
	for p.pos < len(p.src) && strings.IndexByte(ends, p.src[p.pos]) < 0 {
		more, err := p.item()
		if err != nil {
			return nil, err
		}
		if out = append(out, more...); len(out) > maxItems {
			return nil, p.no("a list of more than %d elements", maxItems)
		}
		comma := false
		for {
			ok, err := p.token(",")
			if err == nil && !ok {
				ok, err = p.token("=>")
			}
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			comma = true
		}
		if !comma {
			break
		}
	}
	return out, nil
}

// item reads what stands between two commas.
func (p *parser) item() ([]*Value, error) {
	rest := p.src[p.pos:]
	// a word before => is a string
	if w := word(rest); w != "" && strings.HasPrefix(strings.TrimLeft(rest[len(w):], " \t\r\n"),
		"=>") {
		p.pos += len(w)
		return []*Value{text(w)}, p.space()
	}
	switch {
	case rest[0] == '@' || rest[0] == '%':
		from, err := p.target(true)
		if err != nil {
			return nil, err
		}
		v := from.get()
		switch v.Kind {
		case Undef:
			return nil, nil
		case List:
			return v.Items, nil
		case Hash:
			var out []*Value
			for _, k := range v.Keys() {
				out = append(out, text(k), v.Fields[k])
			}
			return out, nil
		}
		return nil, p.no("a list is made of something that is none")
	case rest[0] == '(':
		return p.bracketed("(", ")")
	case word(rest) == "qw":
		values, _, err := p.quoted()
		return values, err
	}
	v, err := p.expression()
	return []*Value{v}, err
}

// hashOf makes a hash of keys and values that follow each other.
func (p *parser) hashOf(items []*Value) (*Value, error) {
	if len(items)%2 != 0 {
		return nil, p.no("a hash has a key without a value")
	}
	h := &Value{Kind: Hash, Fields: map[string]*Value{}}
	for i := 0; i < len(items); i += 2 {
		if items[i].Kind != Scalar {
			return nil, p.no("a key of a hash is no string")
		}
		h.Fields[items[i].Text] = items[i+1]
	}
	return h, nil
}

// variableValue is the value of the scalar that stands here.
func (p *parser) variableValue() (*Value, error) {
	at := p.pos
	t, err := p.scalar(true)
	if err != nil {
		return nil, err
	}
	v := t.get()
	if v.Kind == Unreadable {
		return nil, p.no("it is made of %s, which is not read", p.src[at:p.pos])
	}
	return v, nil
}

// target reads something that can be assigned to; reading, it makes nothing that is not there.
func (p *parser) target(reading bool) (*place, error) {
	rest := p.src[p.pos:]
	if rest == "" || strings.IndexByte("$@%", rest[0]) < 0 {
		return nil, p.no("%s", p.here())
	}
	if rest[0] == '$' {
		t, err := p.scalar(reading)
		if err != nil {
			return nil, err
		}
		if p.take("->@*") {
			t.array = true
		}
		return t, p.space()
	}
	hash := rest[0] == '%'
	if name := p.sigilName(); name != "" {
		v, err := p.use(name)
		if err != nil {
			return nil, err
		}
		p.pos += len(name)
		return &place{v: v, array: true, hash: hash}, p.space()
	}
	p.pos++
	braces, err := p.token("{")
	if err != nil {
		return nil, err
	}
	if p.pos >= len(p.src) || p.src[p.pos] != '$' {
		return nil, p.no("%s", p.here())
	}
	var t *place
	if braces {
		if t, err = p.scalar(reading); err == nil {
			if err = p.space(); err == nil {
				err = p.want("}")
			}
		}
	} else {
		t, err = p.plain()
	}
	if err != nil {
		return nil, err
	}
	if v := t.get(); v.Kind == Unreadable || v.Kind == Scalar {
		return nil, p.no("a list is made of something that is none")
	}
	t.array, t.hash = true, hash
	return t, p.space()
}

// use finds a variable by its name.
func (p *parser) use(name string) (*variable, error) {
	if !p.declared(name) {
		// Perl's, sbuild's
		others := []string{"ARGV", "INC", "STDIN", "STDERR", "conf", "_", "a", "b"}
		if p.lax || slices.Contains(others, name[1:]) {
			return nil, p.no("%s is not read", name)
		}
		return nil, &unknown{name}
	}
	return p.variable(name), nil
}

// unknown is a variable that sbuild does not know either: it would not read the file.
type unknown struct{ name string }

func (u *unknown) Error() string {
	return u.name + " is no key of sbuild's, and not declared with my"
}

// plain reads $name or ${name} without what may follow.
func (p *parser) plain() (*place, error) {
	name := p.sigilName()
	if name != "" {
		p.pos += len(name)
	} else {
		inner, braces := strings.CutPrefix(p.src[p.pos:], "${")
		inner = strings.TrimLeft(inner, " ")
		w := word(inner)
		after := strings.TrimLeft(inner[len(w):], " ")
		if !braces || w == "" || !strings.HasPrefix(after, "}") {
			return nil, p.no("%s", p.here())
		}
		p.pos = len(p.src) - len(after) + 1
		name = "$" + w
	}
	v, err := p.use(name)
	return &place{v: v}, err
}

// scalar reads $name and its elements: $name->{key}, $name{key}, $$name[0] and so on.
func (p *parser) scalar(reading bool) (*place, error) {
	var t *place
	var err error
	name := p.sigilName()
	next := ""
	if name != "" {
		next = p.src[p.pos+len(name):]
	}
	switch {
	case strings.HasPrefix(next, "{"), strings.HasPrefix(next, "["): // an element of %name or @name
		sigil := "%"
		if next[0] == '[' {
			sigil = "@"
		}
		var v *variable
		if v, err = p.use(sigil + name[1:]); err != nil {
			return nil, err
		}
		p.pos += len(name)
		t = &place{v: v, env: name == "$ENV"}
	case strings.HasPrefix(p.src[p.pos:], "$$"): // an element of what $name refers to
		p.pos++
		if t, err = p.plain(); err != nil {
			return nil, err
		}
		if p.pos >= len(p.src) || strings.IndexByte("{[", p.src[p.pos]) < 0 {
			return nil, p.no("%s", p.here())
		}
	default:
		if t, err = p.plain(); err != nil {
			return nil, err
		}
		if !p.arrow() {
			return t, nil
		}
	}
	for {
		if t, err = p.element(t, reading); err != nil {
			return nil, err
		}
		if p.pos < len(p.src) && strings.IndexByte("{[", p.src[p.pos]) >= 0 {
			continue
		}
		if !p.arrow() {
			return t, nil
		}
	}
}

// arrow skips an arrow that an element follows.
func (p *parser) arrow() bool {
	rest := p.src[p.pos:]
	if !p.tight {
		rest = strings.TrimLeft(rest, " \t\n")
	}
	if !strings.HasPrefix(rest, "->{") && !strings.HasPrefix(rest, "->[") {
		return false
	}
	p.pos = len(p.src) - len(rest) + len("->")
	return true
}

// element reads {key} or [index] of the list or hash that a place holds.
func (p *parser) element(t *place, reading bool) (*place, error) {
	kind, closing := Hash, "}"
	sigil := byte('%')
	if p.src[p.pos] == '[' {
		kind, closing, sigil = List, "]", '@'
	}
	p.pos++
	if err := p.space(); err != nil {
		return nil, err
	}
	key, err := p.key(closing)
	if err != nil {
		return nil, err
	}
	if !p.take(closing) {
		return nil, p.no("%s", p.here())
	}
	out := &place{v: t.v, key: key, env: t.env, in: t.get()}
	switch {
	case out.in.Kind == Undef:
		out.in = empty(sigil)
		if !reading {
			if err := p.set(t, out.in, p.lineAt(p.pos)); err != nil {
				return nil, err
			}
		}
	case out.in.Kind != kind:
		return nil, p.no("an element of something that has none")
	}
	if kind == List {
		if out.index, err = strconv.Atoi(key); err != nil || out.index < 0 {
			return nil, p.no("the index %q is not understood", key)
		}
	}
	return out, nil
}

// key reads what names an element: a word, or an expression.
func (p *parser) key(closing string) (string, error) {
	rest := p.src[p.pos:]
	if w := word(rest); w != "" && closing == "}" &&
		strings.HasPrefix(strings.TrimLeft(rest[len(w):], " \t"), closing) {
		p.pos += len(w)
		return w, p.space()
	}
	v, err := p.expression()
	if err != nil {
		return "", err
	}
	if v.Kind != Scalar {
		return "", p.no("a key that is no string")
	}
	return v.Text, nil
}
