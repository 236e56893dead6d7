package archive

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// source is one archive of sources.list(5): one type, URI and suite each; what a file says in one entry for several is spread out.
type source struct {
	binary     bool // deb; otherwise deb-src
	uri, suite string
	components []string
	options    sourceOptions
	file       string // where it stands
}

// sourceOptions are the options of sources.list(5) that matter when fetching. A nil pointer is an option that is not given.
type sourceOptions struct {
	signedBy        []string // absolute file names and fingerprints
	keyData         string   // an armored key in the file itself
	trusted         *bool
	architectures   []string
	checkValidUntil *bool
	validMin        *time.Duration
	validMax        *time.Duration
	checkDate       *bool
	maxFuture       *time.Duration
	byHash          string
}

// parseOneLine reads the one-line style. Lines that are not understood are reported together, the others are kept, for one bad vendor's line must not hide Debian's.
func parseOneLine(text, file string) ([]source, error) {
	var out []source
	var bad []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = strings.TrimSpace(line[:i])
		}
		if line == "" {
			continue
		}
		s, ok := parseLine(line)
		if !ok {
			bad = append(bad, line)
			continue
		}
		s.file = file
		out = append(out, s)
	}
	if len(bad) > 0 {
		return out, syntaxf("%s: not understood: %q", file, bad)
	}
	return out, nil
}

func parseLine(line string) (source, bool) {
	kind, rest := cutWord(line)
	s := source{binary: kind == "deb"}
	if kind != "deb" && kind != "deb-src" {
		return s, false
	}
	if opts, ok := strings.CutPrefix(rest, "["); ok {
		opts, after, ok := strings.Cut(opts, "]")
		if !ok {
			return s, false
		}
		for _, word := range strings.Fields(opts) {
			name, value, ok := strings.Cut(word, "=")
			if !ok {
				return s, false
			}
			s.options.set(optionFields[strings.ToLower(strings.TrimRight(name, "+-"))], strings.Split(value, ","))
		}
		rest = strings.TrimSpace(after)
	}
	if strings.HasPrefix(rest, "cdrom:") { // its name may hold blanks
		i := strings.LastIndexByte(rest, ']')
		if i < 0 {
			return s, false
		}
		tail, more := cutWord(rest[i+1:])
		s.uri, rest = rest[:i+1]+tail, more
	} else {
		s.uri, rest = cutWord(rest)
	}
	s.suite, rest = cutWord(rest)
	s.components = strings.Fields(rest)
	if s.suite == "" || len(s.components) == 0 && !strings.HasSuffix(s.suite, "/") {
		return s, false
	}
	return s, true
}

// cutWord splits off the first word.
func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// optionFields: the names of options in the one-line style and their fields in the deb822 style.
var optionFields = map[string]string{
	"signed-by": "Signed-By", "trusted": "Trusted", "arch": "Architectures", "check-valid-until": "Check-Valid-Until", "valid-until-min": "Valid-Until-Min",
	"valid-until-max": "Valid-Until-Max", "check-date": "Check-Date", "date-max-future": "Date-Max-Future", "by-hash": "By-Hash",
}

// parseSources reads the deb822 style.
func parseSources(text, file string) ([]source, error) {
	var out []source
	s := newScanner(bytes.NewReader(bytes.ReplaceAll([]byte(text), []byte("\r\n"), []byte("\n"))), maxParagraph, true)
	for s.next() {
		if !aptBool(string(s.get("Enabled")), true) {
			continue
		}
		var options sourceOptions
		for _, name := range optionFields {
			if value := s.get(name); value != nil {
				options.set(name, strings.Fields(string(value)))
				if name == "Signed-By" && bytes.Contains(value, []byte("BEGIN PGP")) {
					options.signedBy, options.keyData = nil, foldedText(string(value))
				}
			}
		}
		words := func(name string) []string { return strings.Fields(string(s.get(name))) }
		types, uris, suites := words("Types"), words("URIs"), words("Suites")
		if len(types) == 0 || len(uris) == 0 || len(suites) == 0 {
			return out, syntaxf("%s: paragraph %d lacks Types, URIs or Suites", file, s.count)
		}
		for _, t := range types {
			for _, uri := range uris {
				for _, suite := range suites {
					out = append(out, source{binary: t == "deb", uri: uri, suite: suite, components: words("Components"), options: options, file: file})
				}
			}
		}
	}
	return out, s.err
}

// foldedText undoes the folding of a multi-line field: one leading blank goes, a lone dot stands for an empty line.
func foldedText(value string) string {
	var out strings.Builder
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if line == "." {
			line = ""
		}
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.String()
}

// set takes over one option, by its field name; names it does not know are apt's business.
func (o *sourceOptions) set(name string, values []string) {
	first := ""
	if len(values) > 0 {
		first = values[0]
	}
	yes := func() *bool {
		switch a, b := aptBool(first, true), aptBool(first, false); {
		case a == b:
			return &a
		}
		return nil
	}
	seconds := func() *time.Duration {
		c := aptConf{values: map[string]string{"v": first}}
		if d, ok := c.seconds("v"); ok {
			return &d
		}
		return nil
	}
	switch name {
	case "Signed-By":
		o.signedBy = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })
	case "Trusted":
		o.trusted = yes()
	case "Architectures":
		o.architectures = values
	case "Check-Valid-Until":
		o.checkValidUntil = yes()
	case "Valid-Until-Min":
		o.validMin = seconds()
	case "Valid-Until-Max":
		o.validMax = seconds()
	case "Check-Date":
		o.checkDate = yes()
	case "Date-Max-Future":
		o.maxFuture = seconds()
	case "By-Hash":
		o.byHash = strings.ToLower(first)
	}
}

// DistributionSuites lists the suites of a sources.list(5) file, deb822 or not, that the table knows as a distribution's own, in the order in which they stand there. Lines that
// are not understood count for nothing.
func DistributionSuites(text string, deb822 bool) []string {
	parse := parseOneLine
	if deb822 {
		parse = parseSources
	}
	found, _ := parse(text, "") // the rest is read all the same
	var out []string
	for _, s := range found {
		if _, security, ok := distributionOf(s.suite); ok && s.binary && !security && !slices.Contains(out, s.suite) {
			out = append(out, s.suite)
		}
	}
	return out
}
