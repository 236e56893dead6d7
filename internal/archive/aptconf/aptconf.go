package aptconf

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/archive/failure"
)

// aptConf is a tree of apt.conf(5) settings, flattened: the key is the whole path in lower case
// ("acquire::http::proxy"), since apt's keys are case-insensitive.
type aptConf struct {
	values map[string]string
	lists  map[string][]string // items without a name of their own
}

func newAptConf() *aptConf {
	return &aptConf{values: map[string]string{}, lists: map[string][]string{}}
}

// get is the value of a setting or "".
func (c *aptConf) get(key string) string { return c.values[strings.ToLower(key)] }

// flag is a setting as apt reads booleans: yes, true, with, on, enable, and their opposites;
// anything else is the default.
func (c *aptConf) flag(key string, def bool) bool { return Bool(c.get(key), def) }

// Bool is a word as apt reads booleans: yes, true, with, on, enable, 1, and their opposites; def
// for anything else.
func Bool(v string, def bool) bool {
	switch strings.ToLower(v) {
	case "yes", "true", "with", "on", "enable", "1":
		return true
	case "no", "false", "without", "off", "disable", "0":
		return false
	}
	return def
}

// number is a setting as a non-negative decimal; ok is false when it is absent or no such number.
func (c *aptConf) number(key string) (n int64, ok bool) {
	n, err := strconv.ParseInt(c.get(key), 10, 64)
	return n, err == nil && n >= 0
}

// seconds is a setting in seconds as a duration.
func (c *aptConf) seconds(key string) (time.Duration, bool) {
	n, ok := c.number(key)
	if !ok || n > int64(1<<62/time.Second) {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

func (c *aptConf) set(scope, name, value string) {
	key := strings.ToLower(name)
	if scope != "" {
		key = scope + "::" + key
	}
	// "Acquire::Languages:: "de";" adds to the list
	if list, ok := strings.CutSuffix(key, "::"); ok {
		c.lists[list] = append(c.lists[list], value)
		return
	}
	c.values[key] = value
}

// clear removes a setting with everything below it; with a trailing :: only the nameless items.
func (c *aptConf) clear(key string) {
	key = strings.ToLower(key)
	if list, ok := strings.CutSuffix(key, "::"); ok {
		delete(c.lists, list)
		return
	}
	for k := range c.values {
		if k == key || strings.HasPrefix(k, key+"::") {
			delete(c.values, k)
		}
	}
	for k := range c.lists {
		if k == key || strings.HasPrefix(k, key+"::") {
			delete(c.lists, k)
		}
	}
}

// parse adds the settings of one file. What stands before a mistake is kept, as apt keeps it.
func (c *aptConf) parse(text string) error {
	p := confParser{text: text, line: 1}
	return p.block(c, "", 0)
}

// confParser is a recursive reader of apt.conf(5): statements `name "value";`, scopes `name { …
// };`, lists of bare values, comments //, #, /* */, the directive #clear;
// #include is passed over (apt itself has it only in its own files).
type confParser struct {
	text string
	pos  int
	line int
}

type confToken struct {
	kind  byte // 'w' word, '{', '}', ';', '#' directive, 0 end
	text  string
	quote bool
}

const maxConfDepth = 100

func (p *confParser) block(c *aptConf, scope string, depth int) error {
	if depth > maxConfDepth {
		return failure.Syntax("line %d: scopes nested too deeply", p.line)
	}
	var words []confToken
	for {
		t, err := p.token()
		if err != nil {
			return err
		}
		switch t.kind {
		case 'w':
			words = append(words, t)
		case '#':
			name, rest, _ := strings.Cut(t.text, " ")
			if name == "#clear" {
				for _, key := range strings.Fields(
					strings.TrimSuffix(strings.TrimSpace(rest), ";")) {
					c.clear(key)
				}
			}
		case ';', '}', 0:
			if err := statement(c, scope, words, p.line); err != nil {
				return err
			}
			words = nil
			switch {
			case t.kind == '}' && depth == 0:
				return failure.Syntax("line %d: } without {", p.line)
			case t.kind == 0 && depth > 0:
				return failure.Syntax("line %d: { without }", p.line)
			case t.kind != ';':
				return nil
			}
		case '{':
			inner := scope
			if len(words) > 0 {
				inner = strings.ToLower(strings.TrimSuffix(words[0].text, "::"))
				if scope != "" {
					inner = scope + "::" + inner
				}
				if len(words) == 2 {
					c.set("", inner, words[1].text)
				}
			}
			words = nil
			if err := p.block(c, inner, depth+1); err != nil {
				return err
			}
		}
	}
}

// statement stores what stands before a semicolon.
func statement(c *aptConf, scope string, words []confToken, line int) error {
	switch {
	case len(words) == 0:
		return nil
	case len(words) == 1 && scope != "" &&
		(words[0].quote || !strings.Contains(words[0].text, "::")):
		c.lists[scope] = append(c.lists[scope], words[0].text)
		return nil
	case len(words) == 1:
		c.set(scope, words[0].text, "")
		return nil
	case len(words) == 2:
		c.set(scope, words[0].text, words[1].text)
		return nil
	}
	return failure.Syntax("line %d: %q: more than a name and a value", line, words[0].text)
}

func (p *confParser) token() (confToken, error) {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		switch ch := rest[0]; {
		case ch == '\n':
			p.line++
			p.pos++
		case ch == ' ' || ch == '\t' || ch == '\r':
			p.pos++
		case strings.HasPrefix(rest, "//"):
			p.skipLine()
		case ch == '#':
			line := p.skipLine()
			if strings.HasPrefix(line, "#clear ") {
				return confToken{kind: '#', text: strings.TrimSpace(line)}, nil
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return confToken{}, failure.Syntax("line %d: comment without end", p.line)
			}
			p.line += strings.Count(rest[:end+4], "\n")
			p.pos += end + 4
		case ch == '{' || ch == '}' || ch == ';':
			p.pos++
			return confToken{kind: ch}, nil
		case ch == '"':
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				return confToken{}, failure.Syntax("line %d: quote without end", p.line)
			}
			p.line += strings.Count(rest[:end+2], "\n")
			p.pos += end + 2
			return confToken{kind: 'w', text: rest[1 : end+1], quote: true}, nil
		default:
			end := strings.IndexAny(rest, " \t\r\n{};\"")
			if end < 0 {
				end = len(rest)
			}
			p.pos += end
			return confToken{kind: 'w', text: rest[:end]}, nil
		}
	}
	return confToken{}, nil
}

// skipLine passes the rest of the line and returns it.
func (p *confParser) skipLine() string {
	rest := p.text[p.pos:]
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	p.pos += len(rest)
	return rest
}

// partName reports whether apt reads a file of this name in one of its .d directories: letters,
// digits, - _ . only, no leading dot, and one of the extensions ("" for none).
func partName(name string, extensions ...string) bool {
	if name == "" || name[0] == '.' {
		return false
	}
	for _, ch := range []byte(name) {
		if !('a' <= ch && ch <= 'z' || 'A' <= ch && ch <= 'Z' || '0' <= ch && ch <= '9' ||
			ch == '-' || ch == '_' || ch == '.') {
			return false
		}
	}
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		ext = name[i+1:]
	}
	return slices.Contains(extensions, ext)
}
