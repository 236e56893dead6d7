package house

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is how many columns a line of Go or of prose has; a tab takes tabWidth of them.
const (
	widest   = 100
	tabWidth = 4
)

func columns(s string) int {
	return utf8.RuneCountInString(s) + (tabWidth-1)*strings.Count(s, "\t")
}

// files are the files of the tree with this extension.
func files(t *testing.T, extension string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2:
			return fs.SkipDir // .git
		case d.Type().IsRegular() && filepath.Ext(path) == extension:
			found = append(found, path)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%d files *%s: %v", len(found), extension, err)
	}
	return found
}

// TestColumnsOfGo finds lines that are too wide. A string that reaches beyond may stay in one
// piece, and so may a line that a comment shows as typed.
func TestColumnsOfGo(t *testing.T) {
	for _, path := range files(t, ".go") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		beyond := beyondByString(text)
		for i, line := range strings.Split(string(text), "\n") {
			asTyped := beyond[i+1] || strings.HasPrefix(line, "//\t")
			if columns(line) > widest && !asTyped {
				t.Errorf("%s:%d has %d columns", path, i+1, columns(line))
			}
		}
	}
}

// beyondByString are the lines with a part of a string where a line is at its widest.
func beyondByString(text []byte) map[int]bool {
	lines := strings.Split(string(text), "\n")
	found := map[int]bool{}
	file := token.NewFileSet().AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	for {
		pos, kind, literal := s.Scan()
		switch kind {
		case token.EOF:
			return found
		case token.STRING:
			first := file.Position(pos)
			parts := strings.Split(literal, "\n")
			for i, part := range parts {
				end := part
				if i == 0 {
					end = lines[first.Line-1][:first.Column-1] + part
				}
				if columns(end) > widest-len(`", "",`) {
					found[first.Line+i] = true
				}
			}
		}
	}
}

// TestColumnsOfProse is TestColumnsOfGo for Markdown. Tables, headings and what is shown as typed
// may be as wide as they are.
func TestColumnsOfProse(t *testing.T) {
	for _, path := range files(t, ".md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fenced := false
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			asTyped := fenced || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "|") ||
				strings.HasPrefix(line, "#")
			if columns(line) > widest && !asTyped {
				t.Errorf("%s:%d has %d columns", path, i+1, columns(line))
			}
		}
	}
}
