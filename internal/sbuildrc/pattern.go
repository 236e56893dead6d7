package sbuildrc

import (
	"regexp"
	"strings"
)

// pattern reads /…/, m/…/ or qr/…/. Nothing is put into it: one with a variable is not understood.
func (p *parser) pattern() (*Value, error) {
	w := word(p.src[p.pos:])
	opening, closing := byte('/'), byte('/')
	switch {
	case w == "m" || w == "qr":
		var ok bool
		var err error
		if opening, closing, ok, err = p.delimiter(w); err != nil || !ok {
			return nil, errOr(err, p.no("%s", p.here()))
		}
	case strings.HasPrefix(p.src[p.pos:], "/"):
		p.pos++
	default:
		return nil, p.no("%s", p.here())
	}
	raw, err := p.delimited(opening, closing)
	if err != nil {
		return nil, err
	}
	flags := word(p.src[p.pos:])
	p.pos += len(flags)
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] == '\\' {
			i++
		} else if (raw[i] == '$' || raw[i] == '@') && opening != '\'' &&
			(isLetter(raw[i+1]) || raw[i+1] == '{') {
			return nil, p.no("a variable within a pattern is not understood")
		}
	}
	if opening == '/' {
		raw = strings.ReplaceAll(raw, `\/`, "/")
	}
	if strings.Trim(flags, "ims") != "" {
		return nil, p.no("the flags %s of a pattern are not understood", flags)
	}
	if flags != "" {
		raw = "(?" + flags + ")" + raw
	}
	if _, err := regexp.Compile(raw); err != nil {
		return nil, p.no("the pattern %s is not understood", raw)
	}
	return &Value{Kind: Pattern, Text: raw}, p.space()
}

// matches reads a pattern, and tells whether a text matches it.
func (p *parser) matches(v *Value) (bool, error) {
	to, err := p.pattern()
	if err != nil {
		return false, err
	}
	if v.Kind > Scalar {
		return false, p.no("a list or hash that is matched")
	}
	return to.Matches(v.Text), nil
}

// Matches tells whether a text is what a value stands for: a Pattern's match, or a Scalar's own
// text.
func (v *Value) Matches(s string) bool {
	if v.Kind != Pattern {
		return v.Kind == Scalar && v.Text == s
	}
	re, err := regexp.Compile(v.Text)
	return err == nil && re.MatchString(s)
}

// Glob is the pattern for a name as a shell would match it: with * and ?, and {a,b} for one of
// several.
func Glob(text string) *Value {
	var out strings.Builder
	braces := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*':
			out.WriteString(".*")
		case c == '?':
			out.WriteString(".")
		case c == '{':
			braces++
			out.WriteString("(?:")
		case c == '}' && braces > 0:
			braces--
			out.WriteString(")")
		case c == ',' && braces > 0:
			out.WriteString("|")
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteString(regexp.QuoteMeta(text[i : i+1]))
		default:
			out.WriteString(regexp.QuoteMeta(text[i : i+1]))
		}
	}
	out.WriteString(strings.Repeat(")", braces))
	return &Value{Kind: Pattern, Text: "^(?:" + out.String() + ")$"}
}
