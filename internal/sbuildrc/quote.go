package sbuildrc

import (
	"fmt"
	"slices"
	"strings"
)

// quoteWord holds for words that begin a quote-like form.
func quoteWord(w string) bool {
	return slices.Contains([]string{"q", "qq", "qw", "qr", "qx", "m", "s", "tr", "y"}, w)
}

// delimiter skips a quote's word and its opening delimiter, and returns that with the closing one;
// ok is false when the word is no quote here: a key before =>, say.
func (p *parser) delimiter(w string) (opening, closing byte, ok bool, err error) {
	start := p.pos
	p.pos += len(w)
	spaced := p.pos < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.pos]) >= 0
	if spaced { // else a # is no comment
		if err := p.space(); err != nil {
			return 0, 0, false, err
		}
	}
	if p.pos >= len(p.src) {
		p.pos = start
		return 0, 0, false, nil
	}
	opening = p.src[p.pos]
	if strings.IndexByte("=,;)]}", opening) >= 0 || spaced &&
		(isLetter(opening) || isDigit(opening)) {
		p.pos = start
		return 0, 0, false, nil
	}
	p.pos++
	return opening, closingOf(opening), true, nil
}

func closingOf(opening byte) byte {
	if i := strings.IndexByte("([{<", opening); i >= 0 {
		return ")]}>"[i]
	}
	return opening
}

// skipQuote goes behind a quote-like form, one with two parts included.
func (p *parser) skipQuote(w string) (bool, error) {
	opening, closing, ok, err := p.delimiter(w)
	if !ok || err != nil {
		return false, err
	}
	if _, err := p.delimited(opening, closing); err != nil {
		return false, err
	}
	if w != "s" && w != "tr" && w != "y" {
		return true, nil
	}
	if opening != closing {
		if err := p.space(); err != nil {
			return false, err
		}
		if p.pos >= len(p.src) {
			return true, nil
		}
		opening, closing = p.src[p.pos], closingOf(p.src[p.pos])
		p.pos++
	}
	_, err = p.delimited(opening, closing)
	return true, err
}

// delimited reads up to a closing delimiter, which it goes behind. The opening one has been read.
func (p *parser) delimited(opening, closing byte) (string, error) {
	start, depth := p.pos, 0
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == '\\' && p.pos < len(p.src):
			p.pos++
		case c == closing && depth == 0:
			if p.docs.newline >= start && p.docs.newline < p.pos && p.docs.newline > 0 {
				return "", fmt.Errorf("a string goes on behind the text of a heredoc")
			}
			return p.src[start : p.pos-1], nil
		case c == closing:
			depth--
		case c == opening:
			depth++
		}
	}
	p.pos = start
	return "", fmt.Errorf("a string that begins here never ends")
}

// single is the text of a string without interpolation.
func single(raw string, opening, closing byte) string {
	var out strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) &&
			(raw[i+1] == '\\' || raw[i+1] == opening || raw[i+1] == closing) {
			i++
		}
		out.WriteByte(raw[i])
	}
	return out.String()
}

// double is the text of a string with interpolation.
func (p *parser) double(raw string) (*Value, error) {
	var out strings.Builder
	for i := 0; i < len(raw); i++ {
		if out.Len() > maxText {
			return nil, p.no("a string of more than %d bytes", maxText)
		}
		next := byte(0)
		if i+1 < len(raw) {
			next = raw[i+1]
		}
		switch {
		case raw[i] == '\\' && next != 0:
			i++
			c, ok := escaped(next)
			if !ok {
				return nil, p.no(`the escape \%c is not understood`, next)
			}
			out.WriteByte(c)
		case raw[i] == '@' && (isLetter(next) || next == '{' || next == '$' || next == ':'):
			return nil, p.no(`an @ within double quotes stands for a list; write \@`)
		case raw[i] == '$':
			inner := *p
			inner.src, inner.pos, inner.tight, inner.docs = raw, i, true, docs{}
			v, err := inner.variableValue()
			if err == nil && v.Kind != Scalar && v.Kind != Undef {
				err = p.no("a list or hash within a string")
			}
			if isNotRead(err) {
				return nil, p.no("%v", err)
			}
			if err != nil {
				return nil, err
			}
			out.WriteString(v.Text)
			i = inner.pos - 1
		default:
			out.WriteByte(raw[i])
		}
	}
	return text(out.String()), nil
}

