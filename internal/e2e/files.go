package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Check ends a test that cannot go on.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Read is what a file holds.
func Read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Files lists the directory where nsbuild is called.
func (w *World) Files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(w.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// LogOf reads a log without its times.
func (w *World) LogOf(t *testing.T, name string) string {
	t.Helper()
	return Read(t, filepath.Join(w.Dir, name+"_1.0_amd64.build"))
}

// Script writes an executable file below the directory where nsbuild is called.
func (w *World) Script(t *testing.T, name, body string) {
	t.Helper()
	file := filepath.Join(w.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\nset -e\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Conf writes the hook.conf of a directory of hooks.
func (w *World) Conf(t *testing.T, hook, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.Dir, hook, "hook.conf"), []byte(text+"\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
}

// WantIn checks that a text has every one of the patterns.
func WantIn(t *testing.T, what, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(text) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}

// Valid checks JSON texts against a schema of docs/.
func Valid(t *testing.T, schema string, texts ...string) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	s, err := compiler.Compile(filepath.Join(Tree, "docs", schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
