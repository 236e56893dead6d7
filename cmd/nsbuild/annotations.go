package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"nsbuild/internal/annotate"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// checkService refuses what is no service.
func checkService(g given, name string) error {
	switch annotate.Service(name) {
	case annotate.Auto, annotate.GitHub, annotate.GitLab, annotate.None:
		return nil
	}
	return fault.New(fault.Usage, "it is auto, github, gitlab or none", "%s %q",
		g.place("annotations"), name)
}

// serviceOf is the service that --annotations names. A person at a terminal, and a program that
// reads events, have none.
func (a *app) serviceOf(name string) annotate.Service {
	switch {
	case a.json:
		return annotate.None
	case annotate.Service(name) != annotate.Auto:
		return annotate.Service(name)
	case console.IsTerminal(a.stderr):
		return annotate.None
	}
	return annotate.Detect(os.Getenv)
}

// mostNotes bounds how many notes a build has: GitHub shows no more of a step.
const mostNotes = 10

// annotate tells the service what was wrong with a build, and where.
func (a *app) annotate(out io.Writer, o *pkgbuild.Outcome) {
	notes := notesOf(o, os.Getenv("GITHUB_WORKSPACE"))
	for _, n := range notes[:min(len(notes), mostNotes)] {
		fmt.Fprint(out, a.service.Show(n))
	}
}

// notesOf are the errors of a build and the findings of its checks. top is what the service has
// checked out.
func notesOf(o *pkgbuild.Outcome, top string) (notes []annotate.Note) {
	r := o.Result
	in := annotate.Source{Top: top}
	if st, err := os.Stat(r.Source.From); err == nil && st.IsDir() {
		in.Dir = r.Source.From
	}
	title := strings.TrimSpace(cmp.Or(r.Source.Name, filepath.Base(r.Source.From)) + " " +
		r.Source.Version)
	shown := map[int]bool{}
	if o.Status == buildlog.Attempted {
		for _, l := range o.Located {
			shown[l.Line] = true
			n := annotate.Note{Title: title, File: in.File(l.File, l.Dir), Line: l.At,
				Column: l.Column, Text: l.Text}
			if n.File == "" {
				n.Text = fmt.Sprintf("%s:%d: %s", l.File, l.At, l.Text)
			}
			notes = append(notes, n)
		}
	}
	if r.Outcome.Error != "" && (len(o.Causes) == 0 || !shown[o.Causes[0].Line.Number]) {
		text := r.Outcome.Error
		if len(o.Causes) > 0 {
			text = o.Causes[0].Text + " (" + text + ")"
		}
		first := annotate.Note{Title: title, Text: text}
		notes = append([]annotate.Note{first}, notes...)
	}
	for _, c := range r.Checks {
		if c.Outcome != "fail" && c.Outcome != "warn" && c.Outcome != "error" {
			continue
		}
		titled := title + ": " + c.Name
		notes = append(notes, annotate.Note{Title: titled, Text: cmp.Or(c.Detail, c.Outcome),
			Warning: c.Outcome == "warn"})
		for _, f := range c.Findings {
			if n, ok := findingOf(f, in); ok {
				n.Title = titled
				notes = append(notes, n)
			}
		}
	}
	return notes
}

// pointed is what lintian's tags name: "[debian/control:3]".
var pointed = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\[([^\]\s]+):(\d+)\]`)
})

// findingOf is a tag of lintian's as a note.
func findingOf(text string, in annotate.Source) (annotate.Note, bool) {
	if !strings.HasPrefix(text, "E: ") && !strings.HasPrefix(text, "W: ") {
		return annotate.Note{}, false
	}
	n := annotate.Note{Warning: text[0] == 'W', Text: text[len("E: "):]}
	if m := pointed().FindStringSubmatch(text); m != nil {
		if n.File = in.File(m[1], ""); n.File != "" {
			n.Line, _ = strconv.Atoi(m[2]) // they are digits
		}
	}
	return n, true
}
