package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: "man writes a manual page for each command into DIR. It makes DIR when it is missing. " +
			"This is for those who package nsbuild.\n",
		Example: "  nsbuild man ~/.local/share/man/man1",
		Args:    rangeArgs(1, 1, "into which directory?"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.man(args[0]) },
	}
}

// man writes the pages. SOURCE_DATE_EPOCH dates them, so that packages that ship them are
// reproducible.
//
// They are made here, not with cobra's package for it: that one brings a Markdown and a YAML
// parser, whose tables every start of the program would pay for.
func (a *app) man(dir string) error {
	date, err := sourceDateEpoch()
	if err != nil {
		return err
	}
	if date.IsZero() {
		date = time.Now()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of the manual pages: %w", err)
	}
	root := newRoot(a)
	root.InitDefaultCompletionCmd()
	return writePages(root, dir, date.UTC().Format(time.DateOnly))
}

// writePages writes the page of a command and those of its commands.
func writePages(c *cobra.Command, dir, date string) error {
	c.InitDefaultHelpFlag()
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(manPage(c, name, date)),
		0o644); err != nil {
		return fmt.Errorf("writing a manual page: %w", err)
	}
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if err := writePages(sub, dir, date); err != nil {
			return err
		}
	}
	return nil
}

// manPage is a page in the macros of man(7).
func manPage(c *cobra.Command, name, date string) string {
	var out strings.Builder
	fmt.Fprintf(&out, ".TH %s 1 %s \"nsbuild %s\" \"User Commands\"\n.nh\n.ad l\n",
		roff(strings.ToUpper(name)), date, version)
	short := strings.ToLower(c.Short[:1]) + c.Short[1:]
	fmt.Fprintf(&out, ".SH NAME\n%s \\-\n%s.SH SYNOPSIS\n.B %s\n", roff(name), manText(short+"\n"),
		roff(useLine(c)))
	out.WriteString(".SH DESCRIPTION\n" + manText(c.Long))
	manVerbs(&out, c)
	if c.Example != "" {
		out.WriteString(".SH EXAMPLES\n" + manText(c.Example+"\n"))
	}
	out.WriteString(".SH OPTIONS\n")
	for _, g := range flagGroups(c) {
		out.WriteString(".SS " + roff(g.heading) + "\n")
		for _, f := range g.flags {
			names, value := flagNames(f)
			if label, ok := strings.CutPrefix(value, " "); ok {
				names = `\fB` + roff(names) + `\fP \fI` + roff(label) + `\fP`
			} else {
				names = `\fB` + roff(names) + `\fP` + roff(value)
			}
			out.WriteString(".TP\n" + names + "\n" + manText(flagText(f)+"\n"))
		}
	}
	if !c.HasParent() {
		out.WriteString(manOfRoot())
	}
	out.WriteString(".SH EXIT STATUS\n")
	for _, s := range statusesOf(c.CommandPath()) {
		out.WriteString(".TP\n.B " + roff(s.code) + "\n" + manText(s.meaning+"\n"))
	}
	out.WriteString(".SH SEE ALSO\n" + strings.Join(related(c), ",\n") + "\n")
	return out.String()
}

// manVerbs lists the commands of a command, those of nsbuild itself in their groups.
func manVerbs(out *strings.Builder, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	out.WriteString(".SH COMMANDS\n")
	groups := c.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{}}
	}
	for _, g := range groups {
		if g.Title != "" {
			out.WriteString(".SS " + roff(g.Title) + "\n")
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == g.ID {
				fmt.Fprintf(out, ".TP\n%s\n%s.\n", manReference(sub), roff(sub.Short))
			}
		}
	}
}

// manReference names the page of a command.
func manReference(c *cobra.Command) string {
	return `\fB` + roff(strings.ReplaceAll(c.CommandPath(), " ", "-")) + `\fP(1)`
}

// related are the pages to go on with.
func related(c *cobra.Command) []string {
	var pages []string
	if c.HasParent() {
		pages = append(pages, manReference(c.Parent()))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			pages = append(pages, manReference(sub))
		}
	}
	if !c.HasParent() {
		for _, other := range []string{"sbuild(1)", "schroot(1)", "debootstrap(8)",
			"dpkg-buildpackage(1)", "newuidmap(1)", "user_namespaces(7)"} {
			name, section, _ := strings.Cut(other, "(")
			pages = append(pages, `\fB`+roff(name)+`\fP(`+section)
		}
	}
	return pages
}