// escaped is what a character behind a backslash means.
func escaped(c byte) (byte, bool) {
	if i := strings.IndexByte("ntrfea", c); i >= 0 {
		return "\n\t\r\f\x1b\a"[i], true
	}
	return c, !isLetter(c) && !isDigit(c)
}

// quoted reads a string, or the words of qw; list tells that these are several.
func (p *parser) quoted() (values []*Value, list bool, err error) {
	w := word(p.src[p.pos:])
	opening, closing := p.src[p.pos], p.src[p.pos]
	if w == "" {
		p.pos++
	} else {
		var ok bool
		if opening, closing, ok, err = p.delimiter(w); err != nil || !ok {
			return nil, false, errOr(err, p.no("%s", p.here()))
		}
	}
	at := p.pos
	raw, err := p.delimited(opening, closing)
	if err != nil {
		return nil, false, err
	}
	var v *Value
	switch {
	case len(raw) > maxText:
		return nil, false, p.no("a string of more than %d bytes", maxText)
	case w == "qw":
		for _, f := range strings.Fields(raw) {
			values = append(values, text(single(f, opening, closing)))
		}
		return values, true, p.space()
	case w == "q", w == "" && opening == '\'':
		v = text(single(raw, opening, closing))
	case w == "qq", w == "" && opening == '"':
		v, err = p.double(raw)
	default:
		p.pos = at
		return nil, false, p.no("%s", p.here())
	}
	if err != nil {
		return nil, false, err
	}
	return []*Value{v}, false, p.space()
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// heredoc reads <<'MARK', <<"MARK", <<MARK and their forms with ~.
func (p *parser) heredoc() (*Value, error) {
	body, interpolated, err := p.heredocText()
	if err != nil {
		return nil, err
	}
	v := text(body)
	if interpolated {
		if v, err = p.double(body); err != nil {
			return nil, err
		}
	}
	return v, p.space()
}

// heredocText finds the text of a heredoc, which follows the line that its mark is in, or the text
// before.
func (p *parser) heredocText() (body string, interpolated bool, err error) {
	start := p.pos
	p.pos += len("<<")
	indented := p.take("~")
	mark, interpolated := word(p.src[p.pos:]), true
	switch {
	case mark != "":
		p.pos += len(mark)
	case p.pos < len(p.src) && (p.src[p.pos] == '"' || p.src[p.pos] == '\''):
		q := p.src[p.pos]
		p.pos++
		if mark, err = p.delimited(q, q); err != nil {
			return "", false, err
		}
		interpolated = q == '"'
	default:
		p.pos = start
		return "", false, p.no("%s", p.here())
	}
	if p.docs.newline == 0 {
		i := strings.IndexByte(p.src[p.pos:], '\n')
		if i < 0 {
			return "", false, fmt.Errorf("the text that ends with %s never begins", mark)
		}
		p.docs = docs{p.pos + i, p.pos + i + 1}
	}
	var lines []string
	for rest := p.src[p.docs.end:]; ; {
		line, after, more := strings.Cut(rest, "\n")
		bare := line
		if indented {
			bare = strings.TrimLeft(line, " \t")
		}
		if bare == mark {
			p.docs.end = len(p.src) - len(after)
			break
		}
		if !more {
			return "", false, fmt.Errorf("the text that ends with %s never does", mark)
		}
		lines, rest = append(lines, line), after
	}
	if indented {
		lines = unindent(lines)
	}
	body = strings.Join(append(lines, ""), "\n")
	if len(body) > maxText {
		return "", false, p.no("a string of more than %d bytes", maxText)
	}
	return body, interpolated, nil
}

// unindent takes the white space away that all lines begin with.
func unindent(lines []string) []string {
	least := -1
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		if n := len(l) - len(strings.TrimLeft(l, " \t")); least < 0 || n < least {
			least = n
		}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l[min(len(l), max(least, 0)):]
	}
	return out
}
