package report

import (
	"cmp"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/result"
)

// pageData is what the template is filled with.
type pageData struct {
	Title   string
	Style   template.CSS
	Several bool
	Builds  []*view
	Good    int
}

// view is a build as it is shown.
type view struct {
	R        *result.Result
	P        string // before each anchor of the build; "" where there is only one
	Name     string
	Tone     string // "good", "bad", "odd"
	Why      string // of what was not successful, in one line
	WhyLine  int    // of the log, where it is shown
	More     []result.Cause
	Excerpt  []line
	Took     float64
	Facts    []fact
	Chart    *chart
	Steps    []result.Step // the longest
	Files    []file
	Packages []result.Package // the largest first
	KiB      int64            // of all
	Log      *logView
}

type fact struct{ Name, Value, Note string }

// file is an artefact, with a link where it lies in or below the page's directory.
type file struct {
	result.Artefact
	Link string
}

// Longest is how long the longest step took.
func (v *view) Longest() float64 { return v.Steps[0].Seconds }

// viewOf is what is shown of a build. dir is the page's directory, room how many bytes of the log
// are shown.
func viewOf(b Build, i int, several bool, dir string, room int) *view {
	r := b.Result
	v := &view{R: r, Name: cmp.Or(r.Source.Name, r.Source.From, "a build"),
		Took: max(0, r.Finished.Sub(r.Started).Seconds())}
	if several {
		v.P = fmt.Sprintf("b%d-", i+1)
	}
	switch r.Outcome.Status {
	case string(buildlog.Successful):
		v.Tone = "good"
	case string(buildlog.Skipped), string(buildlog.GivenBack):
		v.Tone = "odd"
	default:
		v.Tone = "bad"
	}
	causes := r.Outcome.Causes
	var lines []int
	for _, c := range causes[:min(len(causes), maxCauses)] {
		lines = append(lines, c.Line)
	}
	v.Log = readLog(r.Log, b.Dir, room, lines)
	v.why()
	v.Chart = drawChart(r, v.Log.Has)
	v.Steps = slices.Clone(r.Steps)
	slices.SortStableFunc(v.Steps, func(a, b result.Step) int {
		return cmp.Compare(b.Seconds, a.Seconds)
	})
	v.Steps = v.Steps[:min(len(v.Steps), maxLongest)]
	for _, a := range r.Artefacts {
		v.Files = append(v.Files, file{a, linkTo(a.Path, dir, b.Dir)})
	}
	v.Packages = slices.Clone(r.Inputs.Dependencies)
	slices.SortStableFunc(v.Packages, func(a, b result.Package) int {
		return cmp.Compare(b.InstalledKiB, a.InstalledKiB)
	})
	for _, p := range v.Packages {
		v.KiB += max(0, p.InstalledKiB)
	}
	v.facts()
	return v
}

const (
	maxCauses  = 5
	maxLongest = 8 // steps that are listed
)

// why says why a build was not successful, and where the log says so.
func (v *view) why() {
	out := v.R.Outcome
	v.Why = out.Error
	if v.Tone == "good" {
		return
	}
	at := 0
	if len(out.Causes) > 0 {
		v.Why = out.Causes[0].Text
		at = out.Causes[0].Line
		v.More = out.Causes[1:min(len(out.Causes), maxCauses)]
	}
	for _, c := range out.Causes {
		v.Log.mark(c.Line)
	}
	switch {
	case at > 0 && v.Log.Has(at):
		v.WhyLine = at
		v.Excerpt = v.Log.excerpt(at, 5, 6)
	case at == 0 && v.Log.end() > 0:
		v.Excerpt = v.Log.excerpt(v.Log.end(), 11, 0)
	}
}

