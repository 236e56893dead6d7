package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNothingIsCompiledAtStart holds variables of packages to sync.OnceValue: what they make is
// made at each start, three times (docs/performance.md).
func TestNothingIsCompiledAtStart(t *testing.T) {
	compiled := regexp.MustCompile(`^(var |\t)\w+\s*= (regexp\.MustCompile|template\.Must)\(`)
	for _, root := range []string{"../../internal", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") ||
				strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i, line := range strings.Split(string(text), "\n") {
				if compiled.MatchString(line) {
					t.Errorf("%s:%d: wrap it in sync.OnceValue", path, i+1)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
