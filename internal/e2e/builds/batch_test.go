package builds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// batchStatus is what the test reads of `batch status --json`.
type batchStatus struct {
	State  string
	Counts struct {
		Total, Successful, Failed, Waiting, Running int
	}
	Sources []struct {
		Source, Phase string
		Tries         int
	}
}

func statusOf(t *testing.T, w *e2e.World, args ...string) (s batchStatus) {
	t.Helper()
	o := w.Must(t, append([]string{"batch", "status", "--json"}, args...)...)
	e2e.Check(t, json.Unmarshal([]byte(o.Stdout), &s))
	e2e.Valid(t, "batch.schema.json", o.Stdout)
	return s
}

// TestBatchGoesOn: a batch that is killed goes on with what has not ended, with the options that it
// was begun with; what needs another is built after it, with its packages; what failed beside
// others is built once more, alone.
func TestBatchGoesOn(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	list := filepath.Join(w.Dir, "list")
	var lines []string
	for _, name := range []string{"three", "one", "two"} {
		s := e2e.Small(name)
		if name == "three" {
			s.BuildDepends = "one-data, one"
		}
		lines = append(lines, w.WriteSource(t, s)+" # "+name)
	}
	lines = append(lines, "", w.WriteSource(t, fakedebian.Source{Name: "bad", Version: "1.0",
		Rules: e2e.BadRules("\tsleep 1\n\texit 7\n")}))
	e2e.Check(t, os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o600))
	journal := filepath.Join(w.State, "batches", "b", "journal.jsonl")
	told := func(kind string) int {
		text, err := os.ReadFile(journal)
		if err != nil {
			return 0
		}
		return strings.Count(string(text), `"kind":"`+kind+`"`)
	}
	_, o := w.At(t, e2e.Moment{Name: "the end of a build", Come: func() bool {
		return told("ended") > 0
	}}, 0, syscall.SIGKILL, "batch", "--name", "b", "-d", "bookworm", "--jobs-at-once", "2",
		"--keep=never", "-o", "out", "--list", "list", "--order", "needs", "--repository", "repo")
	if o.Status == 0 {
		t.Fatal(o)
	}
	if s := statusOf(t, w); s.State != "stopped" || s.Counts.Total != 4 {
		t.Errorf("after the kill: %+v", s)
	}
	e2e.Refusal{Status: 64, Says: []string{"there is a batch b"},
		Hint: "nsbuild batch resume b"}.Check(t, w.Run(t, "batch", "--name", "b", "x"))
	ended := map[string]bool{}
	for _, one := range statusOf(t, w).Sources {
		ended[one.Source] = one.Phase == "finished"
	}
	before := told("started")
	o = w.Run(t, "batch", "resume", "--quiet")
	if strings.Contains(o.Stderr, "collect") {
		t.Errorf("--quiet is forgotten: %s", o)
	}
	if o.Status != 2 {
		t.Error(o)
	}
	s := statusOf(t, w, "b")
	if s.State != "ended" || s.Counts.Successful != 3 || s.Counts.Failed != 1 {
		t.Errorf("in the end: %+v", s)
	}
	left := 0
	for _, one := range s.Sources {
		if !ended[one.Source] {
			left++
		}
	}
	if n := told("started") - before; n < left || n > left+1 {
		t.Errorf("%d were begun again, and %d had not ended", n, left)
	}
	for _, name := range []string{"one_1.0_amd64.changes", "two_1.0_amd64.changes",
		"three_1.0_amd64.changes"} {
		if _, err := os.Stat(filepath.Join(w.Dir, "out", name)); err != nil {
			t.Error(err)
		}
	}
	index := e2e.Read(t, filepath.Join(w.Dir, "repo", "Packages"))
	for _, name := range []string{"one", "two", "three"} {
		if n := strings.Count("\n"+index, "\nPackage: "+name+"\n"); n != 1 {
			t.Errorf("the repository has %s %d times:\n%s", name, n, index)
		}
	}
	if strings.Contains(index, "Package: bad") {
		t.Errorf("the repository has what was not built:\n%s", index)
	}
	w.Must(t, "batch", "report", "-o", "page.html")
	page := e2e.Read(t, filepath.Join(w.Dir, "page.html"))
	for _, name := range []string{"one", "two", "three", "bad"} {
		if !strings.Contains(page, name) {
			t.Errorf("the page lacks %s", name)
		}
	}
	w.Must(t, "batch", "remove", "b")
	e2e.Refusal{Status: 64, Says: []string{"there is no batch b"},
		Hint: "nsbuild batch list"}.Check(t,
		w.Run(t, "batch", "resume", "b"))
}
