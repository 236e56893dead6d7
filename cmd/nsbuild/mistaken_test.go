package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var (
	namedCommand = regexp.MustCompile(`nsbuild ([a-z][a-z ]*)`)
	namedOption  = regexp.MustCompile(`(?:^|[ (])(--?[a-zA-Z][a-zA-Z0-9-]*)`)
)

// TestMistakenNamesExist holds what is said to who types another program's words: what is named in
// answer is there, and what was typed is not.
func TestMistakenNamesExist(t *testing.T) {
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	for typed, here := range verbsElsewhere() {
		if c, rest, err := root.Find(strings.Fields(typed)); err == nil && len(rest) == 0 {
			t.Errorf("nsbuild %s is a command, and %s is said of it", typed, c.CommandPath())
		}
		for _, m := range namedCommand.FindAllStringSubmatch(here, -1) {
			c, rest, err := root.Find(strings.Fields(m[1]))
			if err != nil || c == root || len(rest) > 0 {
				t.Errorf("of %q is said %q: there is no such command", typed, here)
			}
		}
	}
	for path, table := range map[string]map[string]string{"build": optionsOfBuild(),
		"run": optionsOfRun()} {
		c, _, err := root.Find([]string{path})
		check(t, err)
		for typed, here := range table {
			name := strings.TrimLeft(typed, "-")
			var f *pflag.Flag
			if strings.HasPrefix(typed, "--") {
				f = flagNamed(c, name)
			} else if len(name) == 1 {
				f = c.Flags().ShorthandLookup(name)
			}
			if f != nil {
				t.Errorf("nsbuild %s has %s, of which is said %q", path, typed, here)
			}
			if strings.Contains(here, "nsbuild ") || strings.Contains(here, "--debbuildopt=") ||
				strings.Contains(here, "--dpkg-source-opt=") {
				continue
			}
			for _, m := range namedOption.FindAllStringSubmatch(here, -1) {
				if !hasFlag(c, m[1]) {
					t.Errorf("of %s is said %q: nsbuild %s has no %s", typed, here, path, m[1])
				}
			}
		}
	}
}
