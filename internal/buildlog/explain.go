package buildlog

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Cause is a probable reason of a failure.
type Cause struct {
	Kind string // one of the Kind constants
	Line Line   // where the log says so
	Text string // one sentence for the user
}

// Kinds of causes.
const (
	KindDiskFull     = "disk-full"
	KindMemory       = "out-of-memory"
	KindUnsatisfied  = "unsatisfied-dependencies"
	KindPatch        = "patch-failed"
	KindHeader       = "missing-header"
	KindDependency   = "missing-dependency"
	KindCompile      = "compile-error"
	KindLink         = "link-error"
	KindInstallFile  = "missing-install-file"
	KindNetwork      = "network-attempt"
	KindTest         = "test-failure"
	KindNotInstalled = "not-installed"
	KindSource       = "unpack-failed"
	KindOverlay      = "overlay"         // the tree is not a plain one
	KindDevices      = "overlay-devices" // and its files have other devices than their mount
)

// rule is a cause that one line of a log betrays.
type rule struct {
	kind string
	rank int // a higher one is the more probable cause when several are found
	// one of them is in the line, before the expression is tried: most lines match nothing, and
	// must cost little
	has  []string
	re   func() *regexp.Regexp
	text string // may use the expression's groups as $1, $2

	needs   *neighbour // a line nearby without which the line says nothing
	testing bool       // it tells that what failed was the running of tests
}

