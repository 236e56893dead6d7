package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: "man writes a manual page for each command into DIR, which is made when it is " +
			"missing. It is for those who package nsbuild.\n" + exitHelp,
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
	return writePages(root, dir, date.UTC().Format("January 2006"))
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
	fmt.Fprintf(&out, ".nh\n.TH \"%s\" \"1\" \"%s\" \"nsbuild %s\" \"nsbuild\"\n",
		roff(strings.ToUpper(name)), date, version)
	fmt.Fprintf(&out, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n\\fB%s\\fP\n", roff(name), roff(c.Short),
		roff(c.UseLine()))
	help := c.Long
	if help == "" {
		help = c.Short + "\n"
	}
	if !strings.Contains(help, "EXIT STATUS") {
		help = strings.TrimRight(help, "\n") + "\n" + exitHelp
	}
	out.WriteString(".SH DESCRIPTION\n" + manText(help))
	manFlags(&out, "OPTIONS", c.NonInheritedFlags())
	manFlags(&out, "OPTIONS OF ALL COMMANDS", c.InheritedFlags())
	if c.Example != "" {
		out.WriteString(".SH EXAMPLE\n" + manText(c.Example+"\n"))
	}
	var related []string
	if c.HasParent() {
		related = append(related, c.Parent().CommandPath())
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			related = append(related, sub.CommandPath())
		}
	}
	for i, r := range related {
		related[i] = `\fB` + roff(strings.ReplaceAll(r, " ", "-")) + `\fP(1)`
	}
	if len(related) > 0 {
		out.WriteString(".SH SEE ALSO\n" + strings.Join(related, ", ") + "\n")
	}
	return out.String()
}

// manText makes headings of lines in capitals and literal blocks of indented lines.
func manText(help string) string {
	var out strings.Builder
	literal, gap := false, false
	for line := range strings.Lines(help) {
		text := strings.TrimRight(line, " \n")
		if text == "" {
			gap = true
			continue
		}
		indented := strings.HasPrefix(text, "  ")
		switch {
		case indented && !literal:
			out.WriteString(".PP\n.RS 4\n.EX\n")
		case !indented && literal:
			out.WriteString(".EE\n.RE\n")
		}
		heading := !indented && text == strings.ToUpper(text) && strings.ToLower(text) != text
		switch {
		case heading:
			out.WriteString(".SH ")
		case gap && indented && literal:
			out.WriteString("\n")
		case !indented && (gap || literal):
			out.WriteString(".PP\n")
		}
		literal, gap = indented, false
		out.WriteString(roff(strings.TrimPrefix(text, "  ")) + "\n")
	}
	if literal {
		out.WriteString(".EE\n.RE\n")
	}
	return out.String()
}

func manFlags(out *strings.Builder, heading string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	out.WriteString(".SH " + heading + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		names := `\fB` + roff("--"+f.Name) + `\fP`
		if f.Shorthand != "" && f.ShorthandDeprecated == "" {
			names = `\fB` + roff("-"+f.Shorthand) + `\fP, ` + names
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" {
			names += ` \fI` + roff(value) + `\fP`
		}
		if value != "" && f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" &&
			f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		out.WriteString(".TP\n" + names + "\n" + roff(usage) + "\n")
	})
}

// roff escapes what is special in a line of man(7): backslashes, the dash that is to stay one, and
// a control character at its beginning.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