// manOfRoot is what only the page of nsbuild itself has.
func manOfRoot() string {
	return ".SH FILES\n" + manItems([][2]string{
		{"~/.local/share/nsbuild", "bases; of root /var/lib/nsbuild"},
		{"~/.cache/nsbuild", "downloads and installed build dependencies; of root " +
			"/var/cache/nsbuild. nsbuild keeps it below --cache-limit"},
		{"~/.config/nsbuild/config.toml, /etc/nsbuild/config.toml", "the configuration: " +
			"options by their names. It is not needed; nsbuild config show lists the keys"},
		{"~/.config/nsbuild/suites.deb822, /etc/nsbuild/suites.deb822", "suites beyond those " +
			"of Debian and Ubuntu"},
		{"~/.config/nsbuild/hooks, /etc/nsbuild/hooks", "where --hook NAME looks"},
	}) + ".PP\n" + manText("rm cannot delete bases and layers: their files belong to mapped ids. "+
		"nsbuild remove and nsbuild cache clean delete them.\n") +
		".SH ENVIRONMENT\n" + manItems([][2]string{
		{"NSBUILD_...", "each option of the configuration: NSBUILD_BUILD_JOBS=4 is --jobs 4 of " +
			"nsbuild build"},
		{"NSBUILD_STATE, NSBUILD_CACHE, NSBUILD_CACHE_LIMIT", "the same as --state-dir, " +
			"--cache-dir and --cache-limit"},
		{"NSBUILD_CONFIG", "the one configuration file that is read; none, when it is empty"},
		{"NSBUILD_SUITES", "the one file that is read for further suites"},
		{"DEB_BUILD_OPTIONS, DEB_BUILD_PROFILES", "options and profiles of builds"},
		{"DEBFULLNAME, DEBEMAIL", "who makes a binary-only upload"},
		{"http_proxy, https_proxy, no_proxy", "the proxy; that of the host's apt counts, too"},
		{"SOURCE_DATE_EPOCH", "the time that nothing in a new base is younger than"},
		{"NO_COLOR", "no colours"},
	})
}

// manItems is a list of names with what they mean.
func manItems(items [][2]string) string {
	var out strings.Builder
	for _, item := range items {
		out.WriteString(".TP\n.B " + roff(item[0]) + "\n" + manText(item[1]+".\n"))
	}
	return out.String()
}

// widestMan is how long a line of a page's source may be: mandoc(1) has it so.
const widestMan = 80

// manText makes paragraphs, and literal blocks of indented lines.
func manText(help string) string {
	var out strings.Builder
	var words []string
	literal, gap := false, false
	flush := func() {
		for _, line := range lines(strings.Join(words, " "), widestMan) {
			out.WriteString(line + "\n")
		}
		words = nil
	}
	for line := range strings.Lines(help) {
		text := strings.TrimRight(line, " \n")
		if text == "" {
			gap = true
			continue
		}
		indented := strings.HasPrefix(text, "  ") || strings.HasPrefix(text, "\t")
		if gap || indented != literal {
			flush()
		}
		switch {
		case indented && !literal:
			out.WriteString(".RS 4\n.EX\n")
		case !indented && literal:
			out.WriteString(".EE\n.RE\n.PP\n")
		case gap && indented:
			out.WriteString("\n")
		case gap:
			out.WriteString(".PP\n")
		}
		if indented {
			out.WriteString(roff(strings.TrimSpace(text)) + "\n")
		} else {
			words = append(words, strings.Fields(roff(text))...)
		}
		literal, gap = indented, false
	}
	flush()
	if literal {
		out.WriteString(".EE\n.RE\n")
	}
	return out.String()
}

// roff escapes what is special in man(7): backslashes, the dash that is to stay one, and a control
// character at the beginning of a word, which may come to begin a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	words := strings.Split(text, " ")
	for i, word := range words {
		if strings.HasPrefix(word, ".") || strings.HasPrefix(word, "'") {
			words[i] = `\&` + word
		}
	}
	return strings.Join(words, " ")
}
