package sbuildrc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/fault"
)

// parser reads one file. Its position is always in front of something: white space and comments are
// skipped after each token.
type parser struct {
	config *Config
	file   string
	src    string
	pos    int
	depth  int                  // of nested expressions
	tight  bool                 // within a string, where white space is text
	locals map[string]*variable // declared with my, by name with sigil
	docs   docs

	blocks   int  // that the position is within
	modifier int  // where the if stands that follows the statement; -1: nowhere
	lax      bool // no strict: an unknown variable is none of sbuild's, and no mistake
}

// docs are the texts of the heredocs of one line, which follow it. They are read when the mark of
// each is met.
type docs struct {
	newline int // the position of the line's end; 0: there are none
	end     int // behind the last text
}

// notRead is why a statement is not understood. It ends the statement, not the file.
type notRead struct {
	at   int
	what string
}

func (e *notRead) Error() string { return e.what }

// no fails at the present position.
func (p *parser) no(format string, args ...any) error {
	return &notRead{p.pos, fmt.Sprintf(format, args...)}
}

func (p *parser) lineAt(pos int) int {
	return 1 + strings.Count(p.src[:min(pos, len(p.src))], "\n")
}

// parse reads all statements.
func (p *parser) parse() error {
	if len(p.src) > 1 && p.src[0] == '=' && isLetter(p.src[1]) {
		p.skipPod()
	}
	if err := p.space(); err != nil {
		return p.fatal(err)
	}
	if err := p.statements(); err != nil {
		return p.fatal(err)
	}
	return nil
}

// end holds at what ends a program before its file does.
func (p *parser) end() bool {
	for _, mark := range []string{"__END__", "__DATA__"} {
		if strings.HasPrefix(p.src[p.pos:], mark) {
			return true
		}
	}
	return false
}

func (p *parser) fatal(err error) error {
	return fault.New(fault.Usage,
		"what cannot be read can be given on the command line, or left out of the file",
		"%s:%d: %w", p.file, p.lineAt(p.pos), err)
}

// leave goes on behind a statement that is not understood, and marks the variables that it names.
func (p *parser) leave(start int, why error) error {
	at, ok := why.(*notRead) //nolint:errorlint // made here, never wrapped
	if !ok {
		return why
	}
	line := p.lineAt(at.at)
	p.pos, p.depth = start, 0
	if err := p.skipStatement(); err != nil {
		return err
	}
	whole := p.src[start:p.pos]
	if err := p.space(); err != nil {
		return err
	}
	var names []string
	for _, m := range named().FindAllStringSubmatch(whole, -1) {
		if name := m[1]; p.config.known[name] && !slices.Contains(names, name) &&
			assigned(whole, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		v := p.variable("$" + name)
		v.spoil(p.file, line, at.what)
	}
	for name, v := range p.locals {
		if assigned(whole, name[1:]) {
			v.spoil(p.file, line, at.what)
		}
	}
	if len(names) == 0 {
		p.config.Notes = append(p.config.Notes, fmt.Sprintf("%s:%d: not read: %s", p.file, line,
			at.what))
	}
	return nil
}

// named are variables in a text: $name, ${name}, @name, @{$name}, %name.
var named = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[$@%]\{?\s*(\w+)`)
})

// assigned tells whether a statement that is not understood may change a variable: by an operator,
// a function, or whoever gets a reference to it. That it is read changes nothing.
func assigned(statement, name string) bool {
	v := `[$@%]\{?\s*\$?` + name + `\b`
	element := `(?:\s*\}?(?:\s*(?:->)?\s*(?:\[[^\]]*\]|\{[^}]*\}|@\*))*)?`
	for _, form := range []string{
		v + element + `\s*\)?\s*(?:\*\*|\|\||&&|//|[-+.*/%x|&^]|<<|>>)?=(?:[^=~]|$)`,
		v + element + `\s*=~\s*(?:s|tr|y)\b`,
		`\\\s*\(?[^;]*?` + v, // a reference to it
		`(?:\+\+|--)\s*` + v, v + element + `\s*(?:\+\+|--)`,
		`\b(?:push|unshift|splice|pop|shift|undef|chomp|chop|delete|local|my|our|foreach|for|` +
			`read|open)\b[^;]*` + v,
	} {
		if regexp.MustCompile(form).MatchString(statement) {
			return true
		}
	}
	return false
}

// skipStatement goes behind the semicolon that ends a statement, or behind the block that does.
func (p *parser) skipStatement() error {
	depth, blocks := 0, p.blockFollows()
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == ';' && depth == 0:
			p.pos++
			return nil
		case c == '}' && depth == 0 && p.blocks > 0:
			return nil
		case strings.IndexByte("([{", c) >= 0:
			depth++
			p.pos++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
			p.pos++
			if depth < 0 {
				return fmt.Errorf("%q closes nothing", c)
			}
			if depth == 0 && c == '}' && blocks {
				if more, err := p.goesOn(); !more || err != nil {
					return err
				}
			}
		default:
			if err := p.skipOne(); err != nil {
				return err
			}
			continue
		}
		if err := p.space(); err != nil {
			return err
		}
	}
	if depth > 0 {
		return fmt.Errorf("the file ends within brackets")
	}
	return nil
}

