package house

import (
	"flag"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write what the documents repeat anew")

// room is a package of ours, and which others it imports, by their paths from the top of the tree.
type room struct {
	path    string
	imports []string
}

// readRooms reads rooms.txt, which has a line for each room: its path, an arrow, and the rooms that
// it imports, without the "internal/" before them.
func readRooms(t *testing.T) []room {
	t.Helper()
	text, err := os.ReadFile("rooms.txt")
	if err != nil {
		t.Fatal(err)
	}
	var rooms []room
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		path, imports, ok := strings.Cut(line, " →")
		if !ok {
			t.Fatalf("rooms.txt: a line has a path, an arrow and what is imported: %q", line)
		}
		r := room{path: path}
		for _, name := range strings.Fields(imports) {
			if name != "hooks" && name != "packaging/apparmor" { // not below internal
				name = "internal/" + name
			}
			r.imports = append(r.imports, name)
		}
		rooms = append(rooms, r)
	}
	return rooms
}

// imported are the packages of ours that a package's files import, those of its tests not among
// them, by directory.
func imported(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, path := range files(t, ".go") {
		dir, err := filepath.Rel("../..", filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") || strings.Contains(dir, "testdata") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		all := found[dir]
		for _, i := range f.Imports {
			name, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), "nsbuild/")
			if ours && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		found[dir] = all
	}
	return found
}

// TestRooms holds the packages to rooms.txt: each is there, imports just what stands there, and
// stands above all that it imports. A new arrow is a decision, and comes with a record in docs/adr.
func TestRooms(t *testing.T) {
	there, above := imported(t), map[string]bool{}
	for _, r := range readRooms(t) {
		imports, ok := there[r.path]
		if !ok {
			t.Errorf("rooms.txt: there is no package %s, or it stands there twice", r.path)
			continue
		}
		delete(there, r.path)
		above[r.path] = true
		for _, name := range imports {
			if !slices.Contains(r.imports, name) {
				t.Errorf("%s imports %s, which rooms.txt does not let it", r.path, name)
			}
			if above[name] {
				t.Errorf("rooms.txt: %s imports %s, which stands above it", r.path, name)
			}
		}
		for _, name := range r.imports {
			if !slices.Contains(imports, name) {
				t.Errorf("%s does not import %s, as rooms.txt says", r.path, name)
			}
		}
	}
	for path := range there {
		t.Errorf("rooms.txt lacks %s", path)
	}
}

// job is the first sentence of a package's comment, from its verb on.
func job(t *testing.T, path string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("../..", path, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil,
			parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil && !strings.HasSuffix(name, "_test.go") {
			words := strings.Fields(new(doc.Package).Synopsis(f.Doc.Text()))
			return strings.TrimSuffix(strings.Join(words[min(2, len(words)):], " "), ".")
		}
	}
	t.Errorf("package %s has no comment", path)
	return ""
}

// TestRoomsInArchitecture compares the table of the rooms in docs/architecture.md.
func TestRoomsInArchitecture(t *testing.T) {
	var b strings.Builder
	b.WriteString("| room | what it does | what it imports |\n| --- | --- | --- |\n")
	for _, r := range readRooms(t) {
		var names []string
		for _, name := range r.imports {
			names = append(names, strings.TrimPrefix(name, "internal/"))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.path, job(t, r.path), strings.Join(names, ", "))
	}
	repeats(t, "../../docs/architecture.md", "rooms", b.String())
}

// repeats compares a part of a document, which stands between two marks, with what it is to say.
func repeats(t *testing.T, path, name, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": made by internal/house -->\n\n", "\n<!-- end of "+name+" -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	is, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s lacks the marks %q and %q", path, begin, end)
	}
	if *write {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != want {
		t.Errorf("%s: the part %q is not as it is to be: go test ./internal/house -write", path,
			name)
	}
}
