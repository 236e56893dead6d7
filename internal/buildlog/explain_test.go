package buildlog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// explained is the best cause found in some lines of the section Build.
func explained(lines ...string) []Cause {
	e := NewExplainer()
	for i, l := range lines {
		e.Line("Build", Line{Number: i + 1, Text: l})
	}
	return e.Causes()
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct{ line, kind, text string }{
		{"x.c:1:10: fatal error: nothere.h: No such file or directory", KindHeader,
			"the header nothere.h is missing: a build dependency may be"},
		{"src/a.cc:3:10: fatal error: 'boost/any.hpp' file not found", KindHeader,
			"the header boost/any.hpp is missing: a build dependency may be"},
		{"main.c:12:3: error: unknown type name 'foo'", KindCompile,
			"a compile error: unknown type name 'foo'"},
		{"../src/x.cpp:4: error: expected ';'", KindCompile, "a compile error: expected ';'"},
		{"error[E0432]: unresolved import `foo`", KindCompile,
			"a compile error: unresolved import `foo`"},
		{"./src/A.java:7: error: cannot find symbol", KindCompile,
			"a compile error: cannot find symbol"},
		{"/usr/bin/ld: a.c:(.text+0x5): undefined reference to `foo'", KindLink,
			"the linker misses foo"},
		{"/usr/bin/ld: cannot find -lfoo: No such file or directory", KindLink,
			"the library foo is missing: a build dependency may be"},
		{"/usr/bin/ld: cannot find -lbar", KindLink,
			"the library bar is missing: a build dependency may be"},
		{"ModuleNotFoundError: No module named 'setuptools_scm'", KindDependency,
			"the Python module setuptools_scm is missing: a build dependency may be"},
		{"/usr/bin/python3: No module named pytest", KindDependency,
			"the Python module pytest is missing: a build dependency may be"},
		{"Can't locate Foo/Bar.pm in @INC (you may need to install the Foo::Bar module)",
			KindDependency, "the Perl module Foo/Bar.pm is missing: a build dependency may be"},
		{`a.go:4:2: cannot find package "github.com/x/y" in any of:`, KindDependency,
			"the package github.com/x/y is missing: a build dependency may be"},
		{"Error: Cannot find module 'webpack'", KindDependency,
			"the Node module webpack is missing: a build dependency may be"},
		{"dpkg-checkbuilddeps: error: Unmet build dependencies: foo-dev (>= 2)", KindDependency,
			"build dependencies are not installed: foo-dev (>= 2)"},
		{"configure: error: no acceptable C compiler found", KindDependency,
			"configure gave up: no acceptable C compiler found"},
		{`dh_install: warning: Cannot find (any matches for) "usr/bin/foo" (tried in ., debian/tmp)`, KindInstallFile, "a file that debian/*.install names was not built: usr/bin/foo"},
		{"dh_install: error: missing files, aborting", KindInstallFile,
			"a file that debian/*.install names was not built"},
		{"dh_missing: warning: usr/lib/x.la exists in debian/tmp but is not installed to anywhere",
			KindNotInstalled, "usr/lib/x.la is built, but in no package (dh_missing)"},
		{"curl: (6) Could not resolve host: example.org", KindNetwork,
			"something tried to use the network, which a build has not"},
		{"socket.gaierror: [Errno -3] Temporary failure in name resolution", KindNetwork,
			"something tried to use the network, which a build has not"},
		{`Get "https://example.org/": dial tcp: lookup example.org on [::1]:53`, KindNetwork,
			"something tried to use the network, which a build has not"},
		{"cp: error writing 'x': No space left on device", KindDiskFull,
			"the disk is full: give the build more space (--scratch disk), or free some"},
		{"c++: fatal error: Killed signal terminated program cc1plus", KindMemory,
			"memory ran out: build with fewer jobs (-j), or give the build more memory"},
		{"make[2]: *** [Makefile:10: all] Killed", KindMemory,
			"memory ran out: build with fewer jobs (-j), or give the build more memory"},
		{"terminate called after throwing an instance of 'std::bad_alloc'", KindMemory,
			"memory ran out: build with fewer jobs (-j), or give the build more memory"},
		{"dh_auto_test: error: make -j2 check returned exit code 2", KindTest, "tests fail"},
		{"FAIL: test-getopt", KindTest, "the test test-getopt fails"},
		{"# FAIL:  3", KindTest, "tests fail"},
		{"--- FAIL: TestFoo (0.00s)", KindTest, "the test TestFoo fails"},
		{"FAILED (failures=2, errors=1)", KindTest, "tests fail"},
		{"========= 3 failed, 12 passed in 1.02s =========", KindTest, "tests fail"},
		{"97% tests passed, 2 tests failed out of 66", KindTest, "tests fail"},
		{"mv: cannot move 'a' to 'b': Invalid cross-device link", KindOverlay,
			"the build may have seen an overlay where it needs a plain tree: --scratch copy"},
		{`LTlock ... lock mismatch: expected W, got " "`, KindDevices,
			"the build may have seen an overlay where it needs a plain tree: --scratch copy"},
		{"tar: dir: file changed as we read it", KindDevices,
			"the build may have seen an overlay where it needs a plain tree: --scratch copy"},
		{"Hunk #1 FAILED at 3.", KindPatch, "a patch does not apply"},
		{"1 out of 1 hunk FAILED -- saving rejects to file a.rej", KindPatch,
			"a patch does not apply"},
		{"dpkg-source: error: unpack target exists: hello-2.10", KindSource,
			"dpkg-source failed: unpack target exists: hello-2.10"},
	} {
		causes := explained("harmless", tt.line)
		if len(causes) == 0 || causes[0].Kind != tt.kind || causes[0].Text != tt.text ||
			causes[0].Line.Number != 2 {
			t.Errorf("%q: %v\nwant %s: %s", tt.line, causes, tt.kind, tt.text)
		}
	}
}

