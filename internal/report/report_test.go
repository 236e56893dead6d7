package report

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/compared"
	"nsbuild/internal/result"
)

// anyTag has hostile text in it wherever a package or an archive can put some.
const anyTag = `"><script>alert(1)</script><img src=x onerror=alert(1)>` + "\x1b[31m\u202e"

// failed is a build that failed, with a log in dir.
func failed(t *testing.T, dir, log string) *result.Result {
	t.Helper()
	path := filepath.Join(dir, "greet.build")
	if err := os.WriteFile(path, []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	begun := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	return &result.Result{Program: "nsbuild 0",
		Source: result.Source{Name: "greet", Version: "1.0", From: "."},
		Target: result.Target{Distribution: "bookworm", BuildArch: "amd64", HostArch: "amd64"},
		Outcome: result.Outcome{Status: "attempted", FailStage: "build", Error: "it failed",
			Exit: 2, Causes: []result.Cause{{Kind: "compile-error", Line: 12, Text: "a compile error: x"}}},
		Started: begun, Finished: begun.Add(20 * time.Second),
		Stages: []result.Stage{{Name: "unpack", Start: 1, Seconds: 2},
			{Name: "build", Start: 3, Seconds: 16, Failed: true}},
		Steps: []result.Step{{Name: "dh_auto_build", Line: 11, Start: 4, Seconds: 10}},
		Samples: &result.Samples{Start: 1, Every: 1, CPU: []float64{0.5, 1.9, 0},
			Memory: []int64{1 << 20, 2 << 20, 0}, Processes: []int{1, 2, 0},
			Compilers: []int{0, 1, 0}},
		Log: path}
}

const box = "+------+\n| %-4s |\n+------+\n"

// logText is a log with a section and an error in its line 12.
func logText() string {
	return "nsbuild 0\n\n" + fmt.Sprintf(box, "Build") + "1\n2\n3\n4\n5\n   dh_auto_build\n" +
		"a.c:1:2: error: x\nmake: *** [x] Error 1\n" + strings.Repeat("-", 80) +
		"\nBuild finished at 2026-11-02T10:00:00Z\n" + fmt.Sprintf(box, "Summary") + "Status: attempted\n"
}

// text is what a page shows, without its markup.
func text(page []byte) string {
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(page), ""))
}