// facts are the numbers at the top.
func (v *view) facts() {
	r := v.R
	add := func(name, value, note string) {
		v.Facts = append(v.Facts, fact{name, value, note})
	}
	add("Time", duration(v.Took), stamp(r.Started))
	if u := r.Use; u.UserTime+u.SystemTime > 0 {
		add("Processor time", duration(u.UserTime+u.SystemTime),
			fmt.Sprintf("%s of it in the kernel", duration(u.SystemTime)))
	}
	if s := r.Samples; s != nil && len(s.Memory) > 0 {
		add("Memory, at most", bytesText(slices.Max(s.Memory)),
			"one process: "+bytesText(r.Use.PeakMemory))
	} else if r.Use.PeakMemory > 0 {
		add("Memory of a process", bytesText(r.Use.PeakMemory), "at most")
	}
	if r.Use.SpaceKiB > 0 {
		add("Disk", kibText(r.Use.SpaceKiB), "tree and results")
	}
	if n := len(v.Packages); n > 0 {
		note := "already installed by an earlier build"
		if !r.Inputs.Layer.Cached {
			note = "installed for this build"
		}
		if v.KiB > 0 {
			note = kibText(v.KiB) + ", " + note
		}
		add("Packages", fmt.Sprint(n), note)
	}
	if r.Use.Downloaded > 0 {
		add("Downloaded", bytesText(r.Use.Downloaded), "")
	}
}

// title says on the browser's tab what became of the builds.
func (d *pageData) title() {
	for _, v := range d.Builds {
		if v.Tone == "good" {
			d.Good++
		}
	}
	if d.Several || len(d.Builds) == 0 {
		d.Title = fmt.Sprintf("%d of %d builds were successful", d.Good, len(d.Builds))
		return
	}
	v := d.Builds[0]
	d.Title = strings.Join(strings.Fields(v.Name+" "+v.R.Source.Version+": "+
		v.R.Outcome.Status), " ")
}

// linkTo is a link from a page in dir to a file; "" where the file lies elsewhere. A relative path
// is one from the result's directory.
func linkTo(path, dir, beside string) string {
	if path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(beside, path)
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return "./" + rel // a name may begin as a URL does
}

// functions are those of the template.
func functions() template.FuncMap {
	return template.FuncMap{"duration": duration, "bytes": bytesText, "kib": kibText,
		"detailsOf": detailsOf, "compareTone": compareTone,
		"stamp": stamp, "tone": toneOf, "visible": buildlog.VisibleString, "join": strings.Join,
		"short": func(hash string) string { return hash[:min(len(hash), 12)] },
		"part": func(x, of float64) string {
			return fmt.Sprintf("%.1f%%", 100*min(1, max(0, x)/max(of, 0.001)))
		},
		"middle": func(y, h float64) float64 { return round(y + h/2 + 4) },
		"plus":   func(a, b float64) float64 { return round(a + b) },
		"minus":  func(a, b int) int { return a - b },
		"share": func(part, whole int) string {
			return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(max(1, whole)))
		},
	}
}

// toneOf is the colour of the outcome of a check, a test or a hook.
func toneOf(outcome string) string {
	switch outcome {
	case "pass", "info", "success", "good":
		return "good"
	case "warn", "skipped", "no tests", "odd":
		return "odd"
	}
	return "bad"
}

// duration is short.
func duration(seconds float64) string {
	switch {
	case !(seconds >= 0) || seconds > 1e9:
		return "?"
	case seconds < 0.01:
		return "0 s"
	case seconds < 0.995:
		return fmt.Sprintf("%.2f s", seconds)
	case seconds < 59.95:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%d min %d s", int(seconds+0.5)/60, int(seconds+0.5)%60)
	}
	return fmt.Sprintf("%d h %d min", int(seconds)/3600, int(seconds)/60%60)
}

// bytesText is a number of bytes, in units of 1024.
func bytesText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB"} {
		value /= 1024
		if value < 9.95 {
			return fmt.Sprintf("%.1f %s", value, unit)
		}
		if value < 1023.5 || unit == "GiB" {
			return fmt.Sprintf("%.0f %s", value, unit)
		}
	}
	return ""
}

func kibText(n int64) string { return bytesText(max(0, min(n, 1<<50)) << 10) }

// stamp is a time of the result.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
