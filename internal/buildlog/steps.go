package buildlog

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Step is a command that dpkg-buildpackage or debhelper says it runs. It lasts until the next one.
type Step struct {
	Name  string // "dh_auto_build", "debian/rules override_dh_auto_test", "dpkg-genchanges"
	Line  int
	Begun time.Time
}

// steps are gathered between BeginSteps and Steps.
type steps struct {
	wanted bool
	all    []Step
}

// maxSteps bounds how many there are: a package prints what it likes.
const maxSteps = 300

// BeginSteps has the lines from now on looked at for steps.
func (l *Log) BeginSteps() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = steps{wanted: true}
}

// Steps are those since BeginSteps. Later lines are not looked at.
func (l *Log) Steps() []Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps.wanted = false
	return l.steps.all
}

// step notes a line that begins a step.
func (s *steps) step(line Line, now func() time.Time) {
	if !s.wanted || !strings.HasPrefix(line.Text, " ") || len(s.all) >= maxSteps {
		return
	}
	if name := stepName(line.Text); name != "" {
		s.all = append(s.all, Step{Name: VisibleString(name), Line: line.Number, Begun: now()})
	}
}

// stepName is the step that a line begins, or "": dpkg-buildpackage indents its own by one blank,
// and dh by three.
func stepName(line string) string {
	const dh, dpkg, rules = "   ", " ", "debian/rules "
	words := strings.Fields(line)
	if len(words) == 0 || !utf8.ValidString(line) {
		return ""
	}
	name := words[0]
	second := ""
	if len(words) > 1 {
		second = words[1]
	}
	first := strings.HasPrefix(line, dpkg+name)
	inner := strings.HasPrefix(line, dh+name)
	switch {
	case inner && strings.HasPrefix(name, "dh_"), first && strings.HasPrefix(name, "dpkg-"):
	case inner && name+" " == rules && strings.Contains(second, "_dh_"),
		first && name+" " == rules && (strings.HasPrefix(second, "build") ||
			strings.HasPrefix(second, "binary") || second == "clean"):
		name = rules + second
	default:
		return ""
	}
	const longest = 80
	if len(name) > longest {
		return ""
	}
	return name
}
