package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var (
	commandLine = regexp.MustCompile(
		"(?m)(?:^ {4}(?:\\$ )?|`)(?:go run \\./cmd/)?nsbuild ([a-z]+)((?: [^`\n]*)?)")
	anyFlag  = regexp.MustCompile(`(?:^|[\s/(])(--?[a-zA-Z][a-zA-Z-]*)`)
	codeFlag = regexp.MustCompile("`(--[a-z][a-zA-Z0-9-]*)")
)

// TestDocsNameWhatExists holds the README and docs/ to the commands and flags that there are.
func TestDocsNameWhatExists(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	root.InitDefaultCompletionCmd("bash")
	seen := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range commandLine.FindAllStringSubmatch(string(text), -1) {
			seen++
			ours, _, _ := strings.Cut(m[2], " -- ") // what follows is the command's
			ours, _, _ = strings.Cut(ours, " #")
			c, _, err := root.Find(append([]string{m[1]}, strings.Fields(ours)...))
			if err != nil || c == root {
				t.Errorf("%s: there is no nsbuild %s", page, m[1])
				continue
			}
			for _, f := range anyFlag.FindAllStringSubmatch(ours, -1) {
				if !hasFlag(c, f[1]) {
					t.Errorf("%s: nsbuild %s has no %s", page, m[1], f[1])
				}
			}
		}
		if name := filepath.Base(page); name != "README.md" && name != "configuration.md" {
			continue // other pages name other programs' flags, too
		}
		for _, f := range codeFlag.FindAllStringSubmatch(string(text), -1) {
			if !slices.ContainsFunc(append(everyVerb(root), root), func(c *cobra.Command) bool {
				return hasFlag(c, f[1])
			}) {
				t.Errorf("%s: no command has %s", page, f[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found in the documentation", seen)
	}
}

// everyVerb lists the commands below one.
func everyVerb(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		out = append(append(out, sub), everyVerb(sub)...)
	}
	return out
}

// hasFlag tells whether a command takes a flag, its own or a global one.
func hasFlag(c *cobra.Command, flag string) bool {
	long := strings.TrimPrefix(flag, "--")
	if long == "help" || flag == "-h" || long == "version" && !c.HasParent() {
		return true
	}
	for _, set := range []*pflag.FlagSet{c.Flags(), c.InheritedFlags(),
		c.Root().PersistentFlags()} {
		if long != flag && set.Lookup(long) != nil {
			return true
		}
		if short := strings.TrimPrefix(flag, "-"); long == flag && len(short) > 0 &&
			set.ShorthandLookup(short[:1]) != nil {
			return true
		}
	}
	return false
}
