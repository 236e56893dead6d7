package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nsbuild/internal/compat/sbuild"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var scriptFlag = regexp.MustCompile(`(?:^|\s)(--?[a-zA-Z][a-zA-Z0-9-]*)`)

// optionsInScripts are the options of each command that the scripts use.
func optionsInScripts(t *testing.T, root *cobra.Command) map[string]map[string]bool {
	t.Helper()
	scripts, err := filepath.Glob("../../internal/e2e/*/testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]map[string]bool{}
	for _, script := range scripts {
		for line := range strings.Lines(read(t, script)) {
			words := strings.Fields(line)
			i := slices.Index(words, "nsbuild")
			if i < 1 || i > 2 || !slices.Contains([]string{"exec", "status", "!"}, words[0]) {
				continue
			}
			// what follows is the command's
			ours, _, _ := strings.Cut(strings.Join(words[i+1:], " "), " -- ")
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
	return used
}

// TestScriptsUseEachOption holds the scripts to the options of the verbs that run commands and move
// bases: one of them uses each.
func TestScriptsUseEachOption(t *testing.T) {
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	used := optionsInScripts(t, root)
	for _, path := range []string{"run", "shell", "session begin", "session run", "session list",
		"session end", "import", "export"} {
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

// optionsInTests are the options that the tests of a command use: those in the strings of test
// functions, and of the functions and tables beside them, that are about it.
func optionsInTests(t *testing.T, about func(name string, texts []string) bool,
	shorthand func(letter string) *pflag.Flag) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	check(t, err)
	for _, elsewhere := range []string{"../../internal/compat/*/*_test.go",
		"../../internal/e2e/*/*_test.go"} {
		more, err := filepath.Glob(elsewhere)
		check(t, err)
		files = append(files, more...)
	}
	used := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			var texts []string
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
					if text, err := strconv.Unquote(s.Value); err == nil {
						texts = append(texts, text)
					}
				}
				return true
			})
			if !about(f.Name.Name, texts) {
				continue
			}
			for _, text := range texts {
				for _, m := range scriptFlag.FindAllStringSubmatch(text, -1) {
					if long, ok := strings.CutPrefix(m[1], "--"); ok {
						used[long] = true
						continue
					}
					// several may be in one word; what follows one with a value is none
					for _, letter := range m[1][1:] {
						if f := shorthand(string(letter)); f != nil {
							used[f.Name] = true
							if f.NoOptDefVal == "" {
								break
							}
						}
					}
				}
			}
		}
	}
	return used
}

// TestEachBuildOptionIsTested holds the tests to the options of build: one of them builds with
// each, or is refused.
func TestEachBuildOptionIsTested(t *testing.T) {
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	c, _, err := root.Find([]string{"build"})
	if err != nil {
		t.Fatal(err)
	}
	builds := func(_ string, texts []string) bool { return slices.Contains(texts, "build") }
	used, inScripts := optionsInTests(t, builds, c.Flags().ShorthandLookup),
		optionsInScripts(t, root)["nsbuild build"]
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !used[f.Name] && !inScripts[f.Name] {
			t.Errorf("no test uses nsbuild build --%s", f.Name)
		}
	})
}

// TestEachSbuildOptionIsTested does the same for sbuild's options. Those without a meaning here and
// those that are refused have tests of their own.
func TestEachSbuildOptionIsTested(t *testing.T) {
	flags := sbuild.New(nil, "/", io.Discard).Flags()
	used := optionsInTests(t, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "TestSbuild")
	}, flags.ShorthandLookup)
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasSuffix(f.Usage, "(no meaning here)") ||
			strings.HasSuffix(f.Usage, "(refused)") || f.Name == "help" {
			return
		}
		if !used[f.Name] {
			t.Errorf("no test uses sbuild --%s", f.Name)
		}
	})
}
