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
)

// rule is a cause that one line of a log betrays.
type rule struct {
	kind string
	rank int      // a higher one is the more probable cause when several are found
	has  []string // one of them is in the line, before the expression is tried: most lines match nothing, and must cost little
	re   func() *regexp.Regexp
	text string // may use the expression's groups as $1, $2
}

// pattern compiles an expression when it is first tried: every start of the program pays for what its packages make before main.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// rules is the table of known causes. What is said of the machine ranks before what is said of the package: a full disk breaks everything after it. Tests come last: a suite prints
// much that looks like failure.
var rules = []rule{
	{KindDiskFull, 100, []string{"No space left on device", "Disk quota exceeded"}, nil, "the disk is full: give the build more space (--scratch disk), or free some"},
	{KindMemory, 95, []string{"Killed", "memory exhausted", "Cannot allocate memory", "out of memory", "Out of memory", "bad_alloc", "JavaScript heap"},
		pattern(`fatal error: Killed signal terminated program (\S+)|virtual memory exhausted|[Cc]annot allocate memory|std::bad_alloc|\b[Oo]ut of memory\b|Killed$`),
		"memory ran out: build with fewer jobs (-j), or give the build more memory"},
	{KindUnsatisfied, 90, []string{"unmet dependencies", "but it is not installable", "but it is not going to be installed", "Unable to satisfy"}, nil, "the build dependencies cannot be satisfied"},
	{KindPatch, 85, []string{"FAILED -- saving rejects", "Hunk #"}, pattern(`saving rejects|^Hunk #\d+ FAILED`), "a patch does not apply"},
	{KindSource, 84, []string{"dpkg-source: error"}, pattern(`^dpkg-source: error: (.+)$`), "dpkg-source failed: $1"},
	{KindHeader, 80, []string{"No such file or directory"}, pattern(`(?:fatal )?error: ([^ :]+\.(?:h|hh|hpp|hxx|inc|ipp)): No such file or directory`),
		"the header $1 is missing: a build dependency may be"},
	{KindHeader, 80, []string{"file not found"}, pattern(`fatal error: '([^']+)' file not found`), "the header $1 is missing: a build dependency may be"},
	{KindDependency, 78, []string{"ModuleNotFoundError", "ImportError", "No module named"}, pattern(`No module named '?([A-Za-z0-9_.]+)'?`), "the Python module $1 is missing: a build dependency may be"},
	{KindDependency, 78, []string{"Can't locate"}, pattern(`Can't locate (\S+\.pm) in @INC`), "the Perl module $1 is missing: a build dependency may be"},
	{KindDependency, 78, []string{"No package '", "Package '", "was not found in the pkg-config"}, pattern(`(?:No package '([^']+)' found|Package '?([^' ,]+)'?,? (?:required by|was not found))`), "pkg-config does not know $1$2: a build dependency may be missing"},
	// "-- Could NOT find" is what CMake says of what is optional.
	{KindDependency, 77, []string{"Could NOT find"}, pattern(`^(?:CMake Error: |  )Could NOT find (\S+)`), "CMake does not find $1: a build dependency may be missing"},
	{KindDependency, 68, []string{"Could not find a package configuration file"}, pattern(`package configuration file provided by "([^"]+)"`),
		"CMake does not find $1: a build dependency may be missing"},
	{KindDependency, 77, []string{"cannot find package", "no required module provides"}, pattern(`(?:cannot find package "([^"]+)"|no required module provides package (\S+))`), "the Go package $1$2 is missing: a build dependency may be"},
	{KindDependency, 77, []string{"Cannot find module"}, pattern(`Cannot find module '([^']+)'`), "the Node module $1 is missing: a build dependency may be"},
	{KindDependency, 77, []string{"Unmet build dependencies"}, pattern(`Unmet build dependencies: (.+)$`), "build dependencies are not installed: $1"},
	{KindDependency, 76, []string{"not found"}, pattern(`(?:/bin/sh: \d+: |bash: (?:line \d+: )?|make(?:\[\d+\])?: )([A-Za-z0-9_.+/-]+): (?:command )?not found$`), "the command $1 is missing: a build dependency may be"},
	{KindDependency, 76, []string{"No such file or directory"}, pattern(`^make(?:\[\d+\])?: ([A-Za-z0-9_.+-]+): No such file or directory$`), "the command $1 is missing: a build dependency may be"},
	{KindDependency, 74, []string{"configure: error: "}, pattern(`configure: error: (.+)$`), "configure gave up: $1"},
	{KindInstallFile, 75, []string{"Cannot find (any matches for)", "missing files, aborting"}, pattern(`Cannot find \(any matches for\) "([^"]+)"`),
		"a file that debian/*.install names was not built: $1"},
	{KindInstallFile, 73, []string{"missing files, aborting"}, nil, "a file that debian/*.install names was not built"},
	{KindNotInstalled, 72, []string{"but is not installed to anywhere"}, pattern(`dh_missing: (?:warning|error): (\S+) exists in`), "$1 is built, but in no package (dh_missing)"},
	{KindCompile, 70, []string{"error: ", "error["}, pattern(`^\S[^:]*:\d+(?::\d+)?: (?:fatal )?error: (.+)$|^error(?:\[E\d+\])?: (.+)$`), "a compile error: $1$2"},
	{KindCompile, 70, []string{"error: "}, pattern(`^\S+\.java:\d+: error: (.+)$`), "a compile error: $1"},
	{KindLink, 69, []string{"undefined reference to"}, pattern("undefined reference to [`'‘]([^'’]+)['’]"), "the linker misses $1"},
	{KindLink, 69, []string{"cannot find -l", "unable to find library"}, pattern(`(?:cannot find -l|unable to find library -l)(\S+?):?(?: .*)?$`), "the library $1 is missing: a build dependency may be"},
	{KindNetwork, 60, []string{"resolve host", "name resolution", "getaddrinfo", "etwork is unreachable", "Name or service not known", "dial tcp", "Failed to establish a new connection", "Could not connect", "nodename nor servname"},
		pattern(`(?i)(?:could not|couldn't|unable to|cannot) resolve|name resolution|getaddrinfo|network is unreachable|name or service not known|dial tcp|establish a new connection|could not connect|servname`),
		"something tried to use the network, which a build has not"},
	{KindTest, 50, []string{"dh_auto_test: error", "tests failed", "test failed", "Failed test", "failed", "FAIL"}, pattern(
		`dh_auto_test: error|\b[1-9]\d* tests? failed\b|^=+ (?:.*\D)?[1-9]\d* failed|^FAILED \(|^# (?:FAIL|ERROR): +[1-9]|^FAIL: \S|^\s*--- FAIL: \S|^\s*(?:Failed tests?|test failed)`), "tests fail"},
}

// Explainer looks at the lines of a log, as they are written, for known causes of a failure. It keeps one line per rule, so that its memory is bounded. What it finds means nothing
// when the build succeeds.
type Explainer struct {
	found map[int]Cause
}

// NewExplainer makes an Explainer.
func NewExplainer() *Explainer { return &Explainer{found: map[int]Cause{}} }

// quietSections are those in which no line says why a build failed: lists of packages, control files.
var quietSections = []string{"Build environment", "Changes", "Buildinfo", "Package contents", "Cleanup", "Summary"}

// Line looks at one line of a section ("" for the header).
func (e *Explainer) Line(section string, line Line) {
	if slices.Contains(quietSections, section) {
		return
	}
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
		e.found[i] = Cause{Kind: r.kind, Line: line, Text: VisibleString(text)}
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
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(rules[b].rank-rules[a].rank, e.found[a].Line.Number-e.found[b].Line.Number, a-b)
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