// pattern compiles an expression when it is first tried: every start of the program pays for what
// its packages make before main.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// rules is the table of known causes. What is said of the machine ranks before what is said of the
// package: a full disk breaks everything after it. Tests come last, since a suite prints much that
// looks like failure; they come first where it is known that the running of tests is what failed.
var rules = []rule{
	{kind: KindDiskFull, rank: 100, has: []string{"No space left on device", "Disk quota exceeded"},
		text: "the disk is full: give the build more space (--scratch disk), or free some"},
	{kind: KindMemory, rank: 95,
		has: []string{"Killed", "memory exhausted", "Cannot allocate memory", "out of memory",
			"Out of memory", "bad_alloc", "JavaScript heap"},
		re: pattern(
			`fatal error: Killed signal terminated program (\S+)|virtual memory exhausted|` +
				`[Cc]annot allocate memory|std::bad_alloc|\b[Oo]ut of memory\b|Killed$`),
		text: "memory ran out: build with fewer jobs (-j), or give the build more memory"},
	{kind: KindUnsatisfied, rank: 90,
		has: []string{"unmet dependencies", "but it is not installable",
			"but it is not going to be installed", "Unable to satisfy"},
		text: "the build dependencies cannot be satisfied"},
	{kind: KindPatch, rank: 85, has: []string{"FAILED -- saving rejects", "Hunk #"},
		re: pattern(`saving rejects|^Hunk #\d+ FAILED`), text: "a patch does not apply"},
	{kind: KindSource, rank: 84, has: []string{"dpkg-source: error"},
		re: pattern(`^dpkg-source: error: (.+)$`), text: "dpkg-source failed: $1"},
	{kind: KindHeader, rank: 80, has: []string{"No such file or directory"},
		re: pattern(`(?:fatal )?error: ([^ :]+\.(?:h|hh|hpp|hxx|inc|ipp)): ` +
			`No such file or directory`),
		text: "the header $1 is missing: a build dependency may be"},
	{kind: KindHeader, rank: 80, has: []string{"file not found"},
		re:   pattern(`fatal error: '([^']+)' file not found`),
		text: "the header $1 is missing: a build dependency may be"},
	// Tests that are skipped name the module that they lack, within a line or a comment of TAP.
	{kind: KindDependency, rank: 78, has: []string{"No module named"},
		re: pattern(`^(?:E +)?(?:(?:ModuleNotFound|Import)Error: |/\S*python[0-9.]*: )` +
			`No module named '?([A-Za-z0-9_.]+)'?`),
		text: "the Python module $1 is missing: a build dependency may be"},
	{kind: KindDependency, rank: 78, has: []string{"Can't locate"},
		re:   pattern(`^Can't locate (\S+\.pm) in @INC`),
		text: "the Perl module $1 is missing: a build dependency may be"},
	{kind: KindDependency, rank: 78,
		has: []string{"No package '", "Package '", "was not found in the pkg-config"},
		re: pattern(`(?:No package '([^']+)' found|` +
			`Package '?([^' ,]+)'?,? (?:required by|was not found))`),
		text: "pkg-config does not know $1$2: a build dependency may be missing", needs: &gaveUp},
	{kind: KindDependency, rank: 77, has: []string{"Could NOT find"},
		re:   pattern(`^(?:CMake Error: |  )Could NOT find (\S+)`),
		text: "CMake does not find $1: a build dependency may be missing", needs: &cmakeError},
	{kind: KindDependency, rank: 68, has: []string{"Could not find a package configuration file"},
		re:   pattern(`package configuration file provided by "([^"]+)"`),
		text: "CMake does not find $1: a build dependency may be missing", needs: &cmakeError},
	{kind: KindDependency, rank: 77,
		has: []string{"cannot find package", "no required module provides"},
		re: pattern(`(?:cannot find package "([^"]+)"|` +
			`no required module provides package (\S+))`),
		text: "the Go package $1$2 is missing: a build dependency may be"},
	{kind: KindDependency, rank: 77, has: []string{"Cannot find module"},
		re:   pattern(`Cannot find module '([^']+)'`),
		text: "the Node module $1 is missing: a build dependency may be"},
	{kind: KindDependency, rank: 77, has: []string{"Unmet build dependencies"},
		re:   pattern(`Unmet build dependencies: (.+)$`),
		text: "build dependencies are not installed: $1"},
	{kind: KindDependency, rank: 76, has: []string{"not found"},
		re: pattern(`(?:/bin/sh: \d+: |bash: (?:line \d+: )?|make(?:\[\d+\])?: )` +
			`([A-Za-z0-9_.+/-]+): (?:command )?not found$`),
		text: "the command $1 is missing: a build dependency may be", needs: &noCommand},
	{kind: KindDependency, rank: 76, has: []string{"No such file or directory"},
		re:   pattern(`^make(?:\[\d+\])?: ([A-Za-z0-9_.+-]+): No such file or directory$`),
		text: "the command $1 is missing: a build dependency may be", needs: &noCommand},
	{kind: KindDependency, rank: 74, has: []string{"configure: error: "},
		re: pattern(`^configure: error: (.+)$`), text: "configure gave up: $1"},
	{kind: KindInstallFile, rank: 75, has: []string{"Cannot find (any matches for)"},
		re:   pattern(`Cannot find \(any matches for\) "([^"]+)"`),
		text: "a file that debian/*.install names was not built: $1"},
	{kind: KindInstallFile, rank: 73, has: []string{"missing files, aborting"},
		re:   pattern(`^dh_install\w*: .*missing files, aborting`),
		text: "a file that debian/*.install names was not built"},
	{kind: KindNotInstalled, rank: 72, has: []string{"but is not installed to anywhere"},
		re:   pattern(`dh_missing: (?:warning|error): (\S+) exists in`),
		text: "$1 is built, but in no package (dh_missing)"},
	{kind: KindCompile, rank: 70, has: []string{"error: ", "error["},
		re: pattern(`^\S[^:]*:\d+(?::\d+)?: (?:fatal )?error: (.+)$|` +
			`^error(?:\[E\d+\])?: (.+)$`),
		text: "a compile error: $1$2"},
	{kind: KindCompile, rank: 70, has: []string{"error: "},
		re: pattern(`^\S+\.java:\d+: error: (.+)$`), text: "a compile error: $1"},
	{kind: KindLink, rank: 69, has: []string{"undefined reference to"},
		re:   pattern("undefined reference to [`'‘]([^'’]+)['’]"),
		text: "the linker misses $1"},
	{kind: KindLink, rank: 69, has: []string{"cannot find -l", "unable to find library"},
		re:   pattern(`(?:cannot find -l|unable to find library -l)(\S+?):?(?: .*)?$`),
		text: "the library $1 is missing: a build dependency may be"},
	{kind: KindNetwork, rank: 60,
		has: []string{"resolve host", "name resolution", "getaddrinfo", "etwork is unreachable",
			"Name or service not known", "dial tcp", "Failed to establish a new connection",
			"Could not connect", "nodename nor servname"},
		re: pattern(`(?i)(?:could not|couldn't|unable to|cannot) resolve|name resolution|` +
			`getaddrinfo|network is unreachable|name or service not known|dial tcp|` +
			`establish a new connection|could not connect|servname`),
		text: "something tried to use the network, which a build has not"},
	{kind: KindOverlay, rank: 55,
		has: []string{"Invalid cross-device link", "Value too large for defined data type",
			"field width not sufficient for storing inode number", "Stale file handle"},
		text: "the build may have seen an overlay where it needs a plain tree: --scratch copy"},
	// What the tests of lsof, psmisc and tar say where a file's device is not its mount's.
	{kind: KindDevices, rank: 45,
		has: []string{"lock mismatch: expected", "FAIL: fuser", "FAIL: lsof",
			"file changed as we read it",
			"file is on a different filesystem"},
		text: "the build may have seen an overlay where it needs a plain tree: --scratch copy"},
	{kind: KindTest, rank: 50,
		has: []string{"tests failed", "test failed", "Failed test", "failed", "FAIL"},
		re: pattern(`\b[1-9]\d* tests? failed\b|^=+ (?:.*\D)?[1-9]\d* failed|^FAILED \(|` +
			`^# (?:FAIL|ERROR): +[1-9]|^FAIL: \S|^\s*--- FAIL: \S|` +
			`^\s*(?:Failed tests?|test failed)`),
		text: "tests fail"},
	{kind: KindTest, rank: 50, has: []string{"dh_auto_test"},
		re: pattern(`^dh_auto_test: error|` +
			`^make(?:\[\d+\])?: \*\*\* \[debian/rules:\d+: override_dh_auto_test`),
		text: "tests fail", testing: true},
}

// Explainer looks at the lines of a log, as they are written, for known causes of a failure. It
// keeps one line per rule, so that its memory is bounded. What it finds means nothing when the
// build succeeds.
type Explainer struct {
	found  map[int]Cause
	doubts doubts
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
	for i := range rules {
		r := &rules[i]
		if _, known := e.found[i]; known || !containsAny(line.Text, r.has) {
			continue
		}
		text := r.text
		if r.re != nil {
			re := r.re()
			m := re.FindStringSubmatchIndex(line.Text)
			if m == nil {
				continue
			}
			text = string(re.ExpandString(nil, r.text, line.Text, m))
		}
		// The first line of each kind counts: what follows a first error is often its consequence.
		c := Cause{Kind: r.kind, Line: line, Text: VisibleString(text)}
		if r.needs == nil || e.doubts.near(r.needs, line.Number) {
			e.found[i] = c
		} else {
			e.doubts.wait(i, c)
		}
	}
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
		}
	}
	return out
}

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
			return 1000
		}
		return rules[i].rank
	}
}