// skipOne goes behind a variable, a string, a word or a character, and the white space behind it.
func (p *parser) skipOne() error {
	c, next := p.src[p.pos], byte(0)
	if p.pos+1 < len(p.src) {
		next = p.src[p.pos+1]
	}
	switch {
	case strings.IndexByte("$@%", c) >= 0 && isLetter(next):
		p.pos += 1 + len(word(p.src[p.pos+1:])) // not the quote that a word such as s would be
	case c == '$' && next != 0 && strings.IndexByte("#$&'\"`;,.", next) >= 0:
		p.pos += 2 // a variable of Perl's own, or $#list
	case c == '/' && p.patternFollows():
		p.pos++
		if _, err := p.delimited('/', '/'); err != nil {
			return err
		}
	default:
		ok, err := p.skipToken()
		if err != nil {
			return err
		}
		if !ok {
			p.pos++
		}
	}
	return p.space()
}

// patternFollows tells the slash that begins a pattern from the one that divides.
func (p *parser) patternFollows() bool {
	before := strings.TrimRight(p.src[:p.pos], " \t\n")
	if before == "" || strings.IndexByte("~(,=!&|?:;{", before[len(before)-1]) >= 0 {
		return true
	}
	i := len(before)
	for i > 0 && (isLetter(before[i-1]) || isDigit(before[i-1]) || before[i-1] == '$') {
		i--
	}
	return slices.Contains([]string{
		"split", "if", "unless", "and", "or", "not", "grep", "map", "return",
	}, before[i:])
}

// blockFollows tells whether a statement that begins here ends with a block instead of a semicolon.
func (p *parser) blockFollows() bool {
	return strings.HasPrefix(p.src[p.pos:], "{") ||
		slices.Contains([]string{"if", "unless", "while", "until", "for", "foreach", "sub", "BEGIN",
			"END", "package"}, word(p.src[p.pos:]))
}

// goesOn tells whether a block is followed by another one of the same statement.
func (p *parser) goesOn() (bool, error) {
	err := p.space()
	return slices.Contains([]string{"else", "elsif", "continue"}, word(p.src[p.pos:])), err
}

// skipToken goes behind a string or a word; ok is false when there is neither.
func (p *parser) skipToken() (ok bool, err error) {
	rest := p.src[p.pos:]
	if w := word(rest); w != "" {
		if quoteWord(w) {
			if done, err := p.skipQuote(w); done || err != nil {
				return true, err
			}
		}
		p.pos += len(w)
		return true, nil
	}
	if rest[0] == '\'' || rest[0] == '"' || rest[0] == '`' {
		p.pos++
		_, err := p.delimited(rest[0], rest[0])
		return true, err
	}
	if strings.HasPrefix(rest, "<<") {
		if _, _, err := p.heredocText(); err == nil || !isNotRead(err) {
			return true, err
		}
	}
	return false, nil
}

func isNotRead(err error) bool {
	_, ok := err.(*notRead) //nolint:errorlint // made here, never wrapped
	return ok
}

// space skips white space, comments, documentation, and the texts of heredocs.
func (p *parser) space() error {
	for !p.tight && p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '\n':
			p.pos++
			if p.docs.newline == p.pos-1 && p.docs.newline > 0 {
				p.pos, p.docs = p.docs.end, docs{}
			}
			if p.pos+1 < len(p.src) && p.src[p.pos] == '=' && isLetter(p.src[p.pos+1]) {
				p.skipPod()
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\f':
			p.pos++
		case c == '#':
			if i := strings.IndexByte(p.src[p.pos:], '\n'); i >= 0 {
				p.pos += i
			} else {
				p.pos = len(p.src)
			}
		default:
			return nil
		}
	}
	return nil
}

// skipPod goes behind documentation.
func (p *parser) skipPod() {
	if i := strings.Index(p.src[p.pos:], "\n=cut"); i >= 0 {
		p.pos += i + len("\n=cut")
		if j := strings.IndexByte(p.src[p.pos:], '\n'); j >= 0 {
			p.pos += j
			return
		}
	}
	p.pos = len(p.src)
}

// take skips a token, and what follows it, when it is there.
func (p *parser) take(token string) bool {
	if !strings.HasPrefix(p.src[p.pos:], token) {
		return false
	}
	p.pos += len(token)
	return true
}

// token is take with the white space behind it.
func (p *parser) token(t string) (bool, error) {
	if !p.take(t) {
		return false, nil
	}
	return true, p.space()
}

// want is a token that must be there.
func (p *parser) want(t string) error {
	if !p.take(t) {
		return p.no("%s", p.here())
	}
	return p.space()
}

// keyword is a word that stands alone.
func (p *parser) keyword(w string) (bool, error) {
	if word(p.src[p.pos:]) != w {
		return false, nil
	}
	return p.token(w)
}

// here shows what stands at the present position.
func (p *parser) here() string {
	rest := p.src[p.pos:]
	if rest == "" {
		return "the file ends here"
	}
	line, _, _ := strings.Cut(rest, "\n")
	if r := []rune(line); len(r) > 40 {
		line = string(r[:40]) + "…"
	}
	return fmt.Sprintf("the form %q is not understood", strings.TrimSpace(line))
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// word is the identifier that a text begins with.
func word(s string) string {
	if s == "" || !isLetter(s[0]) {
		return ""
	}
	i := 1
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i])) {
		i++
	}
	return s[:i]
}
