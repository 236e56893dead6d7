package house

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRoomsOfTheSandbox holds the code of the sandbox's processes apart: what had to be exported
// for another of its packages is not to be called from outside, nor in another process. That holds
// for tests, and whatever rooms.txt says (ADR 47).
func TestRoomsOfTheSandbox(t *testing.T) {
	const door = "nsbuild/internal/sandbox"
	processes := map[string]bool{"pid1": true, "inside": true, "applet": true}
	entered := map[string]bool{}
	for _, path := range files(t, ".go") {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		where := "nsbuild/" + strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			room, below := strings.CutPrefix(imported, door+"/")
			switch {
			case below && where != door && !strings.HasPrefix(where, door+"/"):
				t.Errorf("%s enters the sandbox by %s", path, imported)
			case below && processes[room] && path != "../../internal/sandbox/main.go":
				t.Errorf("%s is entered from another process: %s", imported, path)
			case imported == door && strings.HasPrefix(where, door+"/"):
				t.Errorf("%s knows the caller's side", path)
			case below:
				entered[room] = true
			}
		}
	}
	for room := range processes {
		if !entered[room] {
			t.Errorf("nothing imports %s/%s: has it moved?", door, room)
		}
	}
}
