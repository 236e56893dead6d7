package aptconf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/deb822"
)

// source is one archive of sources.list(5): one type, URI and suite each; what a file says in one
// entry for several is spread out.
type source struct {
	binary     bool // deb; otherwise deb-src
	uri, suite string
	components []string
	options    sourceOptions
	file       string // where it stands
	unread     error  // why its list of mirrors is of no use
}

// sourceOptions are the options of sources.list(5) that matter here. A nil pointer is an option
// that is not given. Languages and PDiffs say what is fetched besides, or how: nothing here.
type sourceOptions struct {
	signedBy        []string // absolute file names and fingerprints
	keyData         string   // an armored key in the file itself
	trusted         *bool
	allowInsecure   bool
	architectures   []string // "": all
	notFor          []string // architectures that were taken away
	checkValidUntil *bool
	validMin        *time.Duration
	validMax        *time.Duration
	checkDate       *bool
	maxFuture       *time.Duration
	byHash          string
	inRelease       string // where InRelease is instead, from the directory of the suite
	cannot          string // an option that changes what is there, and that cannot be had here
	why             string
}

// entry is what one line, or one paragraph, says of one suite at one URI.
type entry struct {
	kind, uri, suite string
	components       []string
	options          sourceOptions
}

// source checks an entry as apt does, and completes it. arch is what $(ARCH) stands for.
func (e entry) source(file, arch string) (source, string) {
	known := strings.NewReplacer("$(ARCH)", arch)
	s := source{
		binary: e.kind == "deb", uri: known.Replace(e.uri), suite: known.Replace(e.suite),
		components: slices.Clone(e.components), options: e.options, file: file,
	}
	s.uri = strings.NewReplacer(" ", "%20", "\t", "%09").Replace(s.uri)
	scheme, _, hasScheme := strings.Cut(s.uri, ":")
	switch {
	case e.kind != "deb" && e.kind != "deb-src":
		return s, "type " + e.kind + " is not known"
	case !hasScheme || strings.Contains(scheme, "/"):
		return s, "its URI has no scheme"
	case s.suite == "":
		return s, "it lacks the suite"
	case strings.HasSuffix(s.suite, "/") && len(s.components) > 0:
		return s, "a suite that ends with a slash takes no components"
	case !strings.HasSuffix(s.suite, "/") && len(s.components) == 0:
		return s, "it lacks the components"
	}
	return s, ""
}

// fileError is an error that names the file it is about.
type fileError struct {
	file string
	err  error
}

