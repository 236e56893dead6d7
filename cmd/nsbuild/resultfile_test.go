package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/result"
)

// TestResultFile: the file is written once, with what has ended and what has not.
func TestResultFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	check(t, os.WriteFile(file, []byte("old"), 0o600))
	var f resultFile
	asked := &pkgbuild.Several{Sources: []string{"a", "b", "c"}}
	check(t, f.claim(pkgbuild.Places{Result: file}, asked))
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the old file: %v", err)
	}
	f.note(1, &result.Result{Source: result.Source{From: "b"},
		Outcome: result.Outcome{Status: "successful"}})
	check(t, f.write(errors.New("stopped")))
	text, err := os.ReadFile(file)
	check(t, err)
	var s result.Several
	check(t, json.Unmarshal(text, &s))
	var got []string
	for _, r := range s.Results {
		got = append(got, r.Source.From+": "+r.Outcome.Status+r.Outcome.Error)
	}
	if !slices.Equal(got, []string{"a: failedstopped", "b: successful", "c: failedstopped"}) {
		t.Errorf("%q", got)
	}
	check(t, os.Remove(file))
	check(t, f.write(nil))
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was written again: %v", err)
	}
}

// TestResultFileIsTold: that the file cannot be written is said, also where all else has been.
func TestResultFileIsTold(t *testing.T) {
	dir := t.TempDir()
	said, err := os.Create(filepath.Join(dir, "said"))
	check(t, err)
	defer said.Close()
	gone := filepath.Join(dir, "gone")
	check(t, os.Mkdir(gone, 0o755))
	for _, before := range []error{nil, commandStatus(3), errors.New("failed")} {
		a := &app{stderr: said}
		check(t, os.MkdirAll(gone, 0o755))
		check(t, a.result.claim(pkgbuild.Places{Result: filepath.Join(gone, "r.json")},
			&pkgbuild.Several{}))
		check(t, os.Remove(gone))
		err := a.finish(before, nil)
		if exitStatus(err) != max(1, exitStatus(before)) {
			t.Errorf("after %v: %v", before, err)
		}
		shown, e := os.ReadFile(said.Name())
		check(t, e)
		told := err.Error()
		if errors.As(err, new(commandStatus)) { // of which nothing is printed
			told = string(shown)
		}
		if !strings.Contains(told, "r.json") {
			t.Errorf("after %v: %v is printed", before, told)
		}
	}
}

// TestNamedIn finds the file and the sources in command lines that are wrong.
func TestNamedIn(t *testing.T) {
	t.Setenv("NSBUILD_BUILD_RESULT", "")
	for _, c := range []struct{ line, path, sources string }{
		{"build --result r.json a.dsc --frob", "r.json", "a.dsc"},
		{"build --frob=x --result=r.json a.dsc b.dsc", "r.json", "a.dsc b.dsc"},
		{"-q build -j two --result=r.json a.dsc --dist", "r.json", "a.dsc"},
		{"build --dist --result r.json", "", "r.json"}, // as it is read
		{"build -- --result=r.json", "", "--result=r.json"},
		{"run --result=r.json build", "", ""},
		{"frob build --result=r.json", "", ""},
	} {
		at, sources := namedIn(strings.Fields(c.line))
		if at.Result != c.path || strings.Join(sources, " ") != c.sources {
			t.Errorf("%s: %q, %q", c.line, at.Result, sources)
		}
	}
	t.Setenv("NSBUILD_BUILD_RESULT", "e.json")
	if at, _ := namedIn([]string{"build", "--frob"}); at.Result != "e.json" {
		t.Errorf("of the environment: %+v", at)
	}
	if at, _ := namedIn([]string{"build", "--junit", "j.xml", "--report=r.html",
		"--frob"}); at.JUnit != "j.xml" || at.Report != "r.html" {
		t.Errorf("of --junit and --report: %+v", at)
	}
}

// TestJUnitFile: a build that failed early is in the files of --junit and of --report, too.
func TestJUnitFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "j.xml")
	page := filepath.Join(filepath.Dir(file), "r.html")
	check(t, os.WriteFile(file, []byte("old"), 0o600))
	var f resultFile
	check(t, f.claim(pkgbuild.Places{JUnit: file, Report: page},
		&pkgbuild.Several{Sources: []string{"a"}}))
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the old file: %v", err)
	}
	check(t, f.write(errors.New("no mirror")))
	for _, want := range []string{`<testsuite name="a`, `<error message="no mirror"`} {
		if text := read(t, file); !strings.Contains(text, want) {
			t.Errorf("it lacks %s:\n%s", want, text)
		}
	}
	if text := read(t, page); !strings.Contains(text, "<strong>no mirror</strong>") {
		t.Errorf("the page lacks the error:\n%s", text)
	}
}

// TestReport makes pages of results that there are, and refuses what are none.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	one := &result.Result{Source: result.Source{Name: "crane"},
		Outcome: result.Outcome{Status: "successful"}}
	check(t, result.Write(in("one.json"), one))
	two := &result.Several{Results: []*result.Result{one, one}}
	check(t, result.WriteSeveral(in("two.json"), two))
	text := read(t, in("one.json"))
	check(t, os.WriteFile(in("cut.json"), []byte(text[:len(text)/2]), 0o600))
	check(t, os.WriteFile(in("later.json"),
		[]byte(strings.Replace(text, `"schema": 1`, `"schema": 7`, 1)), 0o600))
	check(t, os.WriteFile(in("other.json"), []byte(`{"schema": 1}`), 0o600))
	check(t, os.WriteFile(in("empty.json"), nil, 0o600))
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	check(t, a.report([]string{in("one.json"), in("two.json")}, in("page.html")))
	if text := read(t, in("page.html")); !strings.Contains(text, "<h1>3 builds</h1>") {
		t.Errorf("of three builds the page is\n%s", text)
	}
	for file, want := range map[string]string{"cut.json": "it ends in its middle",
		"empty.json": "it ends in its middle", "other.json": "it is no result of a build",
		"later.json": "it has schema 7, this program knows 1 to 1: a later version of nsbuild",
		"none.json":  "there is no ", ".": "directory"} {
		err := a.report([]string{in("one.json"), in(file)}, in("bad.html"))
		if err == nil || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (%s)", file, err, fault.HintOf(err))
		}
	}
	if _, err := os.Stat(in("bad.html")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a page of half of them: %v", err)
	}
}
