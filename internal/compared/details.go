package compared

import (
	"fmt"
	"strings"
)

// Extent is how much of it details show.
type Extent struct {
	All  bool // everything, and not only the first of what is much
	Diff bool // the texts of files, too, and not only those of maintainer scripts
}

// Bounds of details that are not to show everything.
const (
	mostLines  = 12 // of one kind, of one package
	mostScript = 40 // lines of the diff of a maintainer script
)

// Details are the lines that come after the summary: each package, library and finding.
func (c *Comparison) Details(x Extent) (lines []string) {
	if c.Same {
		return nil
	}
	d := &details{Extent: x}
	if len(c.Moved) > 0 {
		d.head("files that another package has now")
		var moved []string
		for _, m := range c.Moved {
			moved = append(moved, fmt.Sprintf("> %s: %s → %s", m.Path, m.From, m.To))
		}
		d.list(moved)
	}
	for _, a := range c.Alone {
		sign := "- "
		if a.Gained {
			sign = "+ "
		}
		if len(a.Files) > 0 {
			d.head(sign + a.Name + " " + a.Version + ", " + Size(a.Size))
			d.signed(sign, a.Files, a.FilesMore)
		}
	}
	for _, p := range c.Packages {
		d.pair(p)
	}
	for _, l := range c.Libraries {
		d.library(l)
	}
	d.findings("lintian", c.Lintian)
	d.findings("warnings", c.Warnings)
	return d.lines
}

type details struct {
	Extent
	lines []string
}

func (d *details) head(text string) { d.lines = append(d.lines, "", text) }

func (d *details) say(text string) { d.lines = append(d.lines, "    "+text) }

// list says some lines, the first of them, unless all are wanted.
func (d *details) list(all []string) {
	n := len(all)
	if !d.All && n > mostLines {
		n = mostLines - 1
	}
	for _, l := range all[:n] {
		d.say(l)
	}
	if n < len(all) {
		d.say(fmt.Sprintf("… and %d more (--all)", len(all)-n))
	}
}

// text says a diff.
func (d *details) text(diff string, most int) {
	all := strings.Split(strings.TrimSuffix(diff, "\n"), "\n")
	n := len(all)
	if !d.All && most > 0 && n > most {
		n = most
	}
	for _, l := range all[:n] {
		d.say("    " + l)
	}
	if n < len(all) {
		d.say(fmt.Sprintf("    … and %d more lines (--all)", len(all)-n))
	}
}

func (d *details) pair(p Pair) {
	d.head(p.Summary())
	if p.Same {
		return
	}
	if p.WasInstalled != p.IsInstalled {
		d.say("installed: " + grown(p.WasInstalled, p.IsInstalled))
	}
	listed := map[string]bool{}
	for _, ch := range p.Changes {
		listed[ch.Name] = true
		if all := ch.Lines(); len(all) == 1 {
			d.say(ch.Name + ": " + all[0])
		} else {
			d.say(ch.Name + ":")
			d.list(indented(all))
		}
	}
	for _, x := range p.Differences {
		switch {
		case x.In != InControl || x.What == "time":
		case listed[x.Path] && (x.Diff == "" || !d.Diff) || x.Path == "Version":
		default:
			d.say(x.Path + ": " + x.said())
			if x.Diff != "" && (d.Diff || IsScript(x.Path)) {
				d.text(x.Diff, mostScript)
			}
		}
	}
	d.files(p)
	if p.More > 0 {
		d.say(fmt.Sprintf("… and %d more differences", p.More))
	}
}

func indented(lines []string) []string {
	for i := range lines {
		lines[i] = "    " + lines[i]
	}
	return lines
}

// files says what differs in data.tar, and around it. That times differ is told of each only where
// everything is: a later version has them all.
func (d *details) files(p Pair) {
	var gained, lost, other []string
	var diffs []Difference
	at := map[string]int{}
	times, example := 0, ""
	for _, x := range p.Differences {
		switch {
		case x.In == InData && x.What == "time" && !d.All:
			if times++; example == "" {
				example = x.Path
			}
		case x.In == InControl:
		case x.What == "added":
			gained = append(gained, "+ "+x.Path+slash(x))
		case x.What == "removed":
			lost = append(lost, "- "+x.Path+slash(x))
		default:
			if i, ok := at[x.Path]; ok && x.Path != "" {
				other[i] += ", " + x.said()
			} else {
				at[x.Path] = len(other)
				other = append(other, strings.TrimSpace("~ "+x.Path)+": "+x.said())
			}
		}
		if x.In == InData && x.Diff != "" {
			diffs = append(diffs, x)
		}
	}
	d.list(lost)
	d.list(gained)
	d.list(other)
	if times > 0 {
		d.say(fmt.Sprintf("~ the time of %s, such as %s", count(times, "file", "files"), example))
	}
	if d.Diff {
		for _, x := range diffs {
			d.text(x.Diff, 0)
		}
	}
}

func slash(d Difference) string {
	if d.Directory {
		return "/"
	}
	return ""
}

func (d *details) library(l Library) {
	if len(l.Gained)+len(l.Lost) == 0 {
		return // the summary has it, or there is no more to say
	}
	d.head(l.Line())
	for _, s := range []struct {
		sign string
		all  []string
		more int
	}{{"- ", l.Lost, l.LostMore}, {"+ ", l.Gained, l.GainedMore}} {
		d.signed(s.sign, s.all, s.more)
	}
}

// signed lists what was lost or gained, and how many there are that no list has.
func (d *details) signed(sign string, all []string, more int) {
	var lines []string
	for _, l := range all {
		lines = append(lines, sign+l)
	}
	d.list(lines)
	if more > 0 {
		d.say(fmt.Sprintf("%sand %d that are not listed", sign, more))
	}
}

func (d *details) findings(heading string, f *Findings) {
	if f == nil || len(f.Gained)+len(f.Lost) == 0 {
		return
	}
	d.head(heading)
	d.signed("- ", f.Lost, f.LostMore)
	d.signed("+ ", f.Gained, f.GainedMore)
}
