// Command pictures draws a screen of a terminal, as tmux capture-pane -p -e writes it, as SVG.
//
// It is started by bench/pictures/make.
package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pictures TITLE <SCREEN >PICTURE.svg")
		os.Exit(64)
	}
	screen, err := io.ReadAll(os.Stdin)
	if err == nil {
		_, err = io.WriteString(os.Stdout, draw(os.Args[1], string(screen)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// A cell of the terminal, and what is around them, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 19
	margin     = 16
	bar        = 34 // with the title
)

// The colours are those of the reader's own scheme, light or dark, as far as the browser tells.
const style = `
  .page { fill: #f6f8fa; stroke: #d0d7de }
  .bar { fill: #59636e; font: 13px sans-serif }
  .line { fill: #1f2328; font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
  .line text { white-space: pre }
  .bold { font-weight: bold }
  .dim { opacity: .65 }
  .c1 { fill: #cf222e } .c2 { fill: #116329 } .c3 { fill: #7d4e00 } .c4 { fill: #0550ae }
  .c5 { fill: #8250df } .c6 { fill: #1b7c83 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    .bar { fill: #9198a1 }
    .line { fill: #e6edf3 }
    .c1 { fill: #ff7b72 } .c2 { fill: #7ee787 } .c3 { fill: #f2cc60 } .c4 { fill: #79c0ff }
    .c5 { fill: #d2a8ff } .c6 { fill: #76e3ea }
  }
`

// draw returns the picture of a screen.
func draw(title, screen string) string {
	lines := strings.Split(strings.TrimRight(screen, " \n"), "\n")
	var text strings.Builder
	widest := 0
	var look look
	for row, line := range lines {
		column := 0
		for _, r := range look.runs(line) {
			column += r.draw(&text, row, column)
		}
		widest = max(widest, column)
	}
	width := int(float64(widest)*cellWidth) + 2*margin
	height := bar + len(lines)*cellHeight + margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" `+
		`width="%[1]d" height="%[2]d">
<title>%[3]s</title>
<style>%[4]s</style>
<rect class="page" x=".5" y=".5" width="%[5]d" height="%[6]d" rx="8"/>
<text class="bar" x="%[7]d" y="22">%[3]s</text>
<g class="line" xml:space="preserve">
%[8]s</g>
</svg>
`, width, height, escape(title), style, width-1, height-1, margin, text.String())
}

// look is how a terminal shows what comes next.
type look struct {
	bold, dim bool
	colour    int // 1 to 6, else the usual one
}

func (l look) class() string {
	var words []string
	if l.bold {
		words = append(words, "bold")
	}
	if l.dim {
		words = append(words, "dim")
	}
	if l.colour > 0 {
		words = append(words, "c"+strconv.Itoa(l.colour))
	}
	return strings.Join(words, " ")
}

// set takes the numbers of a sequence that says how what follows looks.
func (l *look) set(numbers string) {
	for number := range strings.SplitSeq(numbers, ";") {
		n, err := strconv.Atoi("0" + number)
		switch {
		case err != nil:
		case n == 0:
			*l = look{}
		case n == 1:
			l.bold = true
		case n == 2:
			l.dim = true
		case n == 22:
			l.bold, l.dim = false, false
		case n >= 31 && n <= 36:
			l.colour = n - 30
		case n >= 91 && n <= 96:
			l.colour = n - 90
		case n == 30 || n >= 37 && n <= 39:
			l.colour = 0
		}
	}
}

// run is text of one look.
type run struct {
	look look
	text string
}

// runs are those of a line. How its end looks, the next line's beginning does, too.
func (l *look) runs(line string) (all []run) {
	for i, part := range strings.Split(line, "\x1b[") {
		if i > 0 {
			end := strings.IndexFunc(part, func(c rune) bool { return c >= '@' && c <= '~' })
			if end < 0 {
				continue
			}
			if part[end] == 'm' {
				l.set(part[:end])
			}
			part = part[end+1:]
		}
		if part != "" {
			all = append(all, run{*l, part})
		}
	}
	if n := len(all); n > 0 {
		all[n-1].text = strings.TrimRight(all[n-1].text, " ")
	}
	return all
}

// draw writes a run, and returns how many columns it has. The browser's font may be wider or
// narrower than the cells: the length of a run is said.
func (r run) draw(out io.Writer, row, column int) int {
	columns := utf8.RuneCountInString(r.text)
	text := strings.TrimLeft(r.text, " ")
	if text == "" {
		return columns
	}
	shown := utf8.RuneCountInString(text)
	column += columns - shown
	class := ""
	if c := r.look.class(); c != "" {
		class = fmt.Sprintf(` class="%s"`, c)
	}
	fmt.Fprintf(out, `<text%s x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs">`+
		"%s</text>\n", class, margin+float64(column)*cellWidth, bar+14+row*cellHeight,
		float64(shown)*cellWidth, escape(text))
	return columns
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "" // a Builder takes all
	}
	return b.String()
}
