package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages",
		Long:    "man writes a manual page for each command into DIR, which is made when it is missing. It is for those who package nsbuild.\n" + exitHelp,
		Example: "  nsbuild man ~/.local/share/man/man1",
		Args:    rangeArgs(1, 1, "into which directory?"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.man(args[0]) },
	}
}

// man writes the pages. SOURCE_DATE_EPOCH dates them, so that packages that ship them are reproducible.
func (a *app) man(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of the manual pages: %w", err)
	}
	root := newRoot(a) // of its own, since its texts are changed
	root.DisableAutoGenTag = true
	forMan(root)
	header := &doc.GenManHeader{Section: "1", Source: "nsbuild " + version, Manual: "nsbuild"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	return nil
}

// forMan turns the help texts into the Markdown that manual pages are made from.
func forMan(c *cobra.Command) {
	if !strings.Contains(c.Long, "EXIT STATUS") {
		c.Long += exitHelp
	}
	c.Long = manText(c.Long)
	c.DisableAutoGenTag = true
	for _, sub := range c.Commands() {
		forMan(sub)
	}
}

// manText makes headings of lines in capitals and literal blocks of indented lines.
func manText(help string) string {
	var out strings.Builder
	literal := false
	for line := range strings.Lines(help) {
		text := strings.TrimRight(line, " \n")
		indented := strings.HasPrefix(text, "  ")
		if indented != literal && text != "" {
			out.WriteString("\n")
			literal = indented
		}
		switch {
		case indented:
			text = "    " + strings.TrimPrefix(text, "  ")
		case text != "" && text == strings.ToUpper(text):
			text = "# " + text
		}
		out.WriteString(text + "\n")
	}
	return out.String()
}
