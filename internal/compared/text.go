package compared

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Summary is one line for people.
func (p Pair) Summary() string {
	text := p.Name + " " + p.Was
	if p.Renamed != "" {
		text = p.Name + " → " + p.Renamed + " " + p.Was
	}
	if p.Was != p.Is {
		text += " → " + p.Is
	}
	if p.Same {
		return text + ": the same bytes"
	}
	text += ": " + count(len(p.Differences)+p.More, "difference", "differences")
	if p.WasSize != p.IsSize {
		text += fmt.Sprintf(", %s", grown(p.WasSize, p.IsSize))
	}
	return text
}

func count(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// Size is a number of bytes for people.
func Size(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%s%d bytes", sign, n)
	case n < 1<<20:
		return fmt.Sprintf("%s%d KiB", sign, (n+512)>>10)
	}
	return fmt.Sprintf("%s%.1f MiB", sign, float64(n)/(1<<20))
}

// grown is how a size has changed.
func grown(was, is int64) string {
	text := Size(was) + " → " + Size(is)
	if was == is || was == 0 {
		return text
	}
	return text + fmt.Sprintf(" (%+.1f%%)", 100*float64(is-was)/float64(was))
}

// gainedLost is "2 gained, 1 lost", or "" where there is neither.
func gainedLost(gained, lost int) string {
	var said []string
	if gained > 0 {
		said = append(said, fmt.Sprintf("%d gained", gained))
	}
	if lost > 0 {
		said = append(said, fmt.Sprintf("%d lost", lost))
	}
	return strings.Join(said, ", ")
}

// mostOfSummary is how many lines one heading of the summary has at most.
const mostOfSummary = 4

// Summary is what a person sees first: no more than fits a screen.
func (c *Comparison) Summary() []string {
	s := summary{}
	s.packages(c)
	if c.Same {
		return s.lines
	}
	s.sizes(c)
	s.files(c)
	s.control(c)
	s.libraries(c)
	s.findings("lintian", c.Lintian)
	s.findings("warnings", c.Warnings)
	s.add("not seen", c.Notes)
	return s.lines
}

type summary struct{ lines []string }

// add adds lines below a heading, and how many more there are.
func (s *summary) add(heading string, said []string) {
	for i, text := range said {
		if i == mostOfSummary-1 && len(said) > mostOfSummary {
			text = fmt.Sprintf("and %d more", len(said)-i)
		}
		s.lines = append(s.lines, fmt.Sprintf("%-10s %s", heading, text))
		if heading = ""; i == mostOfSummary-1 {
			return
		}
	}
}

func (s *summary) packages(c *Comparison) {
	same := 0
	versions := map[string]int{}
	for _, p := range c.Packages {
		if p.Same {
			same++
		}
		if p.Was != p.Is {
			versions[p.Was+" → "+p.Is]++
		}
	}
	var said []string
	if n := len(c.Packages) - same; n > 0 {
		said = append(said, count(n, "differs", "differ"))
	}
	if same > 0 {
		said = append(said, count(same, "has the same bytes", "have the same bytes"))
	}
	if gl := gainedLost(len(c.Gained), len(c.Lost)); gl != "" {
		said = append(said, gl)
	}
	lines := []string{strings.Join(said, ", ")}
	for v, n := range versions {
		if n == len(c.Packages) {
			lines[0] = v + ": " + lines[0]
		}
	}
	s.add("packages", lines)
	var names []string
	for _, p := range c.Lost {
		names = append(names, "- "+p)
	}
	for _, p := range c.Gained {
		names = append(names, "+ "+p)
	}
	s.add("", names)
}

func (s *summary) sizes(c *Comparison) {
	var was, is, wasIn, isIn int64
	var all []Growth
	for _, p := range c.Packages {
		was, is = was+p.WasSize, is+p.IsSize
		wasIn, isIn = wasIn+p.WasInstalled, isIn+p.IsInstalled
		all = append(all, p.Grown...)
	}
	if len(c.Packages) == 0 {
		return
	}
	lines := []string{".deb " + grown(was, is)}
	if wasIn+isIn > 0 {
		lines[0] += "; installed " + grown(wasIn, isIn)
	}
	slices.SortStableFunc(all, func(a, b Growth) int {
		return int(max(-1, min(1, (b.Is-b.Was)-(a.Is-a.Was))))
	})
	for _, g := range all[:min(2, len(all))] {
		if g.Is-g.Was >= 10<<10 {
			lines = append(lines, g.Path+" "+grown(g.Was, g.Is))
		}
	}
	s.add("size", lines)
}

func (s *summary) files(c *Comparison) {
	var gained, lost int
	changed := map[string]bool{}
	var modes []string
	for _, p := range c.Packages {
		for _, d := range p.Differences {
			switch {
			case d.In != InData || d.Directory && (d.What == "added" || d.What == "removed"):
			case d.What == "added":
				gained++
			case d.What == "removed":
				lost++
			case d.What == "content":
				changed[p.Name+d.Path] = true
			case d.What == "mode", d.What == "owner", d.What == "type":
				modes = append(modes, d.Path+" "+d.said())
			}
		}
	}
	text := gainedLost(gained, lost)
	if n := len(changed); n > 0 {
		text = strings.TrimPrefix(text+fmt.Sprintf(", %d with other content", n), ", ")
	}
	if n := len(c.Moved); n > 0 {
		text += fmt.Sprintf(" (%d moved to another package)", n)
	}
	if text != "" {
		s.add("files", []string{strings.TrimSpace(text)})
	}
	var moved []string
	for _, m := range c.Moved {
		moved = append(moved, fmt.Sprintf("%s: %s → %s", m.Path, m.From, m.To))
	}
	s.add("moved", moved)
	s.add("modes", modes)
}

