package hosts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

func TestDoctor(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	o := w.Must(t, "doctor", "--offline")
	for _, want := range []string{"ok       user ids ", "ok       sandbox ", " bases ", " cache ",
		" mirror "} {
		if !strings.Contains(o.Stdout, want) {
			t.Errorf("no line with %q\n%s", want, o)
		}
	}
	w.Env = []string{"NSBUILD_STATE=" + filepath.Join(w.Dir, "file", "state")}
	if err := os.WriteFile(filepath.Join(w.Dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e2e.Refusal{Status: 1, Says: []string{"1 missing"}, Hint: "follow the arrows"}.Check(t,
		w.Run(t, "doctor", "--offline"))
	o = w.Run(t, "doctor", "--offline", "--json")
	var report struct {
		Findings []struct{ Verdict, What, Mend string }
	}
	e2e.Check(t, json.Unmarshal([]byte(o.Stdout), &report))
	missing := 0
	for _, f := range report.Findings {
		if f.Verdict == "missing" {
			missing++
		}
	}
	if o.Status != 1 || missing != 1 {
		t.Error(o)
	}
}
