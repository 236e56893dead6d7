package sbuildrc

import (
	"maps"
	"os"
	"slices"
	"strings"
)

// statements reads statements up to the end of the file, or of the block that they are in.
func (p *parser) statements() error {
	for p.pos < len(p.src) && !p.end() {
		if p.blocks > 0 && p.src[p.pos] == '}' {
			return nil
		}
		start, before, depth := p.pos, p.docs, p.blocks
		closed, err := p.statement()
		if err == nil && !closed && !p.take(";") && !p.atEnd() {
			err = p.no("%s", p.here())
		}
		if err == nil {
			if err = p.space(); err == nil {
				continue
			}
		}
		p.docs, p.blocks = before, depth
		if err := p.leave(start, err); err != nil {
			return err
		}
	}
	return nil
}

// atEnd holds where a statement ends: before its semicolon, before the if behind it, at the end of
// the block or of the file.
func (p *parser) atEnd() bool {
	return p.pos >= len(p.src) || p.src[p.pos] == ';' || p.pos == p.modifier ||
		p.blocks > 0 && p.src[p.pos] == '}'
}

// block reads the statements between braces; what is declared there is not known behind.
func (p *parser) block() error {
	if p.blocks++; p.blocks > maxDepth {
		return p.no("it is nested too deep")
	}
	outer := p.locals
	p.locals = maps.Clone(outer)
	defer func() { p.locals = outer }()
	if err := p.want("{"); err != nil {
		return err
	}
	if err := p.statements(); err != nil {
		return err
	}
	p.blocks--
	return p.want("}")
}

// skipBlock goes behind a block that is not executed.
func (p *parser) skipBlock() error {
	if p.pos >= len(p.src) || p.src[p.pos] != '{' {
		return p.no("%s", p.here())
	}
	for depth := 0; p.pos < len(p.src); {
		switch p.src[p.pos] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if err := p.skipOne(); err != nil {
			return err
		}
		if depth == 0 {
			return nil
		}
	}
	return p.no("the file ends within a block")
}

// conditional reads if, or unless, with its blocks, and executes the one whose condition holds.
func (p *parser) conditional() error {
	done := false
	for w := word(p.src[p.pos:]); ; w = word(p.src[p.pos:]) {
		holds := true
		if w != "else" {
			var err error
			if holds, err = p.clause(w == "unless"); err != nil {
				return err
			}
		} else if _, err := p.keyword(w); err != nil {
			return err
		}
		run := p.skipBlock
		if holds && !done {
			run = p.block
		}
		if err := run(); err != nil {
			return err
		}
		done = done || holds
		if next := word(p.src[p.pos:]); w == "else" || next != "elsif" && next != "else" {
			return nil
		}
	}
}

// clause reads if (CONDITION).
func (p *parser) clause(negated bool) (bool, error) {
	if _, err := p.keyword(word(p.src[p.pos:])); err != nil {
		return false, err
	}
	if err := p.want("("); err != nil {
		return false, err
	}
	holds, err := p.condition()
	if err != nil {
		return false, err
	}
	return holds != negated, p.want(")")
}

// guarded executes a statement behind which an if may stand.
func (p *parser) guarded(run func() error) error {
	start := p.pos
	at, end, err := p.findModifier()
	if err != nil || at < 0 {
		p.pos = start
		return errOr(err, run())
	}
	negated := word(p.src[at:]) == "unless"
	p.pos = at
	if _, err := p.keyword(word(p.src[at:])); err != nil {
		return err
	}
	holds, err := p.condition()
	if err != nil {
		return err
	}
	if holds != negated {
		p.pos, p.modifier = start, at
		err := run()
		p.modifier = -1
		if err != nil {
			return err
		}
	}
	p.pos = end
	return nil
}

// findModifier looks for the if or unless behind the statement that begins here, and for its end.
func (p *parser) findModifier() (at, end int, err error) {
	at = -1
	before := p.docs
	defer func() { p.docs = before }()
	for depth := 0; p.pos < len(p.src); {
		c := p.src[p.pos]
		switch {
		case depth == 0 && (c == ';' || c == '}'):
			return at, p.pos, nil
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case depth == 0 && at < 0 && slices.Contains([]string{"if", "unless"}, word(p.src[p.pos:])):
			at = p.pos
		}
		if err := p.skipOne(); err != nil {
			return -1, 0, err
		}
	}
	return at, p.pos, nil
}

