package unpack

import (
	"fmt"
	"path"
	"strings"

	"nsbuild/internal/deb"
)

// paragraph is one parsed control paragraph: lower-case field name to value, continuation lines
// included.
type paragraph map[string]string

func (p paragraph) get(field string) string { return p[strings.ToLower(field)] }

// infoName is the prefix of the package's files in dpkg's info directory.
func (p paragraph) infoName() string {
	if p.get("Multi-Arch") == "same" {
		return p.get("Package") + ":" + p.get("Architecture")
	}
	return p.get("Package")
}

// parseControl reads the control file of a package: exactly one paragraph (Debian Policy, section
// 5.3).
func parseControl(text string) (paragraph, error) {
	p := paragraph{}
	field := ""
	ended := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			ended = len(p) > 0
			continue
		}
		if ended {
			return nil, fmt.Errorf("the control file has more than one paragraph")
		}
		if line[0] == ' ' || line[0] == '\t' {
			if field == "" {
				return nil, fmt.Errorf("the control file begins with a continuation line")
			}
			p[field] += "\n" + line
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("the control file has a line that is no field: %q", line)
		}
		field = strings.ToLower(name)
		if _, twice := p[field]; twice {
			return nil, fmt.Errorf("the control file has two fields %s", name)
		}
		p[field] = strings.TrimSpace(value)
	}
	if !validName(p.get("Package")) {
		return nil, fmt.Errorf("the control file names the package %q", p.get("Package"))
	}
	if a := p.get("Architecture"); a == "" || strings.ContainsAny(a, "/ \n") {
		return nil, fmt.Errorf("the control file names the architecture %q", a)
	}
	if v := p.get("Version"); v == "" || strings.ContainsAny(v, " \n") {
		return nil, fmt.Errorf("the control file names the version %q", v)
	}
	return p, nil
}

// validName is Debian Policy 5.6.7's rule, so that a name can be part of a file name.
func validName(s string) bool {
	if len(s) < 2 || s[0] == '+' || s[0] == '-' || s[0] == '.' {
		return false
	}
	return strings.Trim(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.") == ""
}

// conffile is one line of a package's conffiles file (deb-conffiles(5)).
type conffile struct {
	path string
	// removed marks the flag remove-on-upgrade: a file that the package has no more. At a first
	// installation dpkg only notes it.
	removed bool
}

// readConffiles reads the conffiles file of a package.
func readConffiles(f *deb.ControlFile) ([]conffile, error) {
	if f == nil {
		return nil, nil
	}
	var list []conffile
	for line := range strings.Lines(string(f.Body)) {
		c := conffile{path: strings.TrimSpace(line)}
		if c.path == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(c.path, "remove-on-upgrade "); ok {
			c = conffile{path: strings.TrimSpace(rest), removed: true}
		}
		if !path.IsAbs(c.path) || path.Clean(c.path) != c.path {
			return nil, fmt.Errorf("conffiles: %q is not a clean absolute path", c.path)
		}
		list = append(list, c)
	}
	return list, nil
}

// interest is one line of a package's triggers file that dpkg records at unpacking
// (deb-triggers(5)).
type interest struct {
	name    string
	noawait bool
}

func readInterests(f *deb.ControlFile) ([]interest, error) {
	var list []interest
	if f == nil {
		return nil, nil
	}
	for line := range strings.Lines(string(f.Body)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			return nil, fmt.Errorf("triggers: cannot read %q", line)
		}
		switch words[0] {
		case "interest", "interest-await":
			list = append(list, interest{words[1], false})
		case "interest-noawait":
			list = append(list, interest{words[1], true})
		case "activate", "activate-await", "activate-noawait":
			// Whoever is interested is itself not configured yet, and then dpkg does nothing
			// either.
			continue
		default:
			return nil, fmt.Errorf("triggers: unknown directive %q", words[0])
		}
		if n := words[1]; n[0] != '/' && !validName(n) {
			return nil, fmt.Errorf("triggers: %q is not the name of a trigger", n)
		}
	}
	return list, nil
}
