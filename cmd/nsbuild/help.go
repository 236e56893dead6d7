package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// The verbs by what they are for: nsbuild's own help shows them so.
const (
	groupBuild   = "build"
	groupBases   = "bases"
	groupKept    = "kept"
	groupInside  = "inside"
	groupUpkeep  = "upkeep"
	groupPackage = "package"
)

func verbGroups() []*cobra.Group {
	return []*cobra.Group{
		{ID: groupBuild, Title: "Build packages"},
		{ID: groupKept, Title: "Look into builds that failed"},
		{ID: groupInside, Title: "Run commands in a sandbox"},
		{ID: groupBases, Title: "Look after bases"},
		{ID: groupUpkeep, Title: "Look after the machine and the cache"},
		{ID: groupPackage, Title: "For shells and packages"},
	}
}

// inGroup puts verbs into a group.
func inGroup(id string, verbs ...*cobra.Command) []*cobra.Command {
	for _, c := range verbs {
		c.GroupID = id
	}
	return verbs
}

// flagGroup is some flags of a verb below a heading.
type flagGroup struct {
	heading string
	flags   []*pflag.Flag
}

// commonFlags heads the flags that most people use. They are not shown again.
const commonFlags = "Common options"

// arrangement is in which order a verb's flags are shown: headings, and below each the names of
// flags. What is in none comes last, below "Options", or "Other options".
func arrangement(path string) [][]string {
	hooks := []string{"Hooks", "hook", "hookdir", "hook-network", "hook-timeout"}
	jail := [][]string{
		{"What the sandbox is", "install", "root", "overlay", "read-only", "force",
			"hostname", "network"},
		{"What is mounted", "bind", "bind-ro", "tmpfs", "fstab"},
		{"Limits", "memory", "cpus", "pids"},
	}
	command := []string{"Who runs it, and how", "user", "group", "groups", "chdir", "setenv",
		"as-pid1", "timeout", "kill-after", "strays"}
	switch path {
	case "nsbuild rdeps":
		groups := [][]string{{commonFlags, "dist", "depth", "limit", "match", "autopkgtest",
			"compare", "dry-run", "name", "output", "json"}, {"The batch", "exclude",
			"max-failures", "verbose"}}
		for i, g := range arrangement("nsbuild build") {
			if g = slices.DeleteFunc(g, func(flag string) bool {
				return ofOneBuild(flag) || flag == "run-autopkgtest" ||
					slices.Contains(slices.Concat(groups...), flag)
			}); i == 0 {
				g = append([]string{"The build"}, g...)
			}
			groups = append(groups, g)
		}
		return groups
	case "nsbuild batch":
		groups := [][]string{
			{commonFlags, "name", "list", "all", "order", "repository", "dist", "output", "json",
				"verbose"},
			{"The batch", "match", "section", "limit", "cycles", "repository-key", "max-failures"},
			append([]string{"What does the builds", "engine"}, ofSlurm()...),
		}
		for i, g := range arrangement("nsbuild build") {
			if g = slices.DeleteFunc(g, func(flag string) bool {
				return ofOneBuild(flag) || slices.Contains(groups[0], flag)
			}); i == 0 {
				g = append([]string{"The build"}, g...)
			}
			groups = append(groups, g)
		}
		return groups
	case "nsbuild build":
		return [][]string{
			{commonFlags, "dist", "output", "source", "git", "jobs", "extra-package",
				"run-lintian", "shell-on-failure", "verbose", "offline"},
			{"What is built", "arch", "host", "arch-all", "no-arch-all", "arch-any",
				"no-arch-any", "source-only", "profiles", "deb-build-options", "source-only-changes", "base",
				"mirror", "plan", "lock", "keep-lock"},
			{"Its version and its names", "append-to-version", "make-binNMU", "binNMU",
				"binNMU-timestamp", "binNMU-changelog", "maintainer", "uploader", "sign", "keyid"},
			{"Options of dpkg's tools", "debbuildopt", "debbuildopts", "dpkg-source-opt",
				"dpkg-source-opts"},
			{"Packages from elsewhere", "extra-repository", "extra-repository-key", "pin",
				"components", "include", "chain", "add-depends", "add-depends-arch",
				"add-depends-indep", "add-conflicts", "add-conflicts-arch",
				"add-conflicts-indep", "build-dep-resolver", "resolve-alternatives",
				"bd-uninstallable-explainer", "no-layers"},
			{"Checks of what was built", "run-autopkgtest", "check-install", "run-piuparts",
				"fail-on", "lintian-opt", "lintian-opts", "piuparts-opt", "piuparts-opts",
				"check-network", "artifacts", "compare"},
			{"What is written, and where", "log-dir", "nolog", "keep-logs", "result", "junit",
				"report", "json", "annotations", "max-results"},
			{"How others can know how it was built", "provenance", "provenance-key", "builder-id"},
			{"What is kept of a build", "cache-pin", "keep", "keep-count", "keep-size", "keep-age"},
			{"Room, processors and memory", "jobs-at-once", "memory", "cpus", "pids", "scratch",
				"scratch-size", "plain-source", "strays", "timeout", "silence"},
			hooks,
			{"Commands at moments of a build, with the escapes of sbuild", "pre-build-commands",
				"chroot-setup-commands", "build-deps-failed-commands",
				"starting-build-commands", "finished-build-commands", "build-failed-commands",
				"anything-failed-commands", "chroot-cleanup-commands", "post-build-commands",
				"post-build-failed-commands"},
		}
	case "nsbuild rebuild":
		return [][]string{
			{commonFlags, "against", "snapshot", "output", "diff", "diffoscope", "json", "verbose",
				"offline"},
			{"Where source and packages are looked for", "source", "lock", "dist", "mirror",
				"extra-repository", "extra-repository-key"},
			{"The signature of the .buildinfo", "keyring"},
			{"How others can know how it was built", "provenance", "provenance-key", "builder-id"},
			{"The build", "log-dir", "scratch", "timeout", "silence", "memory", "cpus", "pids",
				"keep", "keep-count", "keep-size", "keep-age"},
		}
	case "nsbuild repro":
		return [][]string{
			{commonFlags, "vary", "bisect", "output", "diff", "json", "dist", "verbose", "offline"},
			{"What is built", "arch", "host", "arch-all", "no-arch-all", "arch-any",
				"no-arch-any", "source", "git", "profiles", "deb-build-options", "jobs",
				"debbuildopt", "debbuildopts", "base", "mirror"},
			{"Packages from elsewhere", "extra-repository", "extra-repository-key",
				"extra-package", "pin", "components", "include", "add-depends",
				"add-depends-arch", "add-depends-indep", "add-conflicts", "add-conflicts-arch",
				"add-conflicts-indep", "build-dep-resolver", "resolve-alternatives"},
			{"Room, processors and memory", "jobs-at-once", "memory", "cpus", "pids", "scratch",
				"scratch-size", "plain-source", "timeout", "silence"},
		}
	case "nsbuild create":
		return [][]string{
			{commonFlags, "name", "arch", "mirror", "components", "include", "replace"},
			{"What it is made of", "variant", "exclude", "keyring", "no-check-gpg",
				"bootstrapper", "from"},
			{"The same base again", "lock", "locked"},
			{"For programs", "json"},
			hooks,
		}
	case "nsbuild run":
		common := []string{commonFlags, "user", "chdir", "setenv", "bind", "bind-ro", "network",
			"root", "overlay", "timeout", "memory"}
		return slices.Concat([][]string{common, command}, jail, [][]string{hooks})
	case "nsbuild shell":
		common := []string{commonFlags, "build-deps", "dist", "install", "save", "user", "bind",
			"network", "root", "memory", "setenv"}
		return slices.Concat([][]string{common, append(command, "as")}, jail, [][]string{hooks})
	case "nsbuild session begin":
		common := []string{commonFlags, "name", "user", "install", "bind", "bind-ro", "network", "root",
			"overlay", "memory"}
		return slices.Concat([][]string{common}, jail, [][]string{hooks})
	}
	return nil
}

