package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/report"
	"nsbuild/internal/result"
)

// TestReadBaseline reads how sources were built, from each form that it may have.
func TestReadBaseline(t *testing.T) {
	dir := t.TempDir()
	store := batch.In(dir)
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	log := func(name, status, at string) string {
		return "sbuild (Debian sbuild) 0.85.0 on m\n\n+=====+\n| " + name + " |\n+=====+\n\n" +
			"+---------+\n| Summary |\n+---------+\n\nFail-Stage: build\nPackage: " + name +
			"\nStatus: " + status + "\nVersion: 1-1\nFinished at " + at + "\n"
	}
	write("logs/heron-1.build", log("heron", "successful", "2026-11-01T10:00:00Z"))
	write("logs/heron-2.build", log("heron", "attempted", "2026-11-02T10:00:00Z"))
	write("logs/odd.build", log("odd", "attempted", "yesterday"))
	write("logs/cut.build", "sbuild (Debian sbuild)")
	write("logs/notes.txt", log("egret", "attempted", "2026-11-02T10:00:00Z"))
	check(t, os.Symlink("/dev/zero", filepath.Join(dir, "logs", "zero.build")))
	b, err := store.Create(batch.Head{Name: "new", Sources: []batch.Source{{Spec: "heron"}}})
	check(t, err)
	check(t, b.Close())
	failed := map[string]report.Earlier{
		"heron": {Version: "1-1", Status: "attempted", Stage: "build"}}
	one := filepath.Join(dir, "one.json")
	check(t, result.Write(one, &result.Result{Source: result.Source{Name: "heron", Version: "1-1"},
		Outcome: result.Outcome{Status: "attempted", FailStage: "build"}, Started: time.Now()}))
	status := write("status.json", fmt.Sprintf(`{"schema":%d,"sources":[
		{"source":"x","phase":"finished","last":
			{"status":"attempted","stage":"build","name":"heron","version":"1-1"}},
		{"source":"y","phase":"waiting"},{"source":"z","phase":"finished","baseline_of":0,
		"last":{"status":"successful","name":"heron"}}]}`, batch.DocumentSchema))
	for _, what := range []string{filepath.Join(dir, "logs"), one, status} {
		got, err := readBaseline(store, what)
		check(t, err)
		if diff := cmp.Diff(failed, got.Of); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	for _, bad := range []string{"nosuch", "new", write("bad.json", "{"), write("empty/x", ""),
		filepath.Join(dir, "empty"),
		write("later.json", `{"schema":99,"sources":[{"source":"x"}]}`)} {
		if _, err := readBaseline(store, bad); fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
