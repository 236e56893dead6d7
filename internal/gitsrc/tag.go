package gitsrc

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// mangling is %(version%A%B)s: the version with each A replaced by B. Of several characters in the
// place of B the last counts, which may be "\%": so gbp's own expression reads it.
var mangling = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`%\(version%([^%])%([^%]|\\%)+\)s`)
})

// substitute puts a version in the place of %(version)s and its like (gbp-buildpackage(1)).
func substitute(format, version string, clean func(string) string) (string, error) {
	if m := mangling().FindStringSubmatch(format); m != nil {
		format = mangling().ReplaceAllLiteralString(format, "%(version)s")
		version = strings.ReplaceAll(version, m[1], strings.ReplaceAll(m[2], `\%`, "%"))
	}
	version = clean(version)
	return interpolate(format, map[string]string{
		"version": version, "hversion": strings.ReplaceAll(version, ".", "-"),
	})
}

// interpolate is Python's operator % for strings with names.
func interpolate(format string, values map[string]string) (string, error) {
	var out strings.Builder
	for rest := format; rest != ""; {
		text, after, found := strings.Cut(rest, "%")
		out.WriteString(text)
		if !found {
			break
		}
		if next, ok := strings.CutPrefix(after, "%"); ok {
			out.WriteByte('%')
			rest = next
			continue
		}
		name, next, ok := strings.Cut(after, ")s")
		value, known := values[strings.TrimPrefix(name, "(")]
		if !ok || !known || after[0] != '(' {
			return "", fmt.Errorf("%q has a %% that begins none of %%(version)s, %%(hversion)s, "+
				"%%(version%%A%%B)s and %%%%", format)
		}
		out.WriteString(value)
		rest = next
	}
	return out.String(), nil
}

// tag is the name of the tag of an upstream version.
func (c Config) tag(version string) (string, error) {
	name, err := substitute(c.UpstreamTag, version, tagVersion)
	if err != nil {
		return "", fmt.Errorf("upstream-tag: %w", err)
	}
	return name, nil
}

// tagVersion writes a version as tags have it, which cannot have all the characters of versions
// (DEP-14).
func tagVersion(version string) string {
	var out strings.Builder
	for i, c := range []byte(version) {
		rest := version[i+1:]
		switch {
		case c == '.' && (rest == "" || rest == "lock" || rest[0] == '.'):
			out.WriteString(".#")
		case c == '~':
			out.WriteByte('_')
		case c == ':':
			out.WriteByte('%')
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
