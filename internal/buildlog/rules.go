package buildlog

import (
	"regexp"
	"sync"
)

// Kinds of causes.
const (
	KindDiskFull     = "disk-full"
	KindMemory       = "out-of-memory"
	KindTime         = "time-limit"
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
	KindSymbols      = "symbols"
	KindSource       = "unpack-failed"
	KindLocale       = "locale"
	KindRoot         = "root-needed"
	KindOutside      = "outside-the-tree"
	KindClock        = "date"
	KindMakefile     = "makefile-error"
	KindDebhelper    = "debhelper"       // a program of debhelper's or dpkg's says why it ended
	KindException    = "exception"       // a program ended with it
	KindCommand      = "command-failed"  // and no more is known
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
	re   *expression
	text string // may use the expression's groups as $1, $2

	needs   *neighbour // a line nearby without which the line says nothing
	testing bool       // it tells that what failed was the running of tests
	// Whether a line that looks so is the cause where the step that failed has ended soon after it,
	// and nothing else that could be one was found.
	sure    bool
	missing Missing // what is missing, whose name is the expression's group; "" for nothing
}

// Missing is a kind of thing that a package may have which is not installed.
type Missing string

// What may be missing.
const (
	MissingHeader     Missing = "header"
	MissingPkgConfig  Missing = "pkg-config file"
	MissingCMake      Missing = "CMake package"
	MissingPython     Missing = "Python module"
	MissingPerl       Missing = "Perl module"
	MissingCommand    Missing = "command"
	MissingLibrary    Missing = "library"
	MissingDebhelper  Missing = "addon of debhelper"
	MissingMacro      Missing = "macro of autoconf"
	mayBe                     = ": a build dependency may be"
	mayBeMissing              = ": a build dependency may be missing"
	lowestOfSuspicion         = 40 // causes below say where, not why
)

// expression is a regular expression that is compiled when it is first tried: every start of the
// program pays for what its packages make before main. As it is written here, nothing is made.
type expression struct {
	text     string
	once     sync.Once
	compiled *regexp.Regexp
}

func pattern(text string) *expression { return &expression{text: text} }

func (x *expression) regexp() *regexp.Regexp {
	x.once.Do(func() { x.compiled = regexp.MustCompile(x.text) })
	return x.compiled
}

