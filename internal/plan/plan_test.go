package plan

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	want := &Plan{Program: "nsbuild 1", Created: time.Unix(1700000000, 0).UTC(),
		Source: Source{Name: "a", Version: "1:2-3", DSC: "a_2-3.dsc", Text: "no UTF-8: \xff\n",
			Files: []File{{Name: "a.tar.xz", Size: 4, SHA256: "00", URL: "http://mirror.example/a"}}},
		Target:       Target{Distribution: "bookworm", BuildType: "binary"},
		Environment:  []string{"A=\xfe"},
		Dependencies: Dependencies{Packages: []Package{{Name: "b", Version: "1"}}}}
	file := filepath.Join(t.TempDir(), "a"+Suffix)
	if err := Write(file, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want.Schema = Schema
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwas written as\n%+v", got, want)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"another schema": {`{"schema": 2}`, "schema 2"},
		"no schema":      {`{}`, "schema 0"},
		"a result":       {`{"schema": 1, "outcome": {"status": "successful"}}`, `"outcome"`},
		"no JSON":        {"Format: 1.0\n", "invalid character"},
	} {
		file := filepath.Join(t.TempDir(), "x"+Suffix)
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
