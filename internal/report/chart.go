package report

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"nsbuild/internal/result"
)

// Sizes in the unit of the drawing; it is as wide as the page lets it be.
const (
	chartWidth  = 1000.0
	chartLeft   = 84.0 // where the names of the lanes stand
	laneHeight  = 24.0
	curveHeight = 64.0
	laneGap     = 10.0
	letter      = 6.2 // width of one of a label
)

// bar is a stretch of time in a lane.
type bar struct {
	X, W      float64
	Label     string // where there is room for it
	Title     string
	Class     string
	Line      int // of the log; 0: none
	LabelFrom float64
}

// lane is a row of bars.
type lane struct {
	Name string
	Y, H float64
	Bars []bar
}

// curve is an area over time.
type curve struct {
	Name, Top    string // what its highest value is
	Y, H         float64
	Area, Stroke string
	Class        string
}

// tick is a mark of the axis.
type tick struct {
	X     float64
	Label string
}

// chart is what went on over time.
type chart struct {
	Height float64
	Ticks  []tick
	Lanes  []lane
	Curves []curve
	Text   string // for who does not see it
}

// scale is where a time is in the drawing.
type scale struct{ total float64 }

func (s scale) x(seconds float64) float64 {
	seconds = min(max(0, seconds), s.total)
	return round(chartLeft + seconds/s.total*(chartWidth-chartLeft))
}

func round(x float64) float64 { return math.Round(x*10) / 10 }

// drawChart draws what a result says about times. Of a build without stages there is none.
func drawChart(r *result.Result, shown func(line int) bool) *chart {
	stages := startedStages(r)
	total := r.Finished.Sub(r.Started).Seconds()
	for _, s := range stages {
		total = max(total, s.Start+s.Seconds)
	}
	if len(stages) == 0 || !(total > 0) || math.IsInf(total, 0) {
		return nil
	}
	s := scale{total}
	c := &chart{Ticks: ticks(s), Text: fmt.Sprintf("%d stages in %s", len(stages), duration(total))}
	y := 26.0
	add := func(l lane) {
		l.Y, l.H = y, laneHeight
		c.Lanes = append(c.Lanes, l)
		y += laneHeight + laneGap
	}
	add(stageLane(s, stages))
	if len(r.Steps) > 0 {
		add(stepLane(s, r.Steps, shown))
	}
	if p := r.Samples; p != nil && p.Every > 0 {
		n := len(p.CPU)
		memory, compilers := make([]float64, n), make([]float64, n)
		most := 0.0
		for i := range n {
			memory[i], compilers[i] = float64(at(p.Memory, i)), float64(at(p.Compilers, i))
			most = max(most, compilers[i])
		}
		add := func(one curve, values []float64, top float64) {
			one.Y, one.H = y, curveHeight
			if one.Class == "compilers" {
				one.H = laneHeight
			}
			one.Area, one.Stroke = area(s, p.Start, p.Every, values, top, y, one.H)
			c.Curves = append(c.Curves, one)
			y += one.H + laneGap
		}
		if most > 0 {
			add(curve{Name: "Compilers", Top: fmt.Sprintf("%.0f", most), Class: "compilers"},
				compilers, most)
		}
		cpu := max(1, math.Ceil(highest(p.CPU)-0.1))
		add(curve{Name: "Processors", Top: fmt.Sprintf("%.0f", cpu), Class: "cpu"}, p.CPU, cpu)
		top := max(1, highest(memory))
		add(curve{Name: "Memory", Top: bytesText(int64(top)), Class: "memory"}, memory, top)
	}
	c.Height = y
	return c
}

// at is an element of a list that another program may have made shorter.
func at[T int | int64](all []T, i int) T {
	if i < len(all) {
		return all[i]
	}
	return 0
}

func highest(values []float64) (top float64) {
	for _, v := range values {
		top = max(top, v)
	}
	return top
}

// startedStages are the stages with the times of their starts. Results of earlier versions have
// none: there one began when the one before it ended.
func startedStages(r *result.Result) []result.Stage {
	out := append([]result.Stage(nil), r.Stages...)
	known := false
	for _, s := range out {
		known = known || s.Start > 0
	}
	at := 0.0
	for i := range out {
		if !known {
			out[i].Start = at
		}
		at = out[i].Start + out[i].Seconds
	}
	return out
}

// stageLane has the stages, and what was before the first of them.
func stageLane(s scale, stages []result.Stage) lane {
	l := lane{Name: "Stages"}
	if first := stages[0].Start; first > 0 {
		l.Bars = append(l.Bars, s.bar("prepare", 0, first, "prepare"))
	}
	for _, one := range stages {
		class := "stage"
		if one.Failed {
			class = "failed"
		}
		l.Bars = append(l.Bars, s.bar(one.Name, one.Start, one.Seconds, class))
	}
	return l
}

// stepLane has the steps of dpkg-buildpackage, alternately in two tones.
func stepLane(s scale, steps []result.Step, shown func(int) bool) lane {
	l := lane{Name: "Steps"}
	for i, one := range steps {
		class := "step"
		if i%2 == 1 {
			class = "step odd"
		}
		b := s.bar(one.Name, one.Start, one.Seconds, class)
		if shown(one.Line) {
			b.Line = one.Line
		}
		l.Bars = append(l.Bars, b)
	}
	return l
}

// bar is a stretch of time, with its name in it where that fits.
func (s scale) bar(name string, start, seconds float64, class string) bar {
	b := bar{X: s.x(start), Class: class, Title: name + " · " + duration(seconds)}
	b.W = max(1, round(s.x(start+seconds)-b.X-1))
	b.LabelFrom = b.X + 6
	for _, text := range []string{name + " " + duration(seconds), name,
		strings.TrimPrefix(strings.TrimPrefix(name, "debian/rules "), "dh_")} {
		if float64(utf8.RuneCountInString(text))*letter+12 <= b.W {
			b.Label = text
			break
		}
	}
	return b
}

// area is the outline of values over time, and the same without its bottom.
func area(s scale, start, every float64, values []float64, top, y, height float64) (area,
	stroke string) {
	var line strings.Builder
	for i, v := range values {
		h := y + height - min(max(0, v), top)/top*height
		for _, t := range []float64{start + float64(i)*every, start + float64(i+1)*every} {
			command := "L"
			if line.Len() == 0 {
				command = "M"
			}
			fmt.Fprintf(&line, "%s%.1f %.1f", command, s.x(t), h)
		}
	}
	if line.Len() == 0 {
		return "", ""
	}
	return fmt.Sprintf("%sL%.1f %.1fL%.1f %.1fZ", line.String(),
		s.x(start+float64(len(values))*every), y+height, s.x(start), y+height), line.String()
}

// ticks are at most ten, at round times.
func ticks(s scale) (out []tick) {
	steps := []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
		7200, 6 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600}
	step := s.total / 2
	for _, one := range steps {
		if s.total/one <= 10 {
			step = one
			break
		}
	}
	for i := range 10 + 1 {
		at := float64(i) * step
		if at > s.total {
			break
		}
		out = append(out, tick{X: s.x(at), Label: clock(at, step)})
	}
	return out
}

// clock is a time of the axis.
func clock(seconds, step float64) string {
	switch whole := int64(seconds); {
	case step < 1:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 60 && step < 60:
		return fmt.Sprintf("%d s", whole)
	case seconds < 3600 && step < 3600:
		return fmt.Sprintf("%d:%02d", whole/60, whole%60)
	default:
		return fmt.Sprintf("%d:%02d:%02d", whole/3600, whole/60%60, whole%60)
	}
}