// rules is the table of known causes. What is said of the machine ranks before what is said of the
// package: a full disk breaks everything after it. Tests come last, since a suite prints much that
// looks like failure; they come first where it is known that the running of tests is what failed.
var rules = [...]rule{
	{kind: KindDiskFull, rank: 100, has: []string{"No space left on device", "Disk quota exceeded"},
		text: "the disk is full: give the build more space (--scratch disk), or free some"},
	{kind: KindMemory, rank: 95,
		has: []string{"Killed", "memory exhausted", "annot allocate memory", "out of memory",
			"Out of memory", "bad_alloc", "JavaScript heap"},
		re: pattern(
			`fatal error: Killed signal terminated program (\S+)|virtual memory exhausted|` +
				`[Cc]annot allocate memory|std::bad_alloc|\b[Oo]ut of memory\b|Killed$`),
		text: "memory ran out: build with fewer jobs (-j), or give the build more memory"},
	{kind: KindUnsatisfied, rank: 91, sure: true, has: []string{" Depends: "},
		re: pattern(`-dummy\S* : Depends: (\S+(?: \([^)]+\))?) (but it is not .*|` +
			`but .* is to be installed)$`),
		text: "the build dependency $1 cannot be satisfied, $2"},
	{kind: KindUnsatisfied, rank: 90,
		has: []string{"unmet dependencies", "but it is not installable",
			"but it is not going to be installed", "Unable to satisfy"},
		text: "the build dependencies cannot be satisfied"},
	{kind: KindPatch, rank: 87, sure: true, has: []string{"is correctly applied by quilt",
		"does not apply"},
		re: pattern(`if patch '([^']+)' is correctly applied|` +
			`^Patch (\S+) does not apply \(enforce`), text: "the patch $1$2 does not apply"},
	{kind: KindPatch, rank: 85, has: []string{"FAILED -- saving rejects", "Hunk #"},
		re: pattern(`saving rejects|^Hunk #\d+ FAILED`), text: "a patch does not apply"},
	{kind: KindSource, rank: 84, sure: true, has: []string{"dpkg-source: error"},
		re: pattern(`^dpkg-source: error: (.+)$`), text: "dpkg-source failed: $1"},

	{kind: KindHeader, rank: 80, sure: true, missing: MissingHeader,
		has: []string{"No such file or directory"},
		re: pattern(`fatal error: ([^ :'"]+): No such file or directory|` +
			` error: ([^ :'"]+\.(?:h|hh|hpp|hxx|inc|ipp)): No such file or directory`),
		text: "the header $1$2 is missing" + mayBe},
	{kind: KindHeader, rank: 80, sure: true, missing: MissingHeader, has: []string{"file not found"},
		re:   pattern(`fatal error: '([^']+)' file not found`),
		text: "the header $1 is missing" + mayBe},
	{kind: KindDependency, rank: 79, sure: true, missing: MissingDebhelper,
		has:  []string{"unable to load addon"},
		re:   pattern(`^dh: error: unable to load addon ([\w-]+):`),
		text: "debhelper has no addon $1" + mayBeMissing},
	// Tests that are skipped name the module that they lack, within a line or a comment of TAP.
	{kind: KindDependency, rank: 78, sure: true, missing: MissingPython,
		has: []string{"No module named"},
		re: pattern(`^(?:E +)?(?:(?:ModuleNotFound|Import)Error: |/\S*python[0-9.]*: )` +
			`No module named '?([A-Za-z0-9_.]+)'?`),
		text: "the Python module $1 is missing" + mayBe},
	{kind: KindDependency, rank: 78, sure: true, missing: MissingPython,
		has:  []string{"BackendUnavailable"},
		re:   pattern(`BackendUnavailable: Cannot import '([\w.]+)'`),
		text: "the Python module $1 is missing" + mayBe},
	{kind: KindDependency, rank: 78, sure: true, missing: MissingPerl, has: []string{"Can't locate"},
		re:   pattern(`^Can't locate (\S+\.pm) in @INC`),
		text: "the Perl module $1 is missing" + mayBe},
	{kind: KindDependency, rank: 78, missing: MissingPkgConfig,
		has: []string{"No package '", "Package '", "was not found in the pkg-config"},
		re: pattern(`(?:No package '([^']+)' found|` +
			`Package '?([^' ,]+)'?,? (?:required by|was not found))`),
		text: "pkg-config does not know $1$2" + mayBeMissing, needs: &gaveUp},
	{kind: KindDependency, rank: 79, sure: true, missing: MissingPkgConfig,
		has:  []string{"ERROR: Dependency "},
		re:   pattern(`ERROR: Dependency ["']([^"']+)["'] (?:is required but )?not found`),
		text: "meson does not find $1" + mayBeMissing},
	{kind: KindDependency, rank: 79, sure: true, missing: MissingCommand,
		has:  []string{"ERROR: Program"},
		re:   pattern(`ERROR: Program(?:\(s\))? \[?'([^']+)'\]? not found`),
		text: "the command $1 is missing" + mayBe},
	{kind: KindDependency, rank: 79, sure: true, missing: MissingLibrary,
		has:  []string{" library '"},
		re:   pattern(`ERROR: \S+ (?:shared |static )?library '([^']+)' not found`),
		text: "the library $1 is missing" + mayBe},
	{kind: KindDependency, rank: 77, missing: MissingCMake, has: []string{"Could NOT find"},
		re:   pattern(`^(?:CMake Error: |  )Could NOT find (\S+)`),
		text: "CMake does not find $1" + mayBeMissing, needs: &cmakeError},
	{kind: KindDependency, rank: 68, missing: MissingCMake,
		has:  []string{"Could not find a package configuration file"},
		re:   pattern(`package configuration file provided by "([^"]+)"`),
		text: "CMake does not find $1" + mayBeMissing, needs: &cmakeError},
	{kind: KindDependency, rank: 77, missing: MissingMacro,
		has: []string{"possibly undefined macro", "configure: line "},
		re: pattern(`error: possibly undefined macro: (\w+)|` +
			"configure: line \\d+: [`']\\s*([A-Z][A-Z0-9_]{3,})\\("),
		text: "the macro $1$2 is missing" + mayBe},
	{kind: KindDependency, rank: 77,
		has: []string{"cannot find package", "no required module provides",
			"cannot find module providing", "no matching package named"},
		re: pattern(`(?:cannot find package "([^"]+)"|` +
			`no required module provides package (\S+?);?(?:\s|$)|` +
			`cannot find module providing package (\S+?):?(?:\s|$)|` +
			`no matching package named .(\S+?). found)`),
		text: "the package $1$2$3$4 is missing" + mayBe},
	{kind: KindDependency, rank: 77, has: []string{"Cannot find module"},
		re:   pattern(`Cannot find module '([^']+)'`),
		text: "the Node module $1 is missing" + mayBe},
	{kind: KindDependency, rank: 77, sure: true, has: []string{"Unmet build dependencies"},
		re:   pattern(`Unmet build dependencies: (.+)$`),
		text: "build dependencies are not installed: $1"},
	{kind: KindDependency, rank: 76, sure: true, missing: MissingCommand, has: []string{"not found"},
		re: pattern(`(?:/bin/sh: \d+: |bash: (?:line \d+: )?|make(?:\[\d+\])?: )` +
			`([A-Za-z0-9_.+/-]+): (?:command )?not found$`),
		text: "the command $1 is missing" + mayBe, needs: &noCommand},
	{kind: KindDependency, rank: 76, sure: true, missing: MissingCommand,
		has:  []string{"No such file or directory"},
		re:   pattern(`^make(?:\[\d+\])?: ([A-Za-z0-9_.+-]+): No such file or directory$`),
		text: "the command $1 is missing" + mayBe, needs: &noCommand},
	{kind: KindDependency, rank: 74, has: []string{"configure: error: "},
		re: pattern(`^configure: error: (.+)$`), text: "configure gave up: $1"},

	{kind: KindInstallFile, rank: 75, sure: true, has: []string{"Cannot find (any matches for)"},
		re:   pattern(`Cannot find \(any matches for\) "([^"]+)"`),
		text: "a file that debian/*.install names was not built: $1"},
	{kind: KindInstallFile, rank: 73, has: []string{"missing files, aborting"},
		re:   pattern(`^dh_install\w*: .*missing files, aborting`),
		text: "a file that debian/*.install names was not built"},
	{kind: KindNotInstalled, rank: 72, sure: true, has: []string{"but is not installed to anywhere"},
		re:   pattern(`dh_missing: (?:warning|error): (\S+) exists in`),
		text: "$1 is built, but in no package (dh_missing)"},
	{kind: KindSymbols, rank: 72, sure: true, has: []string{"#MISSING: "},
		re:   pattern(`^\+\s*#MISSING: \S+#\s*(?:\([^)]*\))?"?([^@"]+?)"?@`),
		text: "the library no longer has the symbol $1 of debian/*.symbols"},
	{kind: KindSymbols, rank: 71, has: []string{"dpkg-gensymbols: error", "dpkg-gensymbols: warning"},
		re:   pattern(`^dpkg-gensymbols: error: (some .*?)(?:: see diff output below)?$`),
		text: "dpkg-gensymbols: $1"},

	{kind: KindCompile, rank: 70, sure: true, has: []string{"error: ", "error["},
		re: pattern(`^\S[^:]*:\d+(?::\d+)?: (?:fatal )?error: (.+)$|` +
			`^error(?:\[E\d+\])?: (.+)$`),
		text: "a compile error: $1$2"},
	{kind: KindCompile, rank: 70, sure: true, has: []string{"error: "},
		re: pattern(`^\S+\.java:\d+: error: (.+)$`), text: "a compile error: $1"},
	{kind: KindCompile, rank: 66, has: []string{".go:"},
		re: pattern(`^(?:\./)?\S+\.go:\d+:\d+: (.+)$`), text: "a compile error: $1"},
	{kind: KindCompile, rank: 66, has: []string{"SyntaxError: "},
		re: pattern(`^(?:E +)?SyntaxError: (.+)$`), text: "a syntax error: $1"},
	{kind: KindMakefile, rank: 71, sure: true, has: []string{"  Stop."},
		re:   pattern(`^(\S+?:\d+): \*\*\* (.+?)\.?  Stop\.$`),
		text: "$1: $2"},
	{kind: KindMakefile, rank: 67, sure: true, has: []string{"No rule to make target"},
		re:   pattern(`\*\*\* No rule to make target ['‘]([^'’]+)['’]`),
		text: "make knows no rule to make $1"},
	{kind: KindLink, rank: 69, sure: true,
		has: []string{"undefined reference to", "undefined symbol: "},
		re: pattern("undefined reference to [`'‘]([^'’]+)['’]|" +
			`ld\.lld: error: undefined symbol: (\S+)`),
		text: "the linker misses $1$2"},
	{kind: KindLink, rank: 69, sure: true, has: []string{"multiple definition of"},
		re:   pattern("multiple definition of [`'‘]([^'’]+)['’]"),
		text: "the linker has found a multiple definition of $1"},
	{kind: KindLink, rank: 69, sure: true, has: []string{"recompile with -f"},
		re:   pattern(`relocation (R_\w+) .*recompile with (-f\w+)`),
		text: "an object was not compiled with $2"},
	{kind: KindLink, rank: 69, sure: true, missing: MissingLibrary,
		has:  []string{"cannot find -l", "unable to find library"},
		re:   pattern(`(?:cannot find -l|unable to find library -l)(\S+?):?(?: .*)?$`),
		text: "the library $1 is missing" + mayBe},

	{kind: KindLocale, rank: 62,
		has: []string{"unsupported locale setting", "_S_create_c_locale", "annot set locale",
			"cannot change locale"},
		re: pattern(`^locale\.Error: unsupported locale|_S_create_c_locale name not valid|` +
			`[Cc]annot set locale`),
		text: "a locale is wanted that a build has not; " +
			"C.UTF-8 is there, locales-all has the others"},
	{kind: KindRoot, rank: 64,
		has: []string{"Operation not permitted", "be root", "be run as root", "as root"},
		re: pattern(`(?:cannot change ownership of|changing ownership of|cannot change owner|` +
			`mknod|chroot)` +
			`.*Operation not permitted|(?i:(?:must|need to|have to|should) be (?:run as )?root)`),
		text: "root is wanted, which a build is not: see Rules-Requires-Root, " +
			"or leave owners to dh_fixperms"},
	{kind: KindOutside, rank: 63, has: []string{"/nonexistent"},
		re: pattern(`['‘" ](/nonexistent[^'’": ]*).*(?:Permission denied|No such file)|` +
			`(?:Permission denied|No such file or directory): ['"]?(/nonexistent[^'" ]*)`),
		text: "something uses the home directory, which a build has not: $1$2"},
	{kind: KindOutside, rank: 58, has: []string{"Permission denied", "Read-only file system"},
		re: pattern(`['‘" ](/[^<'’": ][^'’": ]*)['’"]?: (?:Permission denied|Read-only file system)|` +
			`(?:Permission denied|Read-only file system): ['"]?(/[^<'" ][^'" ]*)`),
		text: "something writes to $1$2, outside of the build directory"},
	{kind: KindClock, rank: 61,
		has: []string{"certificate has expired", "certificate is not yet valid", "Clock skew detected",
			"is expired"},
		re: pattern(`certificate has expired|certificate is not yet valid|Clock skew detected|` +
			`(?i)\b(?:key|signature|certificate) is expired`),
		text: "a certificate or a signature has expired, or the clock is wrong"},
	{kind: KindNetwork, rank: 60,
		has: []string{"resolve host", "name resolution", "getaddrinfo", "etwork is unreachable",
			"Name or service not known", "dial tcp", "Failed to establish a new connection",
			"Could not connect", "nodename nor servname", "No matching distribution found"},
		re: pattern(`(?i)(?:could not|couldn't|unable to|cannot) resolve|name resolution|` +
			`getaddrinfo|network is unreachable|name or service not known|dial tcp|` +
			`establish a new connection|could not connect|servname|No matching distribution`),
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

	{kind: KindTest, rank: 53, sure: true, has: []string{"FAILED ", "ERROR "}, // pytest's summary
		re: pattern(`^(?:FAILED|ERROR) ([^\s:]+::\S+)`), text: "the test $1 fails"},
	{kind: KindTest, rank: 52, sure: true, has: []string{" FAILED"}, // pytest -v, cargo
		re:   pattern(`^([^\s:]+\.py::\S+) FAILED\b|^test (\S+)(?: - should panic)? \.\.\. FAILED$`),
		text: "the test $1$2 fails"},
	{kind: KindTest, rank: 52, sure: true, has: []string{"FAIL: ", "ERROR: "}, // unittest, automake
		re:   pattern(`^(?:FAIL|ERROR): (\w+ \([\w.]+\)|[\w./+-]+)(?:$| \d| - )`),
		text: "the test $1 fails"},
	{kind: KindTest, rank: 52, sure: true, has: []string{"--- FAIL: "},
		re: pattern(`^\s*--- FAIL: (\S+)`), text: "the test $1 fails"},
	{kind: KindTest, rank: 53, sure: true, has: []string{" (Wstat: "},
		re: pattern(`^(\S+)\s+\(Wstat: [1-9]`), text: "the test $1 fails"},
	{kind: KindTest, rank: 52, sure: true, has: []string{" - "}, // ctest
		re: pattern(`^\s+\d+ - (\S.*?) \((?:Failed|Timeout|SEGFAULT|Not Run|ILLEGAL|NUMERICAL|` +
			`OTHER_FAULT|SIGTRAP|Child aborted|Subprocess aborted|Bus error)\)`),
		text: "the test $1 fails"},
	{kind: KindTest, rank: 52, sure: true, has: []string{" FAIL ", " TIMEOUT ", " ERROR "}, // meson
		re:   pattern(`^\s*\d+/\d+ (.+?)\s+(?:FAIL|TIMEOUT|ERROR)\s+\d+\.\d+\s*s`),
		text: "the test $1 fails"},
	{kind: KindTest, rank: 51, sure: true, has: []string{"Assertion "},
		re:   pattern("(\\S+:\\d+): .*Assertion [`'‘](.+)['’] failed"),
		text: "an assertion of $1 fails: $2"},
	{kind: KindTest, rank: 50, has: []string{"not ok "},
		re: pattern(`^not ok \d+ - ([^#]+?)\s*$`), text: "the test “$1” fails"},
	{kind: KindTest, rank: 49,
		has: []string{"tests failed", "test failed", "Failed test", "failed", "FAIL"},
		re: pattern(`\b[1-9]\d* tests? failed\b|^=+ (?:.*\D)?[1-9]\d* failed|^FAILED \(|` +
			`^# (?:FAIL|ERROR): +[1-9]|^FAIL: \S|^\s*--- FAIL: \S|` +
			`^\s*(?:Failed tests?|test failed)`),
		text: "tests fail"},
	{kind: KindTest, rank: 48, has: []string{"dh_auto_test"},
		re: pattern(`^dh_auto_test: error|` +
			`^make(?:\[\d+\])?: \*\*\* \[debian/rules:\d+: override_dh_auto_test`),
		text: "tests fail", testing: true},

	{kind: KindDebhelper, rank: 30, has: []string{"dh", "dpkg-"},
		re:   pattern(`^((?:dh|dpkg)[\w-]*): error: (.+)$`),
		text: "$1: $2"},
	{kind: KindException, rank: 15, has: []string{"Error: ", "Exception: "},
		re: pattern(`^((?:\w+\.)*\w+(?:Error|Exception): .+)$`), text: "a program ended with $1"},
	{kind: KindCommand, rank: 5, has: []string{"*** ["},
		re:   pattern(`^make(?:\[\d+\])?: \*\*\* \[(\S+): (\S+)\] (Error \d+|\w+)$`),
		text: "make failed at $2 ($1, $3)"},
}
