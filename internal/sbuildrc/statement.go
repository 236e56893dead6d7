package sbuildrc

import (
	"slices"
	"strings"
)

// place is something that can be assigned to.
type place struct {
	v     *variable // that it is, or lies in
	in    *Value    // the list or hash that it is an element of; nil: it is the variable
	key   string
	index int
	env   bool // a variable of the environment
	array bool // a whole list or hash: @name, %name, @{…}, %{…}
	hash  bool
}

// statement reads and executes one statement, up to its semicolon; closed tells that it ends with a
// block and has none.
func (p *parser) statement() (closed bool, err error) {
	switch w := word(p.src[p.pos:]); w {
	case "":
		switch c := p.src[p.pos]; {
		case c == ';' || isDigit(c): // 1; at the end
			_, err := p.digits()
			return false, err
		case c == '{':
			return true, p.block()
		}
		return false, p.guarded(p.assignment)
	case "if", "unless":
		return true, p.conditional()
	case "use", "no":
		return false, p.pragma(w)
	case "my", "our", "local":
		return false, p.declaration(w)
	case "push", "unshift":
		return false, p.guarded(func() error { return p.push(w == "unshift") })
	case "undef":
		return false, p.guarded(p.undefine)
	}
	return false, p.no("%s", p.here())
}

// digits reads a statement that is a number alone.
func (p *parser) digits() (string, error) {
	start := p.pos
	for p.pos < len(p.src) && isDigit(p.src[p.pos]) {
		p.pos++
	}
	return p.src[start:p.pos], p.space()
}

// pragma reads what changes nothing here: modules are not loaded, and what is used of one is not
// understood where it is used.
func (p *parser) pragma(w string) error {
	p.pos += len(w)
	i := strings.IndexAny(p.src[p.pos:], ";\n")
	if i < 0 || p.src[p.pos+i] != ';' || strings.ContainsAny(p.src[p.pos:p.pos+i], "{}") {
		return p.no("a use over several lines is not understood")
	}
	p.lax = p.lax || w == "no" && strings.Contains(p.src[p.pos:p.pos+i], "strict")
	p.pos += i
	return nil
}

// declaration reads my $x, with a value or without one. Like our $x, it hides a key of that name
// from sbuild: the file sets a variable of its own.
func (p *parser) declaration(w string) error {
	if _, err := p.keyword(w); err != nil {
		return err
	}
	name := p.sigilName()
	if name == "" || w == "local" {
		return p.no("%s", p.here())
	}
	own := &variable{value: &Value{Kind: Unreadable}}
	// not before: its value may be made of the variable that it hides
	defer func() { p.locals[name] = own }()
	p.pos += len(name)
	if err := p.space(); err != nil {
		return err
	}
	if p.atEnd() {
		own.value = empty(name[0])
		return nil
	}
	if err := p.want("="); err != nil {
		return err
	}
	v, err := p.valueFor(name[0])
	if err == nil && !p.atEnd() {
		err = p.no("%s", p.here())
	}
	if err != nil {
		return err
	}
	own.value = v
	return nil
}

// empty is the value of a variable that has none yet.
func empty(sigil byte) *Value {
	switch sigil {
	case '@':
		return &Value{Kind: List}
	case '%':
		return &Value{Kind: Hash, Fields: map[string]*Value{}}
	}
	return &Value{}
}

// sigilName is the variable that stands here, with its sigil: $x, @x, %x.
func (p *parser) sigilName() string {
	rest := p.src[p.pos:]
	if rest == "" || strings.IndexByte("$@%", rest[0]) < 0 {
		return ""
	}
	w := word(rest[1:])
	if w == "" || strings.HasPrefix(rest[1+len(w):], "::") {
		return ""
	}
	return rest[:1+len(w)]
}

// variable is the one of a name with its sigil.
func (p *parser) variable(name string) *variable {
	if v := p.locals[name]; v != nil {
		return v
	}
	v := p.config.vars[name]
	if v == nil {
		v = &variable{value: empty(name[0])}
		p.config.vars[name] = v
	}
	return v
}

// deprecated are the variables that are no scalars and that sbuild still takes.
func deprecated(name string) bool {
	return slices.Contains(
		[]string{"%mailto", "@toolchain_regex", "%individual_stalled_pkg_timeout"}, name)
}

// declared tells whether a variable may be used: Perl is strict here.
func (p *parser) declared(name string) bool {
	return p.locals[name] != nil || name == "%ENV" || name == "$HOME" || name[0] == '$' &&
		p.config.known[name[1:]] || deprecated(name) || p.config.vars[name] != nil
}

