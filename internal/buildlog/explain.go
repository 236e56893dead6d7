package buildlog

import (
	"cmp"
	"slices"
	"strings"
)

// Cause is a probable reason of a failure.
type Cause struct {
	Kind string // one of the Kind constants
	Line Line   // where the log says so
	Text string // one sentence for the user
	// Sure tells that it is known to be the cause, and not merely likely to be.
	Sure bool
	// Missing is what kind of thing Name is, where something is missing that a package may have.
	Missing Missing
	Name    string
	// Packages have it.
	Packages []string
}

// Vague tells that the cause says where the build ended, and not why.
func (c Cause) Vague() bool { return c.Kind == KindCommand || c.Kind == KindException }

// HasIt says which packages have what is missing.
func (c *Cause) HasIt(packages ...string) {
	packages = slices.DeleteFunc(packages, func(p string) bool { return p == "" })
	if len(packages) == 0 {
		return
	}
	c.Packages = packages
	text := strings.TrimSuffix(strings.TrimSuffix(c.Text, mayBeMissing), mayBe)
	c.Text = text + ": " + VisibleString(strings.Join(packages, " or ")) + " has it"
}

// Label is what stands before the text of a cause.
func (c Cause) Label() string {
	if c.Sure {
		return "cause"
	}
	return "likely cause"
}

// Explainer looks at the lines of a log, as they are written, for known causes of a failure. It
// keeps one line per rule, so that its memory is bounded. What it finds means nothing when the
// build succeeds.
type Explainer struct {
	found  map[int]Cause
	doubts doubts
	ended  int // the line in which the first program since the last step says that it has failed
}

// NewExplainer makes an Explainer.
func NewExplainer() *Explainer { return &Explainer{found: map[int]Cause{}} }

// quietSections are those in which no line says why a build failed: lists of packages, control
// files.
var quietSections = []string{"Build environment", "Changes", "Buildinfo", "Package contents",
	"Cleanup", "Summary"}

// Line looks at one line of a section ("" for the header).
func (e *Explainer) Line(section string, line Line) {
	if slices.Contains(quietSections, section) {
		return
	}
	if e.survived(line.Text) {
		e.forget()
	}
	if e.doubts.probes(section, line.Text) {
		return
	}
	e.confirm(line)
	if e.ended == 0 && containsAny(line.Text, failureHas) &&
		failure.regexp().MatchString(line.Text) {
		e.ended = line.Number
	}
	for i := range rules {
		r := &rules[i]
		if _, known := e.found[i]; known || !containsAny(line.Text, r.has) {
			continue
		}
		text, name := r.text, ""
		if r.re != nil {
			re := r.re.regexp()
			m := re.FindStringSubmatchIndex(line.Text)
			if m == nil {
				continue
			}
			text = string(re.ExpandString(nil, r.text, line.Text, m))
			if r.missing != "" {
				name = firstGroup(line.Text, m)
			}
		}
		if skipped(r, line.Text) {
			continue
		}
		// The first line of each kind counts: what follows a first error is often its consequence.
		c := Cause{Kind: r.kind, Line: line, Text: VisibleString(text), Missing: r.missing,
			Name: name}
		if r.needs == nil || e.doubts.near(r.needs, line.Number) {
			e.found[i] = c
		} else {
			e.doubts.wait(i, c)
		}
	}
}

// failure is how a program says that what it has started has failed.
var failure = pattern(`^make(?:\[\d+\])?: \*\*\* .*(?:Error \d+|\b[A-Z]\w+|Stop\.)$|` +
	`^dh\w*: error: |^error: command .* failed|^dpkg-\w+: error: |^E: `)

// failureHas is what one of its lines has.
var failureHas = []string{"*** ", ": error: ", "error: command", "E: "}

// firstGroup is what the first group of an expression has matched that has matched anything.
func firstGroup(text string, m []int) string {
	for i := 2; i+1 < len(m); i += 2 {
		if m[i] >= 0 {
			return text[m[i]:m[i+1]]
		}
	}
	return ""
}

// skipped leaves out what has no meaning of its own: that something else has failed.
func skipped(r *rule, text string) bool {
	return r.kind == KindCompile && (strings.HasPrefix(text, "error: test failed") ||
		strings.HasPrefix(text, "error: could not compile")) ||
		r.kind == KindSource && strings.Contains(text, " patch -t ") ||
		r.kind == KindDebhelper && (strings.Contains(text, "returned exit code") ||
			strings.Contains(text, "subprocess "))
}

func containsAny(s string, subs []string) bool {
	for _, sub := range subs {
		if strings.Contains(s, sub) {
			return true
		}
	}
	return false
}

// Causes returns what was found, the most probable first, one per kind.
func (e *Explainer) Causes() []Cause {
	order := make([]int, 0, len(e.found))
	for i := range e.found {
		order = append(order, i)
	}
	rank := e.ranks()
	slices.SortFunc(order, func(a, b int) int {
		first, second := e.found[a].Line.Number, e.found[b].Line.Number
		return cmp.Or(rank(b)-rank(a), first-second, a-b)
	})
	var out []Cause
	seen := map[string]bool{}
	for _, i := range order {
		if c := e.found[i]; !seen[c.Kind] {
			seen[c.Kind] = true
			out = append(out, c)
			if len(out) == 1 {
				out[0].Sure = rules[i].sure && e.isSoon(c)
			}
		}
		if other := e.found[i]; rank(i) >= lowestOfSuspicion && other.Kind != out[0].Kind &&
			other.Line.Number != out[0].Line.Number && rank(order[0]) < tested {
			out[0].Sure = false
		}
	}
	return out
}

// soon is within how many lines of a cause the step has to end.
const soon = 200

// isSoon tells whether the step that a line is of has failed soon after it.
func (e *Explainer) isSoon(c Cause) bool {
	return e.ended >= c.Line.Number && e.ended-c.Line.Number <= soon
}

// tested is added to the ranks of tests, where these are what failed.
const tested = 1000

// ranks are those of the rules. Where tests were run, some failed, and that was what failed, then
// what else they printed says nothing.
func (e *Explainer) ranks() func(rule int) int {
	tests, one := false, false
	for i := range e.found {
		tests = tests || rules[i].testing
		one = one || rules[i].kind == KindTest && !rules[i].testing
	}
	return func(i int) int {
		if tests && one && rules[i].kind == KindTest {
			return tested + rules[i].rank
		}
		return rules[i].rank
	}
}