func (e *fileError) Error() string { return e.file + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// maxSource bounds a paragraph, in bytes.
const maxSource = 4 << 20

// parseSources reads the deb822 style. A paragraph that apt would not take is left out and
// reported.
func parseSources(text, file, arch string) ([]source, error) {
	var out []source
	var bad []string
	data := bytes.ReplaceAll([]byte(text), []byte("\r\n"), []byte("\n"))
	s := deb822.NewText(data, deb822.Syntax{Limit: maxSource, Comments: true})
	for s.Next() {
		if !Bool(string(s.Last("Enabled")), true) {
			continue
		}
		found, why := paragraphSources(s, file, arch)
		if why != "" {
			bad = append(bad, fmt.Sprintf("paragraph %d: %s", s.Count(), why))
			continue
		}
		out = append(out, found...)
	}
	if s.Err() != nil {
		return out, &fileError{file, failure.Malformed(s.Err())}
	}
	if len(bad) > 0 {
		return out, failure.Syntax("%s: %s", file, strings.Join(bad, "; "))
	}
	return out, nil
}

// paragraphSources are those of the paragraph that a scanner is at.
func paragraphSources(s *deb822.Scanner, file, arch string) (out []source, why string) {
	var e entry
	for name, field := range optionFields {
		value := s.Last(field)
		if value == nil {
			continue
		}
		e.options.set(name, strings.FieldsFunc(string(value), isSeparator))
		if name == "signed-by" && bytes.Contains(value, []byte("BEGIN PGP")) {
			e.options.signedBy, e.options.keyData = nil, foldedText(string(value))
		}
	}
	words := func(name string) []string { return strings.Fields(string(s.Last(name))) }
	types, uris, suites := words("Types"), words("URIs"), words("Suites")
	e.components = words("Components")
	if len(types) == 0 || len(uris) == 0 || len(suites) == 0 {
		return nil, "it lacks Types, URIs or Suites"
	}
	for _, e.kind = range types {
		for _, e.uri = range uris {
			for _, e.suite = range suites {
				one, why := e.source(file, arch)
				if why != "" {
					return nil, why
				}
				out = append(out, one)
			}
		}
	}
	return out, ""
}

func isSeparator(r rune) bool { return r == ',' || unicode.IsSpace(r) }

// foldedText undoes the folding of a multi-line field: one leading blank goes, a lone dot stands
// for an empty line.
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

// optionFields: the names of options in the one-line style, as apt has them, and their fields in
// the deb822 style.
var optionFields = map[string]string{
	"signed-by": "Signed-By", "trusted": "Trusted", "allow-insecure": "Allow-Insecure",
	"arch": "Architectures", "arch+": "Architectures-Add", "arch-": "Architectures-Remove",
	"target": "Targets", "target-": "Targets-Remove",
	"check-valid-until": "Check-Valid-Until",
	"valid-until-min":   "Valid-Until-Min", "valid-until-max": "Valid-Until-Max",
	"check-date": "Check-Date", "date-max-future": "Date-Max-Future",
	"by-hash": "By-Hash", "inrelease-path": "InRelease-Path",
	"snapshot": "Snapshot", "include": "Include", "exclude": "Exclude",
}

// set takes over one option, by its name in the one-line style; names that it does not know apt
// passes over, too.
func (o *sourceOptions) set(name string, values []string) {
	first := ""
	if len(values) > 0 {
		first = values[0]
	}
	switch name {
	case "signed-by":
		o.signedBy = values
	case "trusted":
		o.trusted = optionBool(first)
		if o.trusted != nil && !*o.trusted {
			o.cannot, o.why = "trusted=no", "apt installs nothing from there unless somebody agrees"
		}
	case "allow-insecure":
		o.allowInsecure = Bool(first, false)
	case "arch":
		o.architectures = values
	case "arch-":
		o.notFor = values
	case "target":
		if !slices.Contains(values, "Packages") && !slices.Contains(values, "Sources") {
			o.cannot, o.why = name, "it leaves out the lists of packages"
		}
	case "target-":
		if slices.Contains(values, "Packages") || slices.Contains(values, "Sources") {
			o.cannot, o.why = name, "it leaves out the lists of packages"
		}
	case "check-valid-until":
		o.checkValidUntil = optionBool(first)
	case "valid-until-min":
		o.validMin = optionSeconds(first)
	case "valid-until-max":
		o.validMax = optionSeconds(first)
	case "check-date":
		o.checkDate = optionBool(first)
	case "date-max-future":
		o.maxFuture = optionSeconds(first)
	case "by-hash":
		o.byHash = strings.ToLower(first)
	case "inrelease-path":
		o.inRelease = first
	case "snapshot":
		if Bool(first, true) && first != "" {
			o.cannot, o.why = name, "the URI of the snapshot itself says the same"
		}
	case "include", "exclude":
		o.cannot, o.why = name, "here all packages of a repository are taken"
	}
}

// optionBool is the value of an option that apt decides by itself where it is neither yes nor no.
func optionBool(text string) *bool {
	yes := Bool(text, true)
	if yes != Bool(text, false) {
		return nil
	}
	return &yes
}

func optionSeconds(text string) *time.Duration {
	c := aptConf{values: map[string]string{"v": text}}
	if d, ok := c.seconds("v"); ok {
		return &d
	}
	return nil
}

// DistributionSuites lists the suites of a sources.list(5) file, deb822 or not, that the table
// knows as a distribution's own, in the order in which they stand there. Lines that are not
// understood count for nothing.
func DistributionSuites(table *suites.Table, text string, deb822 bool) []string {
	parse := parseOneLine
	if deb822 {
		parse = parseSources
	}
	found, _ := parse(text, "", "") // the rest is read all the same
	var out []string
	for _, s := range found {
		if _, security, ok := table.Distribution(s.suite); ok && s.binary && !security &&
			!slices.Contains(out, s.suite) {
			out = append(out, s.suite)
		}
	}
	return out
}