func (s *summary) control(c *Comparison) {
	headings := []string{"relations", "scripts", OfConffiles, OfTriggers, OfShlibs, OfSymbols}
	said := map[string][]string{}
	for _, p := range c.Packages {
		name, _, _ := strings.Cut(p.Name, "_")
		for _, ch := range p.Changes {
			switch ch.Of {
			case OfRelation:
				said["relations"] = append(said["relations"], name+" "+ch.Name+": "+
					strings.Join(ch.Lines(), "; "))
			default:
				said[ch.Of] = append(said[ch.Of], name+": "+gainedLost(
					len(ch.Gained)+ch.GainedMore, len(ch.Lost)+ch.LostMore))
			}
		}
		for _, d := range p.Differences {
			if d.In == InControl && IsScript(d.Path) && d.What != "time" {
				said["scripts"] = append(said["scripts"], name+" "+d.Path+": "+d.What)
			}
		}
	}
	for _, h := range headings {
		s.add(h, said[h])
	}
}

// IsScript tells whether a control member is a maintainer script.
func IsScript(name string) bool {
	switch name {
	case "preinst", "postinst", "prerm", "postrm", "config":
		return true
	}
	return false
}

// Lines are what was lost and gained, in a line each. Of relations, one to the same package is one
// that has changed.
func (ch Change) Lines() (lines []string) {
	gained := slices.Clone(ch.Gained)
	for _, l := range ch.Lost {
		i := -1
		if ch.Of == OfRelation {
			i = slices.IndexFunc(gained, func(g string) bool { return target(g) == target(l) })
		}
		if i < 0 {
			lines = append(lines, "- "+l)
			continue
		}
		lines = append(lines, l+" → "+strings.TrimSpace(strings.TrimPrefix(gained[i], target(l))))
		if gained[i] == target(l) {
			lines[len(lines)-1] = l + " → any version"
		}
		gained = slices.Delete(gained, i, i+1)
	}
	if ch.LostMore > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more", ch.LostMore))
	}
	for _, g := range gained {
		lines = append(lines, "+ "+g)
	}
	if ch.GainedMore > 0 {
		lines = append(lines, fmt.Sprintf("+ and %d more", ch.GainedMore))
	}
	return lines
}

// target is the package that a relation is to.
func target(relation string) string {
	if strings.Contains(relation, "|") {
		return relation
	}
	name, _, _ := strings.Cut(relation, " ")
	return name
}

// Line is a shared library in a line.
func (l Library) Line() string {
	name := path.Base(l.IsPath)
	if l.IsPath == "" {
		return "- " + orNone(l.WasSoname) + " (" + l.WasPath + ")"
	}
	if l.IsSoname != "" {
		name = l.IsSoname
	}
	var said []string
	switch {
	case l.WasPath == "":
		return "+ " + name + " (" + l.IsPath + ")"
	case l.WasSoname != l.IsSoname:
		said = append(said, "SONAME "+orNone(l.WasSoname)+" → "+orNone(l.IsSoname))
	}
	if gl := gainedLost(len(l.Gained)+l.GainedMore, len(l.Lost)+l.LostMore); gl != "" {
		said = append(said, "symbols: "+gl)
	}
	if l.Note != "" {
		said = append(said, l.Note)
	}
	if len(said) == 0 {
		said = []string{"the same symbols"}
	}
	return name + ": " + strings.Join(said, ", ")
}

func (s *summary) libraries(c *Comparison) {
	var said, same []string // where symbols were lost, programs may not start any more
	for _, l := range c.Libraries {
		if len(l.Lost) > 0 || l.WasSoname != l.IsSoname {
			said = append(said, l.Line())
		} else {
			same = append(same, l.Line())
		}
	}
	said = append(said, same...)
	s.add("libraries", said)
}

// bases are the names of files, without their directories.
func bases(paths []string) string {
	var names []string
	for _, p := range paths {
		names = append(names, path.Base(p))
	}
	return strings.Join(names, " ")
}

func (s *summary) findings(heading string, f *Findings) {
	switch {
	case f == nil:
	case f.Note != "":
		s.add(heading, []string{"not compared: " + f.Note})
	default:
		gained, lost := len(f.Gained)+f.GainedMore, len(f.Lost)+f.LostMore
		by := cmp.Or(f.By, bases(f.Was)+", "+bases(f.Is))
		switch {
		case gained+lost > 0:
			s.add(heading, []string{gainedLost(gained, lost) + " (" + by + ")"})
		case f.By != "":
			s.add(heading, []string{"the same (" + by + ")"})
		default:
			s.add(heading, []string{"the same"})
		}
	}
}
