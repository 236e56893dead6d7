package progress

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// outcome is how a phase ended.
type outcome int

const (
	outcomeDone outcome = iota
	outcomeFailed
	outcomeStopped
)

const (
	nameWidth    = 19 // columns that a phase's name is padded to
	elapsedWidth = 7
	red          = "\x1b[31m"
	plain        = "\x1b[0m"
)

// finishedLine is what a phase leaves behind, with its newline.
func (p *Progress) finishedLine(ph *Phase, how outcome, now time.Time) string {
	took := now.Sub(ph.began)
	parts := []string{}
	switch how {
	case outcomeFailed:
		parts = append(parts, "failed")
	case outcomeStopped:
		parts = append(parts, "stopped")
	}
	done, total := ph.done.Load(), ph.total.Load()
	unit := ph.unitName()
	switch {
	case how != outcomeDone && total > 0:
		parts = append(parts, amountOf(done, total, unit))
	case done > 0:
		parts = append(parts, amount(done, unit))
	}
	if unit == "" && done > 0 && took >= speedEvery {
		parts = append(parts, rate(float64(done)/took.Seconds()))
	}
	line := head(ph.name, took) + join(parts, ph.noteText())
	line = strings.TrimRight(line, " ")
	if how == outcomeFailed && p.color {
		line = red + line + plain
	}
	return line + "\n"
}

// runningLine is the state of a phase: name, elapsed time, how much is done, how fast, and its
// note. What matters most comes first, as narrow terminals cut the end.
func (p *Progress) runningLine(ph *Phase, now time.Time) string {
	return strings.TrimRight(head(ph.name, now.Sub(ph.began))+p.state(ph, now), " ")
}

// state is how far a phase is; of a task, what it is doing and how far that is.
func (p *Progress) state(ph *Phase, now time.Time) string {
	if n := len(ph.inner); n > 0 {
		inner := ph.inner[n-1]
		return join([]string{inner.name}, p.state(inner, now))
	}
	done, total := ph.done.Load(), ph.total.Load()
	unit := ph.unitName()
	var parts []string
	switch {
	case total > 0:
		parts = append(parts, fmt.Sprintf("%2d%%", min(100, max(0, done*100/total))),
			amountOf(done, total, unit))
	case done > 0:
		parts = append(parts, amount(done, unit))
	}
	if perSecond := ph.speed.sample(now, done); unit == "" && perSecond >= 1 {
		parts = append(parts, rate(perSecond))
	}
	if note := ph.noteText(); note != "" {
		parts = append(parts, note)
	}
	return join(parts, ph.detailText())
}

// liveLines are the lines to show now, each narrower than the terminal: a line that fills it would
// wrap.
func (p *Progress) liveLines(width, height int, now time.Time) []string {
	show := p.running
	room := max(1, height-1)
	more := 0
	if len(show) > room {
		room = max(1, room-1)
		more = len(show) - room
		show = show[:room]
	}
	var lines []string
	for _, ph := range show {
		lines = append(lines, cut(p.runningLine(ph, now), width-1))
	}
	if more > 0 && height > 2 {
		lines = append(lines, cut(fmt.Sprintf("and %d more", more), width-1))
	}
	return lines
}

// erase goes back to where the live lines began and clears from there. On a terminal that has
// become narrower since they were drawn, they now fill more rows.
func erase(lines []string, width int) string {
	if len(lines) == 0 {
		return ""
	}
	up := -1
	for _, l := range lines {
		up += max(1, (columns(l)+width-1)/max(1, width))
	}
	if up == 0 {
		return "\r\x1b[J"
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", up)
}

func head(name string, elapsed time.Duration) string {
	return fmt.Sprintf("%-*s %*s  ", nameWidth, name, elapsedWidth, duration(elapsed))
}

func join(parts []string, note string) string {
	if note != "" {
		parts = append(parts, note)
	}
	return strings.Join(parts, "  ")
}

func (ph *Phase) unitName() string {
	if u := ph.unit.Load(); u != nil {
		return *u
	}
	return ""
}

func (ph *Phase) noteText() string {
	if n := ph.note.Load(); n != nil {
		return *n
	}
	return ""
}

func (ph *Phase) detailText() string {
	if ask := ph.detail.Load(); ask != nil {
		return printable((*ask)())
	}
	return ""
}

// duration is short: tenths of a second below a minute, then minutes and hours.
func duration(d time.Duration) string {
	d = max(0, d)
	if d < 59950*time.Millisecond {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm%02ds", int(d.Hours()), int(d.Minutes())%60,
			int(d.Seconds())%60)
	}
}

var byteUnits = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// scale is the power of 1000 that n bytes are best shown in.
func scale(n float64) (power int, divisor float64) {
	divisor = 1
	for n/divisor >= 999.5 && power < len(byteUnits)-1 {
		divisor *= 1000
		power++
	}
	return power, divisor
}

func number(n float64, power int) string {
	if power == 0 || n >= 99.95 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

func amount(n int64, unit string) string {
	if unit != "" {
		return fmt.Sprintf("%d %s", n, unit)
	}
	power, by := scale(float64(n))
	return number(float64(n)/by, power) + " " + byteUnits[power]
}

// amountOf shows done and total, both in the total's unit.
func amountOf(done, total int64, unit string) string {
	if unit != "" {
		return fmt.Sprintf("%d/%d %s", done, total, unit)
	}
	power, by := scale(float64(max(done, total)))
	return fmt.Sprintf("%s/%s %s", number(float64(done)/by, power),
		number(float64(total)/by, power), byteUnits[power])
}

func rate(perSecond float64) string {
	power, by := scale(perSecond)
	return number(perSecond/by, power) + " " + byteUnits[power] + "/s"
}

// printable replaces what would move the cursor or change the terminal: names come from mirrors and
// packages.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// columns is how wide a text is on a terminal, or more: what may be wide counts as two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}

// cut shortens a text to so many columns.
func cut(s string, width int) string {
	n := 0
	for i, r := range s {
		n += runeColumns(r)
		if n > width {
			return s[:i]
		}
	}
	return s
}
