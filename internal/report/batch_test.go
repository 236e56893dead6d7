package report

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/result"
)

func mustBatchPage(t *testing.T, dir string, b *Batch) string {
	t.Helper()
	page, err := BatchPage(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	consistent(t, page)
	return string(page)
}

// some is a batch with a build of each kind.
func some(dir string) *Batch {
	begun := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	build := func(name, status string, seconds int) BatchBuild {
		one := BatchBuild{Source: name, Version: "1-1", Status: status, Began: begun,
			Ended: begun.Add(time.Duration(seconds) * time.Second), Seconds: float64(seconds),
			Log:  filepath.Join(dir, "out", name+".build"),
			Page: filepath.Join(dir, "b.builds", "1-"+name+".html")}
		return one
	}
	broken := build("heron", "attempted", 30)
	broken.Stage, broken.Reason, broken.Why = "build", "missing-header", "x.h: No such file"
	also := build("egret", "attempted", 20)
	also.Stage, also.Reason, also.Why = "build", "missing-header", "y.h: No such file"
	tests := build("ibis", "attempted", 10)
	tests.Stage, tests.Error = "build", "debian/rules has failed\nand more"
	large := build("crane", "successful", 90)
	large.Memory = 3 << 30
	return &Batch{Name: "gcc-15", State: "ended", Program: "nsbuild 0", Waiting: 2,
		Builds: []BatchBuild{broken, large, also, tests, build("stork", "given-back", 1),
			build("tern", "skipped", 1)}}
}

// TestBatchPage: totals, reasons with the builds that have them, and links.
func TestBatchPage(t *testing.T) {
	dir := t.TempDir()
	page := mustBatchPage(t, dir, some(dir))
	for _, want := range []string{"gcc-15", "6 builds, ended", "missing header", "x.h: No such file",
		"debian/rules has failed", "3.0 GiB", "16.7% of those that have ended", "The slowest",
		"attempted build", "Not ended"} {
		if !strings.Contains(text([]byte(page)), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, want := range []string{`href="./out/heron.build"`, `href="./b.builds/1-heron.html"`,
		`href="#r1"`, `class="failed"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// the reason that most have comes first
	if a, b := strings.Index(page, ">missing header<"),
		strings.Index(page, ">attempted build<"); a < 0 ||
		b < a {
		t.Errorf("reasons are at %d and %d", a, b)
	}
	if strings.Contains(page, "New failures") {
		t.Error("there are new failures without a baseline")
	}
}

// TestBatchBaseline: what fails newly comes first; what failed before, and what is mended, counts.
func TestBatchBaseline(t *testing.T) {
	dir := t.TempDir()
	b := some(dir)
	b.Baseline = &Baseline{Name: "gcc-14", Of: map[string]Earlier{
		"heron": {Status: "successful"}, "egret": {Status: "attempted", Stage: "build"},
		"crane": {Status: "failed"}, "ibis": {Status: "successful"}}}
	page := mustBatchPage(t, dir, b)
	_, rest, _ := strings.Cut(page, `<h2 id="new">`)
	fresh, _, found := strings.Cut(rest, `<h2 id="failures">`)
	if !found {
		t.Fatal("the page has no new failures before the others")
	}
	for name, want := range map[string]bool{"heron": true, "ibis": true, "stork": true,
		"egret": false, "crane": false} {
		if got := strings.Contains(fresh, name); got != want {
			t.Errorf("%s is a new failure: %v", name, got)
		}
	}
	for _, want := range []string{"against gcc-14", "Still failing", "Mended", "was successful"} {
		if !strings.Contains(text([]byte(fresh)), want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// TestAside: what was built only to know how it is without a change is no new failure.
func TestAside(t *testing.T) {
	dir := t.TempDir()
	b := some(dir)
	for i := range b.Builds {
		b.Builds[i].Verdict = "breaks"
	}
	aside := b.Builds[0]
	aside.Source, aside.Aside, aside.Verdict = "heron (without the change)", true, ""
	b.Builds = append(b.Builds, aside)
	b.Baseline = &Baseline{Name: "x", Of: map[string]Earlier{"tern": {Status: "successful"}}}
	page := mustBatchPage(t, dir, b)
	before, after, found := strings.Cut(page, `id="all"`)
	if !found || strings.Count(after, aside.Source) != 1 {
		t.Error("it is not listed")
	}
	lists, _, _ := strings.Cut(before, `id="time"`)
	if strings.Contains(lists, aside.Source) {
		t.Error("it counts as a failure")
	}
	for _, want := range []string{"16.7% of those", "The change breaks 6"} {
		if !strings.Contains(text([]byte(lists)), want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// TestBatchOfAThousand: a page of a thousand builds is whole, and no larger than it has to be.
func TestBatchOfAThousand(t *testing.T) {
	dir := t.TempDir()
	b := &Batch{Name: "all"}
	begun := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	for i := range 1000 {
		at := begun.Add(time.Duration(i) * time.Second)
		one := BatchBuild{Source: fmt.Sprintf("s%d", i), Status: "successful", Began: at,
			Ended: at.Add(100 * time.Second), Seconds: 100, Machine: fmt.Sprintf("m%d", i%3)}
		if i%10 == 0 {
			one.Status, one.Reason, one.Why = "attempted", fmt.Sprintf("reason-%d", i%4), "x"
		}
		b.Builds = append(b.Builds, one)
	}
	page := mustBatchPage(t, dir, b)
	if n := strings.Count(page, "<tr id="); n != 1000 {
		t.Errorf("%d builds are listed", n)
	}
	if n := strings.Count(page, "<rect class="); n < 600 || n > 1000 {
		t.Errorf("%d builds are drawn", n)
	}
	if len(page) > 1<<20 {
		t.Errorf("it has %d bytes", len(page))
	}
	for _, m := range []string{">m0<", ">m1<"} {
		if !strings.Contains(page, m) {
			t.Errorf("the machine %s is not named", m)
		}
	}
}

// TestHostileBatch: what a package says of itself is text.
func TestHostileBatch(t *testing.T) {
	dir := t.TempDir()
	begun := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	b := &Batch{Name: "b", Baseline: &Baseline{Name: anyTag, Of: map[string]Earlier{
		anyTag: {Status: anyTag, Stage: anyTag, Version: anyTag}}}, Builds: []BatchBuild{
		{Source: anyTag, Version: anyTag, Status: anyTag, Stage: anyTag, Error: anyTag,
			Reason: anyTag, Why: anyTag, Began: begun, Ended: begun.Add(time.Hour),
			Seconds: 3600, Memory: -1, Machine: anyTag, Log: "/" + anyTag, Page: "javascript:x",
			Verdict: "breaks"}}}
	page := mustBatchPage(t, dir, b)
	if strings.Contains(page, "<script") || strings.Contains(page, "\x1b") ||
		strings.Contains(page, "\u202e") || strings.Contains(page, "javascript:") {
		t.Error("a package has written into the page")
	}
}

// TestMachineOfLog: the machine is what the first line of a log says, if that is one.
func TestMachineOfLog(t *testing.T) {
	r := failed(t, t.TempDir(), "nsbuild 0 on m7\n\nx on y\n")
	if m := NewBatchBuild(r).Machine; m != "m7" {
		t.Errorf("the machine is %q", m)
	}
	for _, log := range []string{"/dev/zero", "/nonexistent.build", ""} {
		if m := NewBatchBuild(&result.Result{Log: log}).Machine; m != "" {
			t.Errorf("%s: %q", log, m)
		}
	}
}
