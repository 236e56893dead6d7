package main

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	var pages []string
	for _, pattern := range []string{"../../docs/*.md", "../../docs/howto/*.md"} {
		more, err := filepath.Glob(pattern)
		check(t, err)
		pages = append(pages, more...)
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
			for _, f := range anyFlag.FindAllStringSubmatch(ownPart(c, ours), -1) {
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

// ownPart is what of a command line is nsbuild's own: of the verbs that run commands, all that is
// before the command.
func ownPart(c *cobra.Command, line string) string {
	if c.Name() != "run" {
		return line
	}
	var own []string
	words := strings.Fields(line)
	names := 0
	for i := 0; i < len(words); i++ {
		flag, _, valued := strings.Cut(strings.TrimLeft(words[i], "-"), "=")
		if !strings.HasPrefix(words[i], "-") {
			if flag != "run" { // of session run
				names++
			}
			if names > 1 || names == 1 && slices.Contains(own, "--root") {
				break
			}
			own = append(own, words[i])
			continue
		}
		own = append(own, words[i])
		f := c.Flags().Lookup(flag)
		if f == nil && len(flag) == 1 {
			f = c.Flags().ShorthandLookup(flag)
		}
		if f != nil && f.NoOptDefVal == "" && !valued {
			i++
		}
	}
	return strings.Join(own, " ")
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

var write = flag.Bool("write", false, "write the table of docs/statuses.md anew")

// TestDocsHaveStatuses holds docs/statuses.md to the exit statuses of every command.
func TestDocsHaveStatuses(t *testing.T) {
	const page = "../../docs/statuses.md"
	const begin, end = "-write -->\n", "<!-- end of statuses -->"
	text := read(t, page)
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	var rows []string
	commands := map[string][]string{} // with these rows
	for _, c := range everyCommand(&app{stdout: os.Stdout, stderr: os.Stderr}) {
		if c.Hidden {
			continue
		}
		var lines strings.Builder
		for _, s := range statusesOf(c.CommandPath()) {
			lines.WriteString("| " + s.code + " | " + s.meaning + " |\n")
		}
		if commands[lines.String()] == nil {
			rows = append(rows, lines.String())
		}
		commands[lines.String()] = append(commands[lines.String()], "`"+c.CommandPath()+"`")
	}
	const others = "every other command"
	var table strings.Builder
	last := ""
	for _, r := range rows {
		heading := strings.Join(commands[r], ", ")
		if len(commands[r]) > 8 {
			heading = others
		}
		if heading == others {
			last = "\n| " + others + " | |\n| --- | --- |\n" + r
			continue
		}
		table.WriteString("\n| " + heading + " | |\n| --- | --- |\n" + r)
	}
	want := before + begin + table.String() + last + "\n" + end + after
	if *write {
		check(t, os.WriteFile(page, []byte(want), 0o644))
	} else if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("go test ./cmd/nsbuild -run TestDocsHaveStatuses -write\n%s", diff)
	}
}

var (
	joinedText = regexp.MustCompile(`"\s*\+\s*"`)
	verbOfText = regexp.MustCompile(`%[a-z]`)
	symptom    = regexp.MustCompile("(?m)^\\| (`.*?`)(?: in the [a-z]+| or `.*`)? \\|")
)

// TestDocsHaveMessagesAsPrinted holds the messages of the troubleshooting to the program's: each
// part between … is in a text of the source. Other programs' messages are said to be in something.
func TestDocsHaveMessagesAsPrinted(t *testing.T) {
	var source strings.Builder
	for _, root := range []string{"../../internal", "."} {
		check(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				source.WriteString(read(t, path))
			}
			return err
		}))
	}
	texts := verbOfText.ReplaceAllString(joinedText.ReplaceAllString(source.String(), ""), "…")
	seen := 0
	for _, m := range symptom.FindAllStringSubmatch(read(t, "../../docs/troubleshooting.md"), -1) {
		seen++
		if strings.Contains(m[0], "` in the ") || m[1] == "`Read-only file system`" {
			continue // of libc
		}
		for _, part := range strings.Split(strings.Trim(m[1], "`"), "…") {
			part = strings.TrimPrefix(strings.TrimSpace(part), "cause: ")
			if !strings.Contains(texts, part) {
				t.Errorf("%s: nothing prints %q", m[1], part)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d messages were found", seen)
	}
}
