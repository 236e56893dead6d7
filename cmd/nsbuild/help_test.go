package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// everyCommand is nsbuild itself and every verb of it.
func everyCommand(a *app) []*cobra.Command {
	root := newRoot(a)
	return append(everyVerb(root), root)
}

// TestFlagsNameTheirValue holds each flag with a value to a name for it: help shows that, where it
// would show the value's type otherwise.
func TestFlagsNameTheirValue(t *testing.T) {
	for _, c := range everyCommand(&app{stdout: os.Stdout, stderr: os.Stderr}) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() != "bool" && strings.Count(f.Usage, "`") != 2 {
				t.Errorf("%s --%s: the usage %q names no value in backquotes", c.CommandPath(),
					f.Name, f.Usage)
			}
		})
	}
}

// TestEachFlagIsInOneGroup holds the arrangement of help to the flags that there are.
func TestEachFlagIsInOneGroup(t *testing.T) {
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	arranged := 0
	for _, c := range everyCommand(a) {
		seen := map[string]bool{}
		for _, names := range arrangement(c.CommandPath()) {
			arranged++
			if names[0] == commonFlags && len(names)-1 > 10 {
				t.Errorf("%s: %d flags are common, more than ten", c.CommandPath(), len(names)-1)
			}
			for _, name := range names[1:] {
				if !hasFlag(c, "--"+name) {
					t.Errorf("%s has no --%s", c.CommandPath(), name)
				}
			}
		}
		for _, g := range flagGroups(c) {
			for _, f := range g.flags {
				if seen[f.Name] {
					t.Errorf("%s --%s is shown twice", c.CommandPath(), f.Name)
				}
				seen[f.Name] = true
				if strings.HasPrefix(g.heading, "Other") {
					t.Errorf("%s --%s is in no group", c.CommandPath(), f.Name)
				}
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !seen[f.Name] && !f.Hidden {
				t.Errorf("%s --%s is not shown", c.CommandPath(), f.Name)
			}
		})
	}
	if arranged < 20 {
		t.Errorf("there are only %d groups", arranged)
	}
}

// TestHelp has the whole of a help text.
func TestHelp(t *testing.T) {
	c := &cobra.Command{Use: "do THING [flags]", Run: func(*cobra.Command, []string) {},
		Long: "do does a thing that\nis named.\n\n    THING  any\n", Example: "  do it"}
	c.Flags().StringP("output", "o", "-", "write to `FILE`, which may have any name at all")
	c.Flags().Bool("a-name-that-is-too-long", false, "be quick")
	c.Flags().String("how", "", "`HOW` it is done")
	c.Flags().Lookup("how").NoOptDefVal = "well"
	const want = `Usage: do THING [OPTION...]

do does a thing that is named.

    THING  any

Examples:
  do it

Options of every command:
      --a-name-that-is-too-long
                          be quick
      --how[=HOW]         HOW it is done
  -o, --output FILE       write to FILE, which
                          may have any name at
                          all (default: -)

Exit status:
  0        done
  1        failed
  64       the command line is wrong
  128+N    stopped by signal N (130: Ctrl-C)
`
	var got strings.Builder
	check(t, writeHelp(&got, c, 48))
	if diff := cmp.Diff(strings.Replace(want, " of every command", "", 1), got.String()); diff != "" {
		t.Error(diff)
	}
}

// TestEachVerbIsInAGroup: a verb that is in none is not shown in nsbuild's own help.
func TestEachVerbIsInAGroup(t *testing.T) {
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	root.InitDefaultCompletionCmd()
	var help strings.Builder
	check(t, writeHelp(&help, root, usualHelp))
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && !strings.Contains(help.String(), "\n  "+c.Name()+" ") {
			t.Errorf("the help lacks %s", c.Name())
		}
	}
}