// flagGroups are the flags of a verb as its help and its manual page show them.
func flagGroups(c *cobra.Command) []flagGroup {
	var groups []flagGroup
	shown := map[*pflag.Flag]bool{}
	for _, names := range arrangement(c.CommandPath()) {
		g := flagGroup{heading: names[0]}
		for _, name := range names[1:] {
			f := c.LocalFlags().Lookup(name)
			if f == nil {
				f = c.InheritedFlags().Lookup(name)
			}
			if f != nil && !shown[f] {
				g.flags = append(g.flags, f)
				shown[f] = true
			}
		}
		groups = append(groups, g)
	}
	own, general := flagGroup{heading: "Options"}, flagGroup{heading: "Options of every command"}
	if len(groups) > 0 {
		own.heading = "Other options"
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		switch every := f.Name == "help" || c.PersistentFlags().Lookup(f.Name) == f; {
		case shown[f]:
		case every:
			general.flags = append(general.flags, f)
		default:
			own.flags = append(own.flags, f)
		}
	})
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !shown[f] {
			general.flags = append(general.flags, f)
		}
	})
	return slices.DeleteFunc(append(groups, own, general), func(g flagGroup) bool {
		return len(g.flags) == 0
	})
}

// flagNames are a flag's names and the name of its value, apart: "-o, --output", " DIR". What
// stands in the value's brackets may be left out.
func flagNames(f *pflag.Flag) (names, value string) {
	names = "--" + f.Name
	if f.Shorthand != "" && f.ShorthandDeprecated == "" {
		names = "-" + f.Shorthand + ", " + names
	}
	value, _ = pflag.UnquoteUsage(f)
	switch {
	case value == "":
		return names, ""
	case f.NoOptDefVal != "":
		return names, "[=" + value + "]"
	}
	return names, " " + value
}

