package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var scriptFlag = regexp.MustCompile(`(?:^|\s)(--?[a-zA-Z][a-zA-Z0-9-]*)`)

// TestScriptsUseEachOption holds the scripts to the options of the verbs that run commands and move bases: one of them uses each.
func TestScriptsUseEachOption(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	used := map[string]map[string]bool{}
	for _, script := range scripts {
		for line := range strings.Lines(read(t, script)) {
			words := strings.Fields(line)
			i := slices.Index(words, "nsbuild")
			if i < 1 || i > 2 || !slices.Contains([]string{"exec", "status", "!"}, words[0]) {
				continue
			}
			ours, _, _ := strings.Cut(strings.Join(words[i+1:], " "), " -- ") // what follows is the command's
			c, _, err := root.Find(strings.Fields(ours))
			if err != nil {
				continue // a wrong command line
			}
			path := c.CommandPath()
			if used[path] == nil {
				used[path] = map[string]bool{}
			}
			for _, m := range scriptFlag.FindAllStringSubmatch(ours, -1) {
				if long, ok := strings.CutPrefix(m[1], "--"); ok {
					used[path][long] = true
				} else if f := c.Flags().ShorthandLookup(m[1][1:2]); f != nil {
					used[path][f.Name] = true
				}
			}
		}
	}
	for _, path := range []string{"run", "shell", "session begin", "session run", "session list", "session end", "import", "export"} {
		c, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			shared := path == "shell" && used["nsbuild run"][f.Name] // those of run
			hooks := strings.HasPrefix(f.Name, "hook")               // TestBaseHooks has those
			if !used["nsbuild "+path][f.Name] && !shared && !hooks && f.Name != "help" {
				t.Errorf("no script uses nsbuild %s --%s", path, f.Name)
			}
		})
	}
}
