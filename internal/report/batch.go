package report

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// Batch is many builds, as one page shows them.
type Batch struct {
	Name    string
	State   string // running, stopped, ended, cancelled
	Program string
	Builds  []BatchBuild
	Waiting int // that have not ended
	// Baseline is what they are compared with; nil: nothing.
	Baseline *Baseline
}

// BatchBuild is one of them, which has ended.
type BatchBuild struct {
	Source, Version              string
	Status, Stage, Error, Reason string // Reason is the kind of the first cause; "": none is known
	Why                          string // in one line
	Began, Ended                 time.Time
	Seconds                      float64
	Memory                       int64 // bytes at most
	Machine                      string
	Log, Page                    string // paths; "": there is none
	Verdict                      string // what a change does to it; "": there is no change
	// Aside: it is built only to know how it is without the change. It counts for nothing.
	Aside bool
}

// NewBatchBuild is what a page shows of a build's result.
func NewBatchBuild(r *result.Result) BatchBuild {
	b := BatchBuild{Source: cmp.Or(r.Source.Name, r.Source.From), Version: r.Source.Version,
		Status: r.Outcome.Status, Stage: r.Outcome.FailStage, Error: r.Outcome.Error,
		Began: r.Started, Ended: r.Finished, Log: r.Log, Machine: machineOf(r.Log),
		Seconds: max(0, r.Finished.Sub(r.Started).Seconds())}
	if len(r.Outcome.Causes) > 0 {
		b.Reason, b.Why = r.Outcome.Causes[0].Kind, r.Outcome.Causes[0].Text
	}
	if r.Samples != nil && len(r.Samples.Memory) > 0 {
		b.Memory = slices.Max(r.Samples.Memory)
	}
	return b
}

// machineOf is the machine that a log's first line names; "": none is known.
func machineOf(log string) string {
	if !strings.HasSuffix(log, ".build") {
		return ""
	}
	f, err := regular.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	line := make([]byte, 512)
	n, _ := io.ReadFull(f, line) // of a short one there is less
	text, _, _ := strings.Cut(string(line[:n]), "\n")
	_, host, _ := strings.Cut(text, " on ")
	return host
}

// Baseline is how sources were built elsewhere, or before.
type Baseline struct {
	Name string
	Of   map[string]Earlier // by the sources' names
}

// Earlier is how one was.
type Earlier struct{ Version, Status, Stage string }

// failed tells whether a status is a failure.
func isFailure(status string) bool {
	return status != string(buildlog.Successful) && status != string(buildlog.Skipped)
}

// batchData is what the template of a batch is filled with.
type batchData struct {
	Title    string
	Style    template.CSS
	B        *Batch
	Facts    []fact
	Against  []fact // of the baseline
	New      []*batchRow
	Verdicts []batchGroup
	Reasons  []batchGroup
	All      []*batchRow
	Slowest  []*batchRow
	Largest  []*batchRow
	Chart    *chart
	Failures int
}

// batchRow is a build of the page.
type batchRow struct {
	BatchBuild
	ID               string
	Tone             string
	Because          string // the reason, or what comes next to one
	LogLink, PageURL string
	Was              string // in the baseline
	New              bool   // it is a failure that the baseline has not
}

// batchGroup are rows that have something in common.
type batchGroup struct {
	Name, ID string
	Rows     []*batchRow
}

// batchPage is the template. It is read when a page is first made.
var batchPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("batch.html").Funcs(functions()).ParseFS(files,
		"batch.html", "head.html"))
})

