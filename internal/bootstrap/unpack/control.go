package unpack

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"nsbuild/internal/deb"
	"nsbuild/internal/deb822"
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

// control reads a control file as dpkg does.
func control(text string) *deb822.Scanner {
	return deb822.NewText([]byte(text), deb822.Syntax{Limit: len(text), Dpkg: true})
}

// parseControl reads the control file of a package: exactly one paragraph (Debian Policy, section
// 5.3).
func parseControl(text string) (paragraph, error) {
	p := paragraph{}
	s := control(text)
	s.Next()
	for i := range s.Paragraph {
		name := strings.ToLower(string(s.Paragraph[i].Name))
		if _, twice := p[name]; twice {
			return nil, fmt.Errorf("the control file has two fields %s", s.Paragraph[i].Name)
		}
		p[name] = string(s.Paragraph[i].Value)
	}
	if s.Next() {
		return nil, errors.New("the control file has more than one paragraph")
	}
	var wrong *deb822.Error
	switch {
	case errors.As(s.Err(), &wrong) && wrong.Fault == deb822.NothingBefore:
		return nil, errors.New("the control file has a continuation line before any field")
	case wrong != nil:
		return nil, fmt.Errorf("the control file has a line that is no field: %q", wrong.Text)
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