// What a build that succeeds prints as well says nothing.
func TestExplainNothing(t *testing.T) {
	for _, line := range []string{
		"checking for error_at_line... yes", "checking for stdint.h... no", "# FAIL:  0",
		"100% tests passed, 0 tests failed out of 66", "cc -Werror -c errors.c",
		"2 passed, 0 failed",
		"checking whether malloc(0) is killed by valgrind... Killed by itself",
		"Looking for network... not found",
		"-- Could NOT find Doxygen (missing: DOXYGEN_EXECUTABLE) (optional)",
		"checking for doxygen... not found", "rm: cannot remove 'x': No such file or directory",
		"PASS: error handling: all",
	} {
		if causes := explained(line); len(causes) != 0 {
			t.Errorf("%q: %v", line, causes)
		}
	}
}

func TestExplainOrder(t *testing.T) {
	causes := explained("FAIL: a", "x.c:3:1: error: one", "y.c:4:1: error: two",
		"curl: (6) Could not resolve host: x", "cp: No space left on device",
		"CMake Error at CMakeLists.txt:3 (message):", "  Could NOT find Doxygen")
	var got []string
	for _, c := range causes {
		got = append(got, fmt.Sprintf("%s:%d", c.Kind, c.Line.Number))
	}
	if s := strings.Join(got,
		" "); s != "disk-full:5 missing-dependency:7 compile-error:2 network-attempt:4 test-failure:1" {
		t.Error(s)
	}
}

func TestExplainSections(t *testing.T) {
	var l *Log
	output(Options{}, func(log *Log) {
		l = log
		l.Section("Package contents")
		write(l, "x.c:1: error: not this\n")
		l.Section("Install package build dependencies")
		write(l, " sbuild-build-depends-main-dummy : Depends: foo but it is not installable\n")
	})
	causes := l.Explain()
	if len(causes) != 1 || causes[0].Kind != KindUnsatisfied || causes[0].Line.Number != 12 {
		t.Errorf("%v", causes)
	}
	output(Options{NoExplain: true}, func(l *Log) {
		write(l, "x.c:1: error: not this\n")
		if l.Explain() != nil {
			t.Error("explained all the same")
		}
	})
}

// The cause in a real log of a failed build.
func TestExplainReal(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "sbuild-0.89-failed.build"))
	if err != nil {
		t.Fatal(err)
	}
	causes := explained(strings.Split(string(text), "\n")...)
	if len(causes) == 0 ||
		causes[0].Text != "the header nothere.h is missing: a build dependency may be" {
		t.Errorf("%v", causes)
	}
}

// Control characters of the log do not reach the terminal through a cause.
func TestExplainSafe(t *testing.T) {
	causes := explained("x.c:1: error: \x1b[2Jgone")
	if len(causes) != 1 || strings.Contains(causes[0].Text, "\x1b") {
		t.Errorf("%+v", causes)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("x.c:1:10: fatal error: nothere.h: No such file or directory")
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range explained(line) {
			if c.Text == "" || c.Kind == "" {
				t.Fatalf("%+v", c)
			}
		}
	})
}
