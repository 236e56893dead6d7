package debcompare

import (
	"slices"
	"strings"

	"nsbuild/internal/compared"
)

// changes are what the lists of two packages have gained and lost: those of the control files, and
// the relations.
func changes(a, b *contents) (all []compared.Change) {
	x, y := fields([]byte(a.controlFile("control"))), fields([]byte(b.controlFile("control")))
	names := map[string]bool{}
	for _, f := range slices.Concat(x, y) {
		if names[f.name] || !isRelation(f.name) {
			continue
		}
		names[f.name] = true
		gained, lost, ok := relations(get(x, f.name), get(y, f.name))
		if !ok {
			gained, lost = onlyNew(commas(get(x, f.name)), commas(get(y, f.name)))
		}
		all = note(all, compared.OfRelation, f.name, gained, lost)
	}
	for _, l := range []struct {
		name  string
		split func(string) []string
	}{{compared.OfConffiles, lines}, {compared.OfTriggers, lines}, {compared.OfShlibs, lines},
		{compared.OfSymbols, symbolLines}} {
		gained, lost := onlyNew(l.split(a.controlFile(l.name)), l.split(b.controlFile(l.name)))
		all = note(all, l.name, l.name, gained, lost)
	}
	return all
}

func note(all []compared.Change, of, name string, gained, lost []string) []compared.Change {
	if len(gained)+len(lost) == 0 {
		return all
	}
	c := compared.Change{Of: of, Name: name}
	c.Gained, c.GainedMore = compared.Bound(gained)
	c.Lost, c.LostMore = compared.Bound(lost)
	return append(all, c)
}

// onlyNew is what only the second of two lists has, and what only the first.
func onlyNew(was, is []string) (gained, lost []string) {
	count := map[string]int{}
	for _, x := range was {
		count[x]++
	}
	for _, x := range is {
		if count[x]--; count[x] < 0 {
			gained = append(gained, x)
		}
	}
	for _, x := range was {
		if count[x]--; count[x] >= 0 {
			lost = append(lost, x)
		}
	}
	slices.Sort(gained)
	slices.Sort(lost)
	return gained, lost
}

func commas(text string) (all []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// lines are those that are neither empty nor comments.
func lines(text string) (all []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			all = append(all, l)
		}
	}
	return all
}

// symbolLines are the symbols of a symbols file (deb-symbols(5)), each with its library.
func symbolLines(text string) (all []string) {
	library := ""
	for l := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(l, " "):
			all = append(all, library+": "+strings.TrimSpace(l))
		case strings.HasPrefix(l, "|"), strings.HasPrefix(l, "*"), strings.TrimSpace(l) == "":
		default:
			library, _, _ = strings.Cut(strings.TrimSpace(l), " ")
		}
	}
	return all
}
