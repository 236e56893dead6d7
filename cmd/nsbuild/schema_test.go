package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nsbuild/internal/result"
	"nsbuild/internal/testenv"
)

// valid checks JSON texts against a schema of docs/.
func valid(t *testing.T, schema string, texts ...string) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	s, err := compiler.Compile("../../docs/" + schema)
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

// TestJSON compares what is written for programs with its schemas: of a build that succeeds, of one
// that fails, and of one that cannot begin.
func TestJSON(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	good, bad := w.hookSource(t, false), w.hookSource(t, true)
	for _, c := range []struct {
		name   string
		args   []string
		status int
		kinds  []string // of the last events
	}{
		{"good", []string{good, "--check-install",
			"--starting-build-commands=sleep 4444 >/dev/null 2>&1 &"}, 0,
			[]string{"artefact", "artefact", "artefact", "result"}},
		{"bad", []string{bad}, 2, []string{"phase-ended", "result", "message"}},
		{"none", []string{"nowhere.dsc"}, 3, []string{"message"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := w.run(t, append([]string{"build", "-d", "bookworm", "--json", "--result=r.json"},
				c.args...)...)
			if o.status != c.status {
				t.Fatal(o)
			}
			lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
			valid(t, "events.schema.json", lines...)
			var kinds []string
			for _, l := range lines {
				var e struct{ Event string }
				if err := json.Unmarshal([]byte(l), &e); err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, e.Event)
			}
			if last := kinds[max(0, len(kinds)-len(c.kinds)):]; !slices.Equal(last, c.kinds) {
				t.Errorf("the last events are %q, want %q", last, c.kinds)
			}
			if c.status != 3 {
				valid(t, "result.schema.json", read(t, filepath.Join(w.dir, "r.json")))
			}
			if c.status == 0 {
				sameFiles(t, filepath.Join(w.dir, "r.json"))
			}
		})
	}
}

// sameFiles checks that the artefacts of a result are what lies there, by their sizes and hashes,
// the .changes too.
func sameFiles(t *testing.T, file string) {
	t.Helper()
	r, err := result.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, a := range r.Artefacts {
		text := read(t, a.Path)
		if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); a.SHA256 != sum ||
			a.Size != int64(len(text)) {
			t.Errorf("%s: %d bytes with SHA-256 %s in the result, %d with %s on disk", a.Name,
				a.Size, a.SHA256, len(text), sum)
		}
		kinds[a.Kind]++
	}
	if kinds["changes"] == 0 || kinds["buildinfo"] == 0 {
		t.Errorf("artefacts: %v", kinds)
	}
}
