package result

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Update is a flag of all tests here.
var Update = flag.Bool("update", false, "write the golden files anew")

func example() *Result {
	at := time.Date(2026, 11, 24, 7, 51, 5, 0, time.UTC)
	return &Result{
		Program: "nsbuild 0.1.0",
		Source: Source{Name: "hello", Version: "1:2.10-3", From: "hello_2.10-3.dsc",
			Format: "3.0 (quilt)", Signature: "good", Signer: "A B <a@example.org>", Key: "0123",
			Files: []Hashed{{Name: "hello_2.10.orig.tar.gz", Size: 3, SHA256: "ab"}}},
		Target: Target{Distribution: "bookworm", BuildArch: "amd64", HostArch: "amd64",
			BuildType: "binary", Profiles: []string{"nocheck"}, Options: []string{"parallel=2"}},
		Inputs: Inputs{Base: Base{Name: "bookworm", Generation: 3},
			Releases: []Release{{URI: "http://mirror.example/debian", Suite: "bookworm", Date: at}},
			Layer:    Layer{Key: "cd", Cached: true}},
		Outcome: Outcome{Status: "attempted", FailStage: "build",
			Error: "dpkg-buildpackage died with exit 2", Exit: 2,
			Causes: []Cause{{Kind: "compile-error", Line: 7, Text: "a compile error"}}},
		Started:   at,
		Finished:  at.Add(time.Minute),
		Stages:    []Stage{{Name: "build", Seconds: 1.5, Failed: true}},
		Use:       Use{SpaceKiB: -1, PeakMemory: 1 << 20},
		Isolation: Isolation{Rung: "root", Scratch: "tmpfs"},
		Strays:    []Stray{{PID: 7, Command: "sleep 1000"}},
		Artefacts: []Artefact{
			{Hashed: Hashed{Name: "hello_2.10-3_amd64.build", Size: 1}, Kind: "other",
				Path: "hello_2.10-3_amd64.build"}},
	}
}

// The form is a promise: a difference here needs either an added field or a new schema number.
func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "result.json")
	for range 2 { // the second replaces the first
		if err := Write(path, example()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "result.json")
	if *Update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("differs from %s:\n%s", golden, got)
	}
	read, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	wantRead := example()
	wantRead.Schema = Schema
	if diff := cmp.Diff(wantRead, read); diff != "" {
		t.Errorf("it is read as another (-written +read):\n%s", diff)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "none", "x"), example()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	// A directory in the result's place cannot be replaced; nothing is left beside it.
	if err := os.MkdirAll(filepath.Join(dir, "result.json", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "result.json"), example()); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for text, want := range map[string]string{"{": "it ends in its middle",
		`{"schema": 2, "outcome": {}}`: "it has schema 2, this program knows 1 to 1",
		`{}`:                           "it is no result",
		`{"schema": 1, "results": []}`: "the results of 0 builds"} {
		path := filepath.Join(dir, "r")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestAnyBytes is about names that are not UTF-8.
func TestAnyBytes(t *testing.T) {
	const latin1, escaped = "/home/J\xf6rg\\x/hello.build", `"/home/J\\xf6rg\\\\x/hello.build"`
	path := filepath.Join(t.TempDir(), "result.json")
	want := example()
	want.Schema, want.Log, want.Artefacts[0].Path, want.Source.From = Schema, latin1, latin1,
		`C:\new`
	if err := Write(path, want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"log": ` + escaped, `"path": ` + escaped, `"from": "C:\\new"`,
		"\"escaped\": [\n    \"/artefacts/0/path\",\n    \"/log\"\n  ]"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("there is no %s in\n%s", part, text)
		}
	}
	got, err := Read(path)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("it is read as another: %v (-written +read):\n%s", err, diff)
	}
	var out strings.Builder
	events := NewEvents(&out)
	events.Write(Event{Event: EventMessage, Message: "no \xff"})
	events.Write(Event{Event: EventResult, Result: want})
	events.Write(Event{Event: EventMessage, Message: "a ##[error] for a build service"})
	lines := strings.Split(out.String(), "\n")
	var back Event
	if err := json.Unmarshal([]byte(lines[2]), &back); err != nil ||
		back.Message != "a ##[error] for a build service" || strings.Contains(lines[2], "##") {
		t.Errorf("%v: %s", err, lines[2])
	}
	if events.Err() != nil ||
		!strings.HasSuffix(lines[0], `"message":"no \\xff","escaped":["/message"]}`) ||
		!strings.HasSuffix(lines[1], `"escaped":["/artefacts/0/path","/log"]}}`) {
		t.Errorf("%v: %s", events.Err(), out.String())
	}
}
