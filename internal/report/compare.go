package report

import (
	"strings"

	"nsbuild/internal/compared"
	"nsbuild/internal/result"
)

// detail is a line of what differs.
type detail struct{ Class, Text string }

// mostDetails is how many lines a page has of what differs.
const mostDetails = 2000

// detailsOf are the lines of a comparison, those of what was lost and gained in colours.
func detailsOf(c *compared.Comparison) (all []detail) {
	for _, l := range c.Details(compared.Extent{}) {
		d := detail{Text: l}
		switch text := strings.TrimLeft(l, " "); {
		case strings.HasPrefix(text, "-"):
			d.Class = "lost"
		case strings.HasPrefix(text, "+"):
			d.Class = "gained"
		}
		if len(all) == mostDetails {
			return append(all, detail{Text: "…"})
		}
		all = append(all, d)
	}
	return all
}

// compareTone is the colour of what became of a comparison.
func compareTone(status string) string {
	switch status {
	case result.CompareSame:
		return "good"
	case result.CompareFailed:
		return "bad"
	}
	return "odd"
}