// consistent tells of links that lead nowhere, of names that are there twice, and of what a page
// would have to load.
func consistent(t *testing.T, page []byte) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllSubmatch(page, -1) {
		if seen[string(m[1])] {
			t.Errorf("there are two with the id %s", m[1])
		}
		seen[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllSubmatch(page, -1) {
		if !seen[string(m[1])] {
			t.Errorf("a link leads to #%s, which is not there", m[1])
		}
	}
	loads := regexp.MustCompile(`(?i)^<(script|img|link|iframe|object|base|form)|\b(src|on[a-z]+)=`)
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAll(page, -1) {
		if loads.Match(tag) {
			t.Errorf("the page has %s", tag)
		}
	}
	if m := regexp.MustCompile(`(?i)url\(|@import`).Find(page); m != nil {
		t.Errorf("the page has %s", m)
	}
}

func mustPage(t *testing.T, dir string, builds ...Build) []byte {
	t.Helper()
	page, err := Page(dir, builds)
	if err != nil {
		t.Fatal(err)
	}
	consistent(t, page)
	return page
}

// TestFailed: the page says why, where, and shows the log around it.
func TestFailed(t *testing.T) {
	dir := t.TempDir()
	r := failed(t, dir, logText())
	page := mustPage(t, dir, Build{Result: r})
	for _, want := range []string{"greet 1.0: attempted", "a compile error: x", "line 12 of the log",
		"a.c:1:2: error: x", "dh_auto_build", "2.0 MiB", "Summary", "20.0 s"} {
		if !strings.Contains(text(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, want := range []string{`href="#L12"`, `<div id="L12" class="c">`,
		`id="S1" open>`, `<path class="area cpu"`, `class="failed"`} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page has no %s", want)
		}
	}
	r.Outcome.Causes = nil // what was printed last is shown where no cause is known
	page = mustPage(t, dir, Build{Result: r})
	if !bytes.Contains(page, []byte("make: *** [x] Error 1</span></div>\n</div>\n</div>")) {
		t.Error("the end of the build is not shown")
	}
}

// TestSeveral: a table leads to each, and no two have the same anchors. What nothing is known of is
// there, too.
func TestSeveral(t *testing.T) {
	dir := t.TempDir()
	good := failed(t, dir, logText())
	good.Outcome = result.Outcome{Status: "successful"}
	good.Artefacts = []result.Artefact{
		{Hashed: result.Hashed{Name: "a:b c.deb", Size: 5}, Path: filepath.Join(dir, "a:b c.deb")},
		{Hashed: result.Hashed{Name: "else.deb", Size: 5}, Path: "/elsewhere/else.deb"}}
	page := mustPage(t, dir, Build{Result: good}, Build{Result: failed(t, dir, logText())},
		Build{Result: &result.Result{Outcome: result.Outcome{Status: "given-back", Error: "no"}}})
	for _, want := range []string{"3 builds", "1 successful, 2 not", "given-back"} {
		if !strings.Contains(text(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if !bytes.Contains(page, []byte(`href="./a:b%20c.deb"`)) ||
		bytes.Contains(page, []byte(`href="./else`)) || bytes.Contains(page, []byte("/else.deb\"")) {
		t.Error("files in the page's directory have links, others have none")
	}
}

// TestCompared: the page says how what was built differs, and from what.
func TestCompared(t *testing.T) {
	dir := t.TempDir()
	r := failed(t, dir, logText())
	r.Compare = &result.Compare{With: "archive", Status: "differs", Version: "1.0-1",
		Comparison: &compared.Comparison{Packages: []compared.Pair{{Name: "greet_all", Was: "1.0-1",
			Is: "1.0-2", Changes: []compared.Change{{Of: "relation", Name: "Depends",
				Gained: []string{"libc6"}}}}}}}
	page := mustPage(t, dir, Build{Result: r})
	for _, want := range []string{"Comparison with archive 1.0-1", "greet Depends: + libc6",
		"packages   1.0-1 → 1.0-2: 1 differs"} {
		if !strings.Contains(text(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	r.Compare = &result.Compare{With: "previous", Status: "nothing", Note: "there is none"}
	if page = mustPage(t, dir, Build{Result: r}); !strings.Contains(text(page), "there is none") {
		t.Error("the page does not say that there was nothing")
	}
}

// TestHostile puts markup and escapes everywhere.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	r := failed(t, dir, anyTag+"\n"+fmt.Sprintf(box, anyTag)+anyTag+"\n\xff\xfe\r"+anyTag)
	r.Source.Name, r.Source.Version, r.Source.From, r.Source.Signer = anyTag, anyTag, anyTag, anyTag
	r.Outcome.Error, r.Outcome.Hint, r.Outcome.Status = anyTag, anyTag, anyTag
	r.Outcome.Causes = []result.Cause{{Line: 1, Text: anyTag}, {Line: -5, Text: anyTag},
		{Line: 1 << 60, Text: anyTag}}
	r.Stages[0].Name, r.Steps[0].Name = anyTag, anyTag
	r.Artefacts = []result.Artefact{{Hashed: result.Hashed{Name: anyTag, SHA256: anyTag},
		Path: filepath.Join(dir, anyTag)}, {Hashed: result.Hashed{Name: "x"}, Path: "javascript:x"}}
	r.Checks = []result.Check{{Name: anyTag, Outcome: anyTag, Findings: []string{anyTag},
		Tests: []result.Test{{Name: anyTag, Last: []string{anyTag}}}}}
	r.Compare = &result.Compare{With: anyTag, Status: anyTag, Note: anyTag,
		Comparison: &compared.Comparison{Gained: []string{anyTag}, Packages: []compared.Pair{
			{Name: anyTag, Was: anyTag, Is: anyTag, Differences: []compared.Difference{
				{In: anyTag, Path: anyTag, What: anyTag, Was: anyTag, Diff: anyTag},
				{In: compared.InControl, Path: "postinst", What: "content", Diff: anyTag}}}}}}
	r.Hooks = []result.Hook{{Name: anyTag}}
	r.Strays = []result.Stray{{Command: anyTag}}
	r.Inputs.Dependencies = []result.Package{{Name: anyTag, InstalledKiB: 1 << 62}}
	r.Samples.Memory = []int64{-5}
	page := mustPage(t, dir, Build{Result: r})
	for _, c := range []string{"\x1b", "\u202e", "\xff", "javascript:x\"", "NaN", "Inf"} {
		if bytes.Contains(page, []byte(c)) {
			t.Errorf("the page has %q", c)
		}
	}
}

// TestLogs: what a result names that is no log is not shown, and one that was moved is found beside
// the result.
func TestLogs(t *testing.T) {
	dir, there := t.TempDir(), t.TempDir()
	secret := filepath.Join(there, "key")
	link := filepath.Join(there, "link.build")
	r := failed(t, dir, logText())
	for path, want := range map[string]string{
		"": "has left no log", secret: "does not end with .build", link: "a symbolic link",
		"/nowhere/gone.build": "not there any more", "/nowhere/greet.build": "error: x",
		"greet.build": "error: x"} {
		if err := os.WriteFile(secret, []byte("SECRET\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(link) // there may be none yet
		if err := os.Symlink(secret, link); err != nil {
			t.Fatal(err)
		}
		r.Log = path
		page := mustPage(t, t.TempDir(), Build{Result: r, Dir: dir})
		if !strings.Contains(text(page), want) || strings.Contains(text(page), "SECRET") {
			t.Errorf("%q: the page does not say %q", path, want)
		}
	}
}

// long is a log of so many lines, one of which is long, and a cause in its middle.
func long(lines, cause, longest int) io.Reader {
	var parts []io.Reader
	block := strings.Repeat("0123456789 abcdefghijklmnopqrstuvwxyz 0123456789\n", 1000)
	for i := range lines / 1000 {
		if i == cause/1000 {
			parts = append(parts, strings.NewReader("a.c:1: error: the cause\n"+block[:49*999]))
			continue
		}
		parts = append(parts, strings.NewReader(block))
	}
	parts = append(parts, strings.NewReader("begin"), io.LimitReader(letters{}, int64(longest)),
		strings.NewReader("the end\nlast line"))
	return io.MultiReader(parts...)
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestLongLog: of a long log its beginning, its end and what is around the cause are shown, and no
// more than may be.
func TestLongLog(t *testing.T) {
	const lines, cause = 200_000, 100_001
	const room = 100_000
	v := &logView{}
	if err := v.read(long(lines, cause, 5_000_000), room, []int{cause}); err != nil {
		t.Fatal(err)
	}
	if v.Total != lines+2 || v.Size < 5_000_000+(lines-1)*49 {
		t.Errorf("%d lines, %d bytes", v.Total, v.Size)
	}
	if !v.Has(1) || !v.Has(cause) || !v.Has(cause-aroundBefore) || v.Has(cause-aroundBefore-1) ||
		!v.Has(lines+2) || !v.Cut() {
		t.Error("not the lines that are wanted")
	}
	held, next, gaps := 0, 1, 0
	for _, l := range v.Sections[0].Lines {
		held += len(l.Text)
		if l.N != next+l.Gap {
			t.Fatalf("line %d has a gap of %d after %d", l.N, l.Gap, next-1)
		}
		if next = l.N + 1; l.Gap > 0 {
			gaps++
		}
		if strings.HasPrefix(l.Text, "begin") && (!strings.HasSuffix(l.Text, "the end") ||
			!strings.Contains(l.Text, "bytes are left out") || len(l.Text) > 2500) {
			t.Errorf("a long line is %.50s… of %d bytes", l.Text, len(l.Text))
		}
		if l.N == cause && l.Text != "a.c:1: error: the cause" {
			t.Errorf("line %d is %q", l.N, l.Text)
		}
	}
	if held > room || gaps != 2 {
		t.Errorf("%d bytes, %d gaps", held, gaps)
	}
}

// TestWhole: of a log that fits nothing is left out, whatever its sections are.
func TestWhole(t *testing.T) {
	for _, log := range []string{"", "\n", "a", "a\nb\n", logText(), fmt.Sprintf(box, "x"),
		strings.Repeat(fmt.Sprintf(box, "y")+"z\n", 2*maxSections)} {
		v := &logView{}
		if err := v.read(strings.NewReader(log), 1<<20, nil); err != nil || v.Cut() {
			t.Errorf("%.50q: %v, %v", log, err, v.Cut())
		}
		if len(v.Sections) > maxSections+1 {
			t.Errorf("%d sections", len(v.Sections))
		}
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB",
		10 << 10: "10 KiB", 5 << 30: "5.0 GiB", 1 << 60: "1073741824 GiB"} {
		if diff := cmp.Diff(want, bytesText(n)); diff != "" {
			t.Error(diff)
		}
	}
	for s, want := range map[float64]string{0: "0 s", 0.25: "0.25 s", 59.99: "1 min 0 s", 5: "5.0 s",
		3599: "59 min 59 s", 3700: "1 h 1 min", -1: "?"} {
		if diff := cmp.Diff(want, duration(s)); diff != "" {
			t.Error(diff)
		}
	}
}
