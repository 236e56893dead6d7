package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

// bound is what nsbuild is to reach: ours ≤ factor × theirs + plus, or ours ≤ plus where there are
// no theirs.
type bound struct {
	what         string
	ours, theirs [2]string // benchmark, and what a contestant's name begins with
	factor, plus float64
	unit         string
	faster       bool // shown as how many times as fast
}

func bounds() []bound {
	warm, cold, bare := "nsbuild build, warm", "nsbuild build, cold", "bare dpkg-buildpackage"
	list := []bound{
		{what: "create, nothing cached, by mmdebstrap to a directory",
			ours:   [2]string{"create", "nsbuild"},
			theirs: [2]string{"create", "mmdebstrap, to a directory"}, factor: 0.45},
		{what: "create, nothing cached, by debootstrap", ours: [2]string{"create", "nsbuild"},
			theirs: [2]string{"create", "debootstrap"}, factor: 0.15},
		{what: "create, debs cached, by mmdebstrap with a local mirror",
			ours:   [2]string{"create-cached", "nsbuild create, lists"},
			theirs: [2]string{"create-cached", "mmdebstrap"}, factor: 0.25},
	}
	for _, pkg := range []string{"tree", "hello", "zlib"} {
		list = append(list,
			bound{what: "warm build of " + pkg + " by bare dpkg-buildpackage",
				ours: [2]string{"build-" + pkg, warm}, theirs: [2]string{"build-" + pkg, bare},
				factor: 1.03, plus: 0.5},
			bound{what: "cold build of " + pkg + " by bare dpkg-buildpackage",
				ours: [2]string{"build-" + pkg, cold}, theirs: [2]string{"build-" + pkg, bare},
				factor: 1.15, plus: 1})
	}
	return append(list,
		bound{what: "warm build of tree by sbuild on a tmpfs", ours: [2]string{"build-tree", warm},
			theirs: [2]string{"build-tree", "sbuild, unshare mode, on a tmpfs"}, factor: 0.25,
			faster: true},
		bound{what: "ten packages, two at once, by sbuild",
			ours:   [2]string{"many", "nsbuild build, two at once, warm"},
			theirs: [2]string{"many", "sbuild"}, factor: 1.0 / 3, faster: true},
		bound{what: "start by bwrap", ours: [2]string{"start", "nsbuild run"},
			theirs: [2]string{"start", "bwrap"}, factor: 2},
		bound{what: "start", ours: [2]string{"start", "nsbuild run"}, plus: 0.025},
		bound{what: "start, 100 bases and layers", ours: [2]string{"start", "nsbuild run, 100"},
			plus: 0.025},
		bound{what: "memory, create", ours: [2]string{"memory", "create: all together"}, plus: 150,
			unit: unitMiB},
		bound{what: "memory, build", ours: [2]string{"memory", "build: all together"}, plus: 40,
			unit: unitMiB},
	)
}

// line is the bound with what was measured; "" when that is not all there.
func (b bound) line(r *results) string {
	ours, ok := r.value(b.ours[0], b.ours[1])
	if !ok {
		return ""
	}
	unit := b.unit
	if unit == "" {
		unit = unitSeconds
	}
	limit, is, must := b.plus, show(ours, unit), "≤ "+show(b.plus, unit)
	if b.theirs[0] != "" {
		theirs, ok := r.value(b.theirs[0], b.theirs[1])
		if !ok {
			return ""
		}
		limit += b.factor * theirs
		is, must = fmt.Sprintf("%.2f × (%s against %s)", ours/theirs, show(ours, unit),
			show(theirs, unit)), fmt.Sprintf("≤ %.2f ×", b.factor)
		if b.faster {
			is, must = fmt.Sprintf("%.1f times as fast (%s against %s)", theirs/ours,
				show(ours, unit), show(theirs, unit)), fmt.Sprintf("≥ %.0f times", 1/b.factor)
		}
		if b.plus > 0 {
			must += " + " + show(b.plus, unit)
		}
	}
	met := "yes"
	if ours > limit {
		met = fmt.Sprintf("no: by %s", show(ours-limit, unit))
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", b.what, must, is, met)
}

// report is the Markdown of all figures.
func (r *results) report() string {
	var t strings.Builder
	t.WriteString("# nsbuild and its peers\n\nMeasured by [`bench/run`](../../bench/README.md): " +
		"the contestants of each benchmark in turn, in one\nrun; medians. The figures themselves " +
		"are in `results.json`.\n\n![bars](bench.svg)\n")
	var lines string
	for _, b := range bounds() {
		lines += b.line(r)
	}
	if lines != "" {
		t.WriteString("\n## What is to be reached\n\n| | bound | measured | reached |\n| --- | " +
			"--- | --- | --- |\n" + lines)
	}
	for _, m := range r.Benchmarks {
		t.WriteString(m.markdown())
	}
	return t.String()
}

// markdown is one benchmark's table.
func (m *measured) markdown() string {
	var t strings.Builder
	fmt.Fprintf(&t, "\n## %s: %s\n\n%s, %s, %s; %s.\n\n", m.Name, m.What,
		m.Date.Format(time.DateOnly), m.Machine, m.Suite, plural(m.rounds(), "round"))
	if !m.Race {
		t.WriteString("| | |\n| --- | ---: |\n")
		for _, r := range m.Rows {
			fmt.Fprintf(&t, "| %s | %s |\n", r.Name, show(median(r.Values), r.Unit))
		}
		return t.String()
	}
	fmt.Fprintf(&t, "| | median | least | most | %s takes |\n| --- | ---: | ---: | ---: | ---: |\n",
		m.Rows[0].Name)
	ours := median(m.Rows[0].Values)
	for i, r := range m.Rows {
		ratio := ""
		if i > 0 {
			ratio = fmt.Sprintf("%.2f ×", ours/median(r.Values))
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", r.Name, show(median(r.Values), r.Unit),
			show(slices.Min(r.Values), r.Unit), show(slices.Max(r.Values), r.Unit), ratio)
	}
	return t.String()
}

func (m *measured) rounds() int {
	n := 0
	for _, r := range m.Rows {
		n = max(n, len(r.Values))
	}
	return n
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// plot draws the races as bars, each benchmark on a scale of its own.
func (r *results) plot() string {
	const width, left, barHeight, gap, right = 900, 330, 16, 5, 110
	var body strings.Builder
	y := 10
	for _, m := range r.Benchmarks {
		if !m.Race {
			continue
		}
		y += 18
		fmt.Fprintf(&body, `<text x="8" y="%d" class="title">%s</text>`+"\n", y,
			html.EscapeString(m.Name+": "+m.What))
		y += 8
		most := 0.0
		for _, row := range m.Rows {
			most = max(most, median(row.Values))
		}
		for _, row := range m.Rows {
			v := median(row.Values)
			kind := "peer"
			if strings.HasPrefix(row.Name, "nsbuild") {
				kind = "own"
			}
			long := max(1, int(v/most*float64(width-left-right)))
			fmt.Fprintf(&body,
				`<text x="%d" y="%d" class="name">%s</text><rect x="%d" y="%d" width="%d" height="%d" class="%s"/><text x="%d" y="%d">%s</text>`+"\n",
				left-8, y+barHeight-4, html.EscapeString(row.Name), left, y, long, barHeight, kind,
				left+long+6, y+barHeight-4, show(v, row.Unit))
			y += barHeight + gap
		}
		y += 8
	}
	return fmt.Sprintf(
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">
<style>text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.name{text-anchor:end}.own{fill:#a80030}.peer{fill:#9aa4ad}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, width, y+10, width, y+10, body.String())
}