// WriteBatch stores the page of a batch in one step.
func WriteBatch(path string, b *Batch) error {
	text, err := BatchPage(filepath.Dir(path), b)
	if err == nil {
		err = atomicfile.Write(path, text, atomicfile.Options{Mode: 0o644})
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// BatchPage is the page of a batch, for a file in a directory: from there its links lead.
func BatchPage(dir string, b *Batch) ([]byte, error) {
	style, err := files.ReadFile("page.css")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	//nolint:gosec // it is ours
	d := &batchData{Style: template.CSS(style), B: b, Chart: timeline(b)}
	for i, one := range b.Builds {
		d.All = append(d.All, newBatchRow(one, i, dir, b.Baseline))
	}
	d.sortOut()
	d.facts()
	var out bytes.Buffer
	if err := batchPage().Execute(&out, d); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func newBatchRow(b BatchBuild, i int, dir string, base *Baseline) *batchRow {
	r := &batchRow{BatchBuild: b, ID: fmt.Sprintf("b%d", i+1), Tone: "good",
		LogLink: relative(b.Log, dir), PageURL: relative(b.Page, dir)}
	switch {
	case b.Status == string(buildlog.GivenBack), b.Status == string(buildlog.Skipped):
		r.Tone = "odd"
	case isFailure(b.Status):
		r.Tone = "bad"
	}
	if r.Why == "" {
		r.Why, _, _ = strings.Cut(b.Error, "\n")
	}
	if isFailure(b.Status) {
		r.Because = strings.ReplaceAll(b.Reason, "-", " ")
		if r.Because == "" {
			r.Because = strings.TrimSpace(b.Status + " " + b.Stage)
		}
	} else {
		r.Why = ""
	}
	if base == nil {
		return r
	}
	was, known := base.Of[b.Source]
	if r.Was = was.Status; known && isFailure(was.Status) && was.Stage != "" {
		r.Was += " (" + was.Stage + ")"
	}
	r.New = isFailure(b.Status) && !(known && isFailure(was.Status))
	return r
}

// relative is a link to a file, from a page in dir.
func relative(path, dir string) string {
	if path == "" || !filepath.IsAbs(path) {
		return ""
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return ""
	}
	return "./" + rel // a name may begin as a URL does
}

// listed is how many of the slowest and of the largest are shown.
const listed = 12

// sortOut puts the rows into the lists.
func (d *batchData) sortOut() {
	slices.SortStableFunc(d.All, func(a, b *batchRow) int {
		return cmp.Compare(a.Source, b.Source)
	})
	reasons, verdicts := map[string][]*batchRow{}, map[string][]*batchRow{}
	for _, r := range d.All {
		if r.Aside {
			continue
		}
		if r.New {
			d.New = append(d.New, r)
		}
		if r.Because != "" {
			d.Failures++
			reasons[r.Because] = append(reasons[r.Because], r)
		}
		verdicts[r.Verdict] = append(verdicts[r.Verdict], r)
	}
	for name, rows := range reasons {
		d.Reasons = append(d.Reasons, batchGroup{Name: name, Rows: rows})
	}
	slices.SortFunc(d.Reasons, func(a, b batchGroup) int {
		return cmp.Or(len(b.Rows)-len(a.Rows), cmp.Compare(a.Name, b.Name))
	})
	for i := range d.Reasons {
		d.Reasons[i].ID = fmt.Sprintf("r%d", i+1)
	}
	for _, v := range [][2]string{{"breaks", "The change breaks"}, {"before", "Broken before"},
		{"mends", "The change mends"}, {"undecided", "Not known"}} {
		if rows := verdicts[v[0]]; len(rows) > 0 {
			d.Verdicts = append(d.Verdicts, batchGroup{Name: v[1], ID: "v-" + v[0], Rows: rows})
		}
	}
	most := func(less func(a, b *batchRow) int, counts func(*batchRow) bool) []*batchRow {
		all := slices.DeleteFunc(slices.Clone(d.All), func(r *batchRow) bool { return !counts(r) })
		slices.SortStableFunc(all, less)
		return all[:min(len(all), listed)]
	}
	d.Slowest = most(func(a, b *batchRow) int { return cmp.Compare(b.Seconds, a.Seconds) },
		func(r *batchRow) bool { return r.Seconds > 0 })
	d.Largest = most(func(a, b *batchRow) int { return cmp.Compare(b.Memory, a.Memory) },
		func(r *batchRow) bool { return r.Memory > 0 })
}

// facts are the numbers at the top.
func (d *batchData) facts() {
	count := map[string]int{}
	sum := 0.0
	var first, last time.Time
	ended := 0
	for _, r := range d.All {
		if !r.Aside {
			ended++
			count[r.Status]++
		}
		sum += max(0, r.Seconds)
		if !r.Began.IsZero() && (first.IsZero() || r.Began.Before(first)) {
			first = r.Began
		}
		if r.Ended.After(last) {
			last = r.Ended
		}
	}
	add := func(to *[]fact, name string, n int, note string) {
		if n > 0 {
			*to = append(*to, fact{name, fmt.Sprint(n), note})
		}
	}
	good := count[string(buildlog.Successful)]
	add(&d.Facts, "Successful", good, fmt.Sprintf("%.1f%% of those that have ended",
		100*float64(good)/float64(max(1, ended))))
	back := count[string(buildlog.GivenBack)]
	skipped := count[string(buildlog.Skipped)]
	add(&d.Facts, "Failed", ended-good-back-skipped, "")
	add(&d.Facts, "Given back", back, "could not be begun")
	add(&d.Facts, "Skipped", skipped, "nothing for the architecture")
	add(&d.Facts, "Without the change", len(d.All)-ended, "to know how it is without")
	add(&d.Facts, "Not ended", d.B.Waiting, "running or waiting")
	if wall := last.Sub(first).Seconds(); wall > 0 {
		d.Facts = append(d.Facts, fact{"Time", duration(wall), stamp(first)},
			fact{"All builds together", duration(sum),
				fmt.Sprintf("%.1f at a time", sum/wall)})
	}
	d.Title = fmt.Sprintf("%s: %d of %d builds were successful", d.B.Name, good, ended)
	if d.B.Baseline == nil {
		return
	}
	still, mended, unknown := 0, 0, 0
	for _, r := range d.All {
		was, known := d.B.Baseline.Of[r.Source]
		switch {
		case r.Aside:
		case !known:
			unknown++
		case isFailure(was.Status) && isFailure(r.Status):
			still++
		case isFailure(was.Status):
			mended++
		}
	}
	d.Against = []fact{{"New failures", fmt.Sprint(len(d.New)), ""}}
	add(&d.Against, "Still failing", still, "")
	add(&d.Against, "Mended", mended, "failed there")
	add(&d.Against, "Not known there", unknown, "")
}

// timeline has a lane for each build that ran at a time, of each machine. Of a batch without times
// there is none.
func timeline(b *Batch) *chart {
	builds := slices.DeleteFunc(slices.Clone(b.Builds), func(one BatchBuild) bool {
		return one.Began.IsZero() || !one.Ended.After(one.Began)
	})
	if len(builds) == 0 {
		return nil
	}
	slices.SortStableFunc(builds, func(a, b BatchBuild) int {
		return cmp.Or(cmp.Compare(a.Machine, b.Machine), a.Began.Compare(b.Began))
	})
	first, last := builds[0].Began, builds[0].Ended
	for _, one := range builds {
		if one.Began.Before(first) {
			first = one.Began
		}
		if one.Ended.After(last) {
			last = one.Ended
		}
	}
	s := scale{last.Sub(first).Seconds()}
	c := &chart{Ticks: ticks(s), Text: fmt.Sprintf("%d builds in %s", len(builds),
		duration(s.total))}
	ids := map[string]int{}
	for i, one := range b.Builds {
		ids[one.Source+"\x00"+one.Began.String()] = i + 1
	}
	var free []time.Time // when each lane is
	machine := ""
	begin := 0 // the first lane of the machine
	for i, one := range builds {
		if i == 0 || one.Machine != machine {
			machine, begin = one.Machine, len(free)
		}
		at := slices.IndexFunc(free[begin:], func(t time.Time) bool { return !t.After(one.Began) })
		if at < 0 {
			if len(free) == mostLanes {
				continue
			}
			at = len(free) - begin
			free = append(free, time.Time{})
			c.Lanes = append(c.Lanes, lane{H: batchLane,
				Y: 26 + float64(len(free)-1)*(batchLane+3)})
			if at == 0 {
				c.Lanes[begin].Name = clipped(machine, 12)
			}
		}
		free[begin+at] = one.Ended
		class := "stage"
		if isFailure(one.Status) {
			class = "failed"
		}
		bar := s.bar(one.Source, one.Began.Sub(first).Seconds(),
			one.Ended.Sub(one.Began).Seconds(), class)
		bar.Line = ids[one.Source+"\x00"+one.Began.String()]
		l := &c.Lanes[begin+at]
		l.Bars = append(l.Bars, bar)
	}
	c.Height = 26 + float64(len(free))*(batchLane+3)
	return c
}

const (
	batchLane = 18.0
	mostLanes = 64 // builds beside each other that are drawn
)

// clipped is a text of so many letters at most.
func clipped(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}
