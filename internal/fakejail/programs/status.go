package programs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"nsbuild/internal/deb822"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fakejail"
)

const statusFile = "/var/lib/dpkg/status"

// paragraph is what is known of a package: its control file, or more.
type paragraph map[string]string

// paragraphs reads a control file of any kind.
func paragraphs(text string) ([]paragraph, error) {
	var out []paragraph
	s := deb822.NewText([]byte(text), deb822.Syntax{Limit: len(text) + 1, Dpkg: true})
	for s.Next() {
		p := paragraph{}
		for _, f := range s.Paragraph {
			p[string(f.Name)] = string(f.Value)
		}
		out = append(out, p)
	}
	return out, s.Err()
}

// order is that of the fields in what is written; others follow, sorted.
var order = []string{"Package", "Status", "Architecture", "Version"}

func (p paragraph) text() string {
	var names, rest []string
	for name := range p {
		if slices.Contains(order, name) {
			continue
		}
		rest = append(rest, name)
	}
	slices.Sort(rest)
	for _, name := range append(slices.Clone(order), rest...) {
		if p[name] != "" {
			names = append(names, fmt.Sprintf("%s: %s\n", name, strings.TrimSpace(p[name])))
		}
	}
	return strings.Join(names, "")
}

func (p paragraph) installed() bool { return strings.HasSuffix(p["Status"], " installed") }

// same tells whether two paragraphs are of one package and architecture.
func (p paragraph) same(q paragraph) bool {
	return p["Package"] == q["Package"] && p["Architecture"] == q["Architecture"]
}

// newer tells whether a version is higher than that of another.
func (p paragraph) newer(q paragraph) bool {
	v, err := dsc.ParseVersion(p["Version"])
	w, err2 := dsc.ParseVersion(q["Version"])
	return err == nil && err2 == nil && v.Compare(w) > 0
}

// relations are those of some fields.
func (p paragraph) relations(fields ...string) (dsc.Relations, error) {
	var out dsc.Relations
	for _, name := range fields {
		r, err := dsc.ParseRelations(p[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p["Package"], name, err)
		}
		out = append(out, r...)
	}
	return out, nil
}

// readStatus is dpkg's status; empty where there is none.
func readStatus(p *fakejail.Proc) ([]paragraph, error) {
	text, err := p.ReadFile(statusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return paragraphs(string(text))
}

func writeStatus(p *fakejail.Proc, all []paragraph) error {
	var text strings.Builder
	for _, one := range all {
		text.WriteString(one.text() + "\n")
	}
	return p.WriteFile(statusFile, text.String(), 0o644)
}

// native is the architecture of the jail's own dpkg.
func native(all []paragraph) string {
	for _, p := range all {
		if p["Package"] == "dpkg" {
			return p["Architecture"]
		}
	}
	return "amd64"
}
