package repro

import (
	"fmt"
	"strings"

	"nsbuild/internal/buildlog"
)

// Lines are the report for people, without the escapes that names may have.
func (r *Report) Lines() (lines []string) {
	add := func(format string, args ...any) {
		lines = append(lines, buildlog.VisibleString(fmt.Sprintf(format, args...)))
	}
	if r.Version == "" {
		return nil
	}
	how := "one after the other"
	if r.Beside {
		how = "beside each other"
	}
	varied := "nothing"
	if len(r.Variations) > 0 {
		varied = strings.Join(r.Variations, ", ")
	}
	add("two builds, %s; varied: %s", how, varied)
	files := func(all []File, indent string) {
		for _, f := range all {
			add("%s%s: %s", indent, f.Name, f.State)
			for _, d := range f.Differences {
				add("%s    %s", indent, d)
			}
			if f.Note != "" {
				add("%s    %s", indent, f.Note)
			}
		}
	}
	files(r.Files, "")
	if len(r.Itself) > 0 {
		add("varies by itself, without a variation:")
		files(r.Itself, "    ")
	}
	for _, c := range r.Causes {
		add("cause: %s", strings.Join(c.Variations, " together with "))
		if c.Fails {
			add("    the build fails")
		}
		files(c.Files, "    ")
	}
	if r.Bisected {
		add("%d more builds to find that", r.More)
	}
	return lines
}