// flagText is what a flag does, and the default of its value.
func flagText(f *pflag.Flag) string {
	value, text := pflag.UnquoteUsage(f)
	if value != "" && !slices.Contains([]string{"", "0", "0s", "[]"}, f.DefValue) {
		text += " (default: " + f.DefValue + ")"
	}
	return text
}

// useLine is how a verb is called.
func useLine(c *cobra.Command) string {
	return strings.Replace(c.UseLine(), "[flags]", "[OPTION...]", 1)
}

const (
	widestHelp   = 100
	usualHelp    = 80
	narrowest    = 40
	flagColumn   = 26
	verbColumn   = 14
	statusColumn = 11
)

// helpWidth is how many columns help may have: those of the terminal, within reason.
func helpWidth(out *os.File) int {
	if width, _, err := term.GetSize(int(out.Fd())); err == nil && width > 0 {
		return max(narrowest, min(width, widestHelp))
	}
	return usualHelp
}

// writeHelp writes the help of a command: what it does, then its flags, then how it may end.
func writeHelp(w io.Writer, c *cobra.Command, width int) error {
	var out strings.Builder
	fmt.Fprintf(&out, "Usage: %s\n\n%s\n", useLine(c), fill(c.Long, width))
	for _, g := range c.Groups() {
		fmt.Fprintf(&out, "%s:\n", g.Title)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == g.ID {
				writeItem(&out, sub.Name(), sub.Short, verbColumn, width)
			}
		}
		out.WriteString("\n")
	}
	if len(c.Groups()) == 0 && c.HasAvailableSubCommands() {
		out.WriteString("Commands:\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				writeItem(&out, sub.Name(), sub.Short, verbColumn, width)
			}
		}
		out.WriteString("\n")
	}
	if c.Example != "" {
		fmt.Fprintf(&out, "Examples:\n%s\n\n", c.Example)
	}
	for _, g := range flagGroups(c) {
		fmt.Fprintf(&out, "%s:\n", g.heading)
		for _, f := range g.flags {
			names, value := flagNames(f)
			if !strings.HasPrefix(names, "-"+f.Shorthand+",") {
				names = "    " + names
			}
			writeItem(&out, names+value, flagText(f), flagColumn, width)
		}
		out.WriteString("\n")
	}
	out.WriteString("Exit status:\n")
	for _, s := range statusesOf(c.CommandPath()) {
		writeItem(&out, s.code, s.meaning, statusColumn, width)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// writeItem writes a name, and beside it from a column on what it means; below it, if the name is
// too long.
func writeItem(out *strings.Builder, name, text string, column, width int) {
	fmt.Fprintf(out, "  %-*s", column-4, name)
	if utf8.RuneCountInString(name) > column-4 {
		fmt.Fprintf(out, "\n%*s", column, "")
	} else {
		out.WriteString("  ")
	}
	for i, line := range lines(text, width-column) {
		if i > 0 {
			fmt.Fprintf(out, "%*s", column, "")
		}
		out.WriteString(line + "\n")
	}
}

// fill fills the paragraphs of a text. Lines that are indented stay as they are.
func fill(text string, width int) string {
	var out strings.Builder
	var words []string
	flush := func() {
		for _, line := range lines(strings.Join(words, " "), width) {
			out.WriteString(line + "\n")
		}
		words = nil
	}
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimRight(line, "\n"); {
		case trimmed == "", strings.HasPrefix(line, " "), strings.HasPrefix(line, "\t"):
			flush()
			out.WriteString(trimmed + "\n")
		default:
			words = append(words, trimmed)
		}
	}
	flush()
	return out.String()
}

// lines breaks a text between words. A word that is too long has a line of its own.
func lines(text string, width int) []string {
	var out []string
	at := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if len(out) == 0 || at+1+n > width {
			out, at = append(out, word), n
			continue
		}
		out[len(out)-1] += " " + word
		at += 1 + n
	}
	return out
}
