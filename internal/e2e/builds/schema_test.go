package builds

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/result"
	"nsbuild/internal/testenv"
)

// TestJSON compares what is written for programs with its schemas: of a build that succeeds, of one
// that fails, and of one that cannot begin.
func TestJSON(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	good, bad := w.HookSource(t, false), w.HookSource(t, true)
	for _, c := range []struct {
		name   string
		args   []string
		status int
		kinds  []string // of the last events
	}{
		{"good", []string{good, "--check-install", "--compare=previous",
			"--starting-build-commands=sleep 4444 >/dev/null 2>&1 &"}, 0,
			[]string{"artefact", "artefact", "artefact", "result"}},
		{"bad", []string{bad}, 2, []string{"result", "message", "kept"}},
		{"none", []string{"nowhere.dsc"}, 3, []string{"result", "message"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := w.Run(t, append([]string{"build", "-d", "bookworm", "--json", "--result=r.json"},
				c.args...)...)
			if o.Status != c.status {
				t.Fatal(o)
			}
			lines := strings.Split(strings.TrimSpace(o.Stdout), "\n")
			e2e.Valid(t, "events.schema.json", lines...)
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
			e2e.Valid(t, "result.schema.json", e2e.Read(t, filepath.Join(w.Dir, "r.json")))
			if c.status == 0 {
				sameFiles(t, filepath.Join(w.Dir, "r.json"))
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
		text := e2e.Read(t, a.Path)
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