// assignment reads TARGET = EXPRESSION and its relatives.
func (p *parser) assignment() error {
	start := p.pos
	to, err := p.target(false)
	if err != nil {
		return err
	}
	op := ""
	for _, o := range []string{"//=", "||=", "&&=", ".=", "="} {
		if strings.HasPrefix(p.src[p.pos:], o) {
			op = o
			break
		}
	}
	if op == "" || op == "&&=" || strings.HasPrefix(p.src[p.pos:], "==") ||
		strings.HasPrefix(p.src[p.pos:], "=~") {
		return p.no("%s", p.here())
	}
	if err := p.want(op); err != nil {
		return err
	}
	sigil := byte('$')
	if to.array {
		sigil = '@'
		if to.hash {
			sigil = '%'
		}
		if op != "=" {
			return p.no("%s with a list is not understood", op)
		}
	}
	v, err := p.valueFor(sigil)
	if err != nil {
		return err
	}
	if !p.atEnd() {
		return p.no("%s", p.here())
	}
	old := to.get()
	switch op {
	case "//=":
		if old.Kind != Undef {
			return nil
		}
	case "||=":
		if old.True() {
			return nil
		}
	case ".=":
		if v, err = p.join(old, v); err != nil {
			return err
		}
	}
	return p.set(to, v, p.lineAt(start))
}

// valueFor reads what is assigned to a variable of a sigil: a list for @ and %, else one value.
func (p *parser) valueFor(sigil byte) (*Value, error) {
	if sigil == '$' {
		return p.expression()
	}
	items, err := p.listExpression()
	if err != nil {
		return nil, err
	}
	if sigil == '@' {
		return &Value{Kind: List, Items: items}, nil
	}
	return p.hashOf(items)
}

// push adds to a list.
func (p *parser) push(front bool) error {
	start := p.pos
	p.pos += len(word(p.src[p.pos:]))
	if err := p.space(); err != nil {
		return err
	}
	paren, err := p.token("(")
	if err != nil {
		return err
	}
	to, err := p.target(false)
	if err != nil {
		return err
	}
	if !to.array || to.hash {
		return p.no("push to something that is no list")
	}
	if err := p.want(","); err != nil {
		return err
	}
	items, err := p.listExpression()
	if err != nil {
		return err
	}
	if paren {
		if err := p.want(")"); err != nil {
			return err
		}
	}
	if !p.atEnd() {
		return p.no("%s", p.here())
	}
	list := to.get()
	switch {
	case list.Kind == Undef:
		list = empty('@')
		if err := p.set(to, list, p.lineAt(start)); err != nil {
			return err
		}
	case list.Kind != List:
		return p.no("push to something that is no list")
	}
	if len(list.Items)+len(items) > maxItems {
		return p.no("a list of more than %d elements", maxItems)
	}
	if front {
		list.Items = append(slices.Clone(items), list.Items...)
	} else {
		list.Items = append(list.Items, items...)
	}
	to.v.file, to.v.line = p.file, p.lineAt(start)
	return nil
}

// undefine reads undef $x.
func (p *parser) undefine() error {
	start := p.pos
	if _, err := p.keyword("undef"); err != nil {
		return err
	}
	to, err := p.target(false)
	if err != nil {
		return err
	}
	if !p.atEnd() {
		return p.no("%s", p.here())
	}
	return p.set(to, &Value{}, p.lineAt(start))
}

// get is the value that a place has.
func (t *place) get() *Value {
	switch {
	case t.in == nil:
		return t.v.value
	case t.in.Kind == Hash:
		if v := t.in.Fields[t.key]; v != nil {
			return v
		}
	case t.index < len(t.in.Items):
		return t.in.Items[t.index]
	}
	return &Value{}
}

// set gives a place a value.
func (p *parser) set(t *place, v *Value, line int) error {
	old := t.get()
	switch {
	case t.array && old.Kind == v.Kind && old != v: // of the list itself, whoever else refers to it
		old.Items, old.Fields = v.Items, v.Fields
	case t.in == nil:
		t.v.value = v
	case t.in.Kind == Hash:
		if t.env {
			p.config.env[t.key] = Setting{"$ENV{" + t.key + "}", v, p.file, line}
		}
		if t.in.Fields[t.key] == nil && len(t.in.Fields) >= maxItems {
			return p.no("a hash of more than %d elements", maxItems)
		}
		t.in.Fields[t.key] = v
	case t.index < len(t.in.Items):
		t.in.Items[t.index] = v
	case t.index < maxItems:
		for len(t.in.Items) <= t.index {
			t.in.Items = append(t.in.Items, &Value{})
		}
		t.in.Items[t.index] = v
	default:
		return p.no("a list of more than %d elements", maxItems)
	}
	t.v.file, t.v.line = p.file, line
	return nil
}
