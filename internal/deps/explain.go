package deps

import (
	"strings"

	"nsbuild/internal/buildlog"
)

// Explanation picks what explains a failure out of what apt, aptitude or dpkg wrote: the list
// under "unmet dependencies", whose lines are indented, and the errors.
func Explanation(lines []buildlog.Line) []string {
	var out []string
	listed := false
	for _, l := range lines {
		switch {
		case strings.HasSuffix(l.Text, "have unmet dependencies:"):
			listed = true
			continue
		case strings.HasPrefix(l.Text, "dpkg: error"):
			listed = true // which script, and how it ended
		case strings.HasPrefix(l.Text, "E: "):
		case !listed || !strings.HasPrefix(l.Text, " "):
			listed = false
			continue
		}
		out = append(out, buildlog.VisibleString(strings.TrimSpace(l.Text)))
	}
	return out
}
