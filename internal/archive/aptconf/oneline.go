package aptconf

import (
	"fmt"
	"strings"

	"nsbuild/internal/archive/failure"
)

// parseOneLine reads the one-line style. Lines that apt would not take are reported together and
// the others are kept, for one bad vendor's line must not hide Debian's. arch is what $(ARCH)
// stands for.
func parseOneLine(text, file, arch string) ([]source, error) {
	var out []source
	var bad []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(withoutComment(line))
		if line == "" {
			continue
		}
		e, why := parseLine(line)
		var s source
		if why == "" {
			s, why = e.source(file, arch)
		}
		if why != "" {
			bad = append(bad, fmt.Sprintf("%q (%s)", line, why))
			continue
		}
		out = append(out, s)
	}
	if len(bad) > 0 {
		return out, failure.Syntax("%s: not understood: %s", file, strings.Join(bad, ", "))
	}
	return out, nil
}

// withoutComment cuts a line at its #, unless that stands within brackets.
func withoutComment(line string) string {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '#':
			return line[:i]
		case '[':
			if end := strings.IndexByte(line[i:], ']'); end > 0 {
				i += end
			}
		}
	}
	return line
}

// parseLine splits a line up. why is what is wrong with it.
func parseLine(line string) (e entry, why string) {
	e.kind, line = cutWord(line)
	if rest, ok := strings.CutPrefix(line, "["); ok {
		inside, after, ok := strings.Cut(rest, "]")
		if !ok {
			return e, "its options never end"
		}
		if why := e.options.parse(inside); why != "" {
			return e, why
		}
		if after != "" && after[0] != ' ' && after[0] != '\t' && !strings.HasSuffix(inside, " ") {
			return e, "no blank behind its options"
		}
		line = after
	}
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		word, rest, ok := cutQuoted(line)
		if !ok {
			return e, "a quote or bracket that never ends"
		}
		words, line = append(words, word), rest
	}
	if len(words) > 0 {
		e.uri = words[0]
	}
	if len(words) > 1 {
		e.suite, e.components = words[1], words[2:]
	}
	return e, ""
}

// parse reads what stands between the brackets.
func (o *sourceOptions) parse(text string) (why string) {
	for _, word := range strings.Fields(text) {
		name, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			return "option " + word + " is no assignment"
		case name == "" || value == "":
			return "option " + word + " lacks its name or its value"
		}
		o.set(name, strings.FieldsFunc(value, isSeparator))
	}
	return ""
}

// cutWord splits off the first word.
func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// cutQuoted splits off the first word, in which blanks may stand between quotes, which do not
// belong to it, or brackets, which do.
func cutQuoted(s string) (word, rest string, ok bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		var closing byte
		switch s[i] {
		case ' ', '\t':
			return out.String(), s[i:], true
		case '"':
			closing = '"'
		case '[':
			closing = ']'
		default:
			out.WriteByte(s[i])
			continue
		}
		end := strings.IndexByte(s[i+1:], closing)
		if end < 0 {
			return "", "", false
		}
		text := s[i+1 : i+1+end]
		if closing == ']' {
			text = "[" + text + "]"
		}
		out.WriteString(text)
		i += end + 1
	}
	return out.String(), "", true
}
