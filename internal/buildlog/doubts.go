package buildlog

import (
	"slices"
	"strings"
)

// doubts is what the lines before say against taking a line at its word. What was merely looked
// for, and was not found, looks like a failure and is none.
type doubts struct {
	section string
	within  bool // the log of a configuration program, in full
	seen    map[*neighbour]int
	waiting map[int]Cause // by rule: what needs a neighbour that may still come
}

// neighbour is a line that another one needs nearby, in order to be the cause of anything.
type neighbour struct {
	has           []string
	re            *expression
	undone        string // a line that begins so takes it back
	before, after int    // how many lines before and behind the other one it may be
}

var (
	// gaveUp: a configuration program ended since something was missing.
	gaveUp = neighbour{
		has: []string{"configure: error", "CMake Error", "ERROR: "}, before: 8, after: 8,
		re: pattern(`^configure: error: |^CMake Error|meson\.build:\d+:\d+: ERROR: `),
	}
	// cmakeError: CMake says in a warning, too, that something is not there.
	cmakeError = neighbour{has: []string{"CMake Error"}, undone: "CMake ", before: 4,
		re: pattern(`^CMake Error`)}
	// noCommand: what a shell does not find, it often does not need.
	noCommand = neighbour{has: []string{"127"}, after: 3,
		re: pattern(`Error 127\b|exit(?:ed with)? (?:code|status) 127\b`)}
)

// neighbours are all of them.
func neighbours() []*neighbour { return []*neighbour{&gaveUp, &cmakeError, &noCommand} }

// near tells whether a neighbour stands before a line.
func (d *doubts) near(n *neighbour, line int) bool {
	at, ok := d.seen[n]
	return ok && line-at <= n.before
}

// wait keeps what a rule has found until the neighbour that it needs comes.
func (d *doubts) wait(rule int, c Cause) {
	if d.waiting == nil {
		d.waiting = map[int]Cause{}
	}
	d.waiting[rule] = c
}

// confirm looks for neighbours in a line.
func (e *Explainer) confirm(line Line) {
	d := &e.doubts
	for _, n := range neighbours() {
		if n.undone != "" && strings.HasPrefix(line.Text, n.undone) {
			delete(d.seen, n)
		}
		if !containsAny(line.Text, n.has) || !n.re.regexp().MatchString(line.Text) {
			continue
		}
		if d.seen == nil {
			d.seen = map[*neighbour]int{}
		}
		d.seen[n] = line.Number
		for rule, c := range d.waiting {
			if _, known := e.found[rule]; known || rules[rule].needs != n {
				continue
			}
			if line.Number-c.Line.Number <= n.after {
				e.found[rule] = c
			}
			delete(d.waiting, rule)
		}
	}
}

// probeFiles are parts of the names of what configuration programs try to compile: Autoconf's and
// Ruby's, CMake's, Meson's, SCons', Waf's, distutils', perl's, and what is piped into a compiler.
var probeFiles = []string{"conftest.", "CMakeTmp/", "CMakeScratch/", "meson-private/tmp",
	".sconf_temp/", ".conf_check_", "_configtest.", "config.tests/", "<stdin>:", "try.c:"}

// probeLogs are the logs of such programs. debhelper and some suites of tests show them in full.
var probeLogs = []string{"config.log", "meson-log.txt", "CMakeCache.txt", "CMakeError.log",
	"CMakeOutput.log", "CMakeConfigureLog.yaml", "mkmf.log"}

var (
	configLine = pattern(`^configure:\d+: `)
	speaks     = pattern(`^(?:dh_\w+|make(?:\[\d+\])?|dpkg-\w+|E|ninja): |^\t?(?:cd|make|dh_\w+) `)
)

// probes tells whether a line is of what a configuration program tried, or of its log.
func (d *doubts) probes(section, text string) bool {
	if section != d.section {
		d.section, d.within = section, false
	}
	switch name, tail := strings.CutPrefix(text, "==> "); { // as tail names files
	case tail:
		d.within = slices.ContainsFunc(probeLogs, func(log string) bool {
			return strings.HasSuffix(strings.TrimSuffix(name, " <=="), log)
		})
		return true
	case strings.HasPrefix(text, "configure:") && configLine.regexp().MatchString(text):
		d.within = true
	case strings.HasPrefix(text, "configure: exit "), d.within && speaks.regexp().MatchString(text):
		d.within = false
	}
	quoted := strings.HasPrefix(text, "| ") // a failed program in config.log, a log in a suite's
	return d.within || quoted || containsAny(text, probeFiles)
}

// step begins a further step of debhelper or of dpkg-buildpackage.
var step = pattern(`^   (?:dh_\w+|debian/rules (?:override|execute)_)|^\t?dh_\w+(?: |$)|` +
	`^ (?:fakeroot )?debian/rules (?:clean|build|binary)\S*$|^ dpkg-gen(?:buildinfo|changes)\b`)

// survived tells whether a line begins a step that would not have begun if one before had failed.
func (e *Explainer) survived(text string) bool {
	return len(e.found)+len(e.doubts.waiting)+e.ended > 0 &&
		(strings.Contains(text, "dh_") || strings.Contains(text, "debian/rules") ||
			strings.Contains(text, "dpkg-gen")) && step.regexp().MatchString(text)
}

// forget drops what did not end the build. So it does with what is said of the machine: suites
// write to /dev/full on purpose, and where a disk is full what comes later says so itself.
func (e *Explainer) forget() {
	e.doubts.waiting, e.ended = nil, 0
	clear(e.found)
}