// condition reads what is true or false: comparisons joined by and and or.
func (p *parser) condition() (bool, error) {
	if p.depth++; p.depth > maxDepth {
		return false, p.no("it is nested too deep")
	}
	defer func() { p.depth-- }()
	both := func() (bool, error) {
		return p.joined([]string{"&&", "and"}, func(a, b bool) bool { return a && b }, p.negation)
	}
	return p.joined([]string{"||", "or"}, func(a, b bool) bool { return a || b }, both)
}

// joined reads conditions with one of some operators between them.
func (p *parser) joined(ops []string, join func(a, b bool) bool,
	next func() (bool, error),
) (bool, error) {
	holds, err := next()
	for err == nil {
		ok := false
		for _, op := range ops {
			if !ok && err == nil {
				ok, err = p.operator(op)
			}
		}
		if err != nil || !ok {
			return holds, err
		}
		var more bool
		if more, err = next(); err == nil {
			holds = join(holds, more)
		}
	}
	return false, err
}

// operator skips an operator, a word or not.
func (p *parser) operator(op string) (bool, error) {
	if isLetter(op[0]) {
		return p.keyword(op)
	}
	return p.token(op)
}

// negation reads a comparison, negated or not.
func (p *parser) negation() (bool, error) {
	rest := p.src[p.pos:]
	if strings.HasPrefix(rest, "!") && !strings.HasPrefix(rest, "!~") || word(rest) == "not" {
		if _, err := p.operator(
			map[bool]string{true: "!", false: "not"}[rest[0] == '!']); err != nil {
			return false, err
		}
		holds, err := p.negation()
		return !holds, err
	}
	return p.comparison()
}

// fileTests are the operators that ask for a file, as far as they are understood.
const fileTests = "edfsrz"

// comparison reads a value, a comparison of two, or a question about a file or a variable.
func (p *parser) comparison() (bool, error) {
	rest := p.src[p.pos:]
	switch {
	case len(rest) > 2 && rest[0] == '-' && strings.IndexByte(fileTests, rest[1]) >= 0 &&
		word(rest[1:]) == rest[1:2]:
		p.pos += 2
		if err := p.space(); err != nil {
			return false, err
		}
		v, err := p.concatenation()
		return err == nil && fileHolds(rest[1], v.Text), err
	case word(rest) == "defined":
		if _, err := p.keyword("defined"); err != nil {
			return false, err
		}
		v, err := p.primary()
		return err == nil && v.Kind != Undef, err
	case rest != "" && rest[0] == '(':
		start, depth := p.pos, p.depth
		v, err := p.concatenation()
		if err == nil {
			return p.compared(v)
		}
		if !isNotRead(err) {
			return false, err
		}
		p.pos, p.depth = start, depth
		if err := p.want("("); err != nil {
			return false, err
		}
		holds, err := p.condition()
		return holds, errOr(err, p.want(")"))
	}
	v, err := p.concatenation()
	if err != nil {
		return false, err
	}
	return p.compared(v)
}

// compared reads what a value is compared with, if there is anything.
func (p *parser) compared(v *Value) (bool, error) {
	for _, op := range []string{"eq", "ne", "==", "!=", "=~", "!~"} {
		ok, err := p.operator(op)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		if op[1] == '~' {
			matches, err := p.matches(v)
			return matches == (op == "=~"), err
		}
		other, err := p.concatenation()
		if err != nil {
			return false, err
		}
		if v.Kind > Scalar || other.Kind > Scalar {
			return false, p.no("a list or hash that is compared")
		}
		return (v.Text == other.Text) == (op == "eq" || op == "=="), nil
	}
	more := p.src[p.pos:]
	if more != "" && strings.IndexByte("<>+*/%?", more[0]) >= 0 && !strings.HasPrefix(more, "//") {
		return false, p.no("%s", p.here())
	}
	return v.True(), nil
}

// fileHolds answers a question about a file of the host.
func fileHolds(test byte, name string) bool {
	fi, err := os.Stat(name)
	if err != nil {
		return false
	}
	switch test {
	case 'd':
		return fi.IsDir()
	case 'f':
		return fi.Mode().IsRegular()
	case 's':
		return fi.Size() > 0
	case 'z':
		return fi.Size() == 0
	case 'r':
		return readable(name)
	}
	return true
}

// readable tells whether a file may be read, without waiting for one that is no regular file.
func readable(name string) bool {
	fi, err := os.Stat(name)
	if err != nil || !fi.Mode().IsRegular() {
		return err == nil
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	_ = f.Close() // nothing was written
	return true
}
