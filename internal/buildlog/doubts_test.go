package buildlog

import (
	"strings"
	"testing"
)

// TestExplainCompany holds lines that are causes only in the company of another one: what is looked
// for and not found is mostly optional.
func TestExplainCompany(t *testing.T) {
	for _, tt := range []struct{ lines, cause string }{
		{"configure: error: Package requirements (gtk+-3.0) were not met:\n\nNo package " +
			"'gtk+-3.0' found",
			"pkg-config does not know gtk+-3.0: a build dependency may be missing"},
		{"checking for GTK... no\nNo package 'gtk+-3.0' found", ""},
		{"Package 'libfoo', required by 'virtual:world', not found\n" +
			"../meson.build:10:0: ERROR: Dependency \"libfoo\" not found, tried pkgconfig",
			"meson does not find libfoo: a build dependency may be missing"},
		{"--   No package 'xau' found\nCMake Error at FindPkgConfig.cmake:607 (message):",
			"pkg-config does not know xau: a build dependency may be missing"},
		{"Package zint was not found in the pkg-config search path.\ngcc -c a.c", ""},
		{"CMake Error at FindPackageHandleStandardArgs.cmake:230 (message):\n  Could NOT find " +
			"ZLIB (missing: A)",
			"CMake does not find ZLIB: a build dependency may be missing"},
		{"CMake Warning at FindPackageHandleStandardArgs.cmake:230 (message):\n  Could NOT find " +
			"ZLIB (missing: A)", ""},
		{"CMake Error at a.cmake:1 (x):\nCMake Warning at b.cmake:2 (message):\n  Could NOT find " +
			"ZLIB (missing: A)", ""},
		{"CMake Error at CMakeLists.txt:5 (find_package):\n  Could not find a package " +
			"configuration file provided by \"Qt6\" with any of",
			"CMake does not find Qt6: a build dependency may be missing"},
		{"CMake Warning at CMakeLists.txt:5 (find_package):\n  Could not find a package " +
			"configuration file provided by \"Qt6\" with any of", ""},
		{"/bin/sh: 1: xsltproc: not found\nmake[2]: *** [Makefile:7: doc] Error 127",
			"the command xsltproc is missing: a build dependency may be"},
		{"/bin/sh: 1: xsltproc: not found\ngcc -c a.c\ngcc -c b.c\ngcc -c c.c\nmake: *** " +
			"[Makefile:7: doc] Error 127", "make failed at doc (Makefile:7, Error 127)"},
		{"make[1]: cmake: No such file or directory\nmake[1]: *** [debian/rules:9: " +
			"override_dh_auto_configure] Error 127",
			"the command cmake is missing: a build dependency may be"},
		{"make[1]: pkg-config: No such file or directory\ngcc -c a.c", ""},
	} {
		got := ""
		if causes := explained(strings.Split(tt.lines, "\n")...); len(causes) > 0 {
			got = causes[0].Text
		}
		if got != tt.cause {
			t.Errorf("%q: %q, want %q", tt.lines, got, tt.cause)
		}
	}
}

// TestExplainProbes holds what configuration programs print, or log, about what they merely try.
func TestExplainProbes(t *testing.T) {
	for _, lines := range []string{
		"conftest.c:9:10: fatal error: minix/config.h: No such file or directory",
		"| conftest.c:9:10: fatal error: minix/config.h: No such file or directory",
		"| /usr/bin/ld: cannot find -lsocket: No such file or directory",
		"conftest.cpp:3:1: error: 'bool' does not name a type",
		"conftest.c:(.text+0x4): undefined reference to `strlcpy'",
		"/build/x/obj/CMakeFiles/CMakeScratch/TryCompile-4d1x/src.c:1:10: fatal error: " +
			"sys/byteorder.h: No such file or directory",
		"/build/x/CMakeFiles/CMakeTmp/CheckIncludeFile.c:1:10: fatal error: io.h: No such file " +
			"or directory",
		"/build/x/obj/meson-private/tmpq1w2/testfile.c:2:10: fatal error: sys/cdefs.h: No such " +
			"file or directory",
		".sconf_temp/conftest_3.c:4:10: fatal error: jack/jack.h: No such file or directory",
		"_configtest.c:1:10: fatal error: linux/foo.h: No such file or directory",
		"<stdin>:1:10: fatal error: libelf.h: No such file or directory",
		"try.c:5:10: fatal error: ndbm.h: No such file or directory",
		"configure:3743: gcc -E  conftest.c\n/usr/bin/ld: cannot find -lnsl: No such file or " +
			"directory\nconfigure:3749: $? = 1",
		"==> config.log <==\n/usr/bin/ld: cannot find -lnsl: No such file or " +
			"directory\ntest.c:1: error: x\nconfigure: exit 77",
		"==> meson-logs/meson-log.txt <==\n/usr/bin/ld: cannot find -lrt_x: No such file or " +
			"directory",
		"SKIPPED [1] tests/test_x.py:3: could not import 'numpy': No module named 'numpy'",
		"ok 3 # skip Can't locate Test/Pod.pm in @INC",
		"checking whether gcc knows __has_include... conftest.c:4:10: fatal error: nothing.h: No " +
			"such file or directory",
	} {
		if causes := explained(strings.Split(lines, "\n")...); len(causes) != 0 {
			t.Errorf("%q: %+v", lines, causes)
		}
	}
	causes := explained("==> config.log <==", "test.c:1: error: x",
		"dh_auto_configure: error: ./configure returned exit code 77",
		"make[1]: Entering directory '/x'", "a.c:1:10: fatal error: b.h: No such file or directory")
	if len(causes) == 0 || causes[0].Kind != KindHeader {
		t.Errorf("behind a log: %+v", causes)
	}
}

// TestExplainFailedTest is the log of a build whose tests fail, among much else that looks like a
// cause: the suite shows config.log, and a test compiles what must not compile.
func TestExplainFailedTest(t *testing.T) {
	causes := explained("   dh_auto_configure",
		"checking for minix/config.h... no",
		"x.c:1:10: fatal error: early.h: No such file or directory",
		"   dh_auto_build", "curl: (6) Could not resolve host: example.org",
		"   dh_auto_test", "151: listing owned files   FAILED (owned.at:1)", "FAIL: owned",
		"bad.c:3:1: error: expected ';'",
		"| conftest.c:9:10: fatal error: minix/config.h: No such file or directory",
		"write error: No space left on device",
		"make[1]: *** [Makefile:2: check] Error 1",
		"dh_auto_test: error: make -j2 check returned exit code 2")
	if len(causes) == 0 || causes[0].Kind != KindTest || causes[0].Line.Number != 8 {
		t.Errorf("%+v", causes)
	}
	for _, c := range causes {
		if c.Kind == KindHeader || c.Kind == KindNetwork {
			t.Errorf("survived, and still a cause: %+v", c)
		}
	}
	causes = explained("   dh_auto_test",
		"check.c:3:10: fatal error: check.h: No such file or directory",
		"dh_auto_test: error: make -j2 check returned exit code 2")
	if len(causes) == 0 || causes[0].Kind != KindHeader {
		t.Errorf("the tests could not be compiled: %+v", causes)
	}
	causes = explained("   dh_auto_test", "PASS: full (cat: write error: No space left on device)",
		"Killed",
		"   dh_install", "make: *** [debian/rules:3: binary] Error 2")
	if len(causes) != 1 || causes[0].Kind != KindCommand || causes[0].Sure {
		t.Errorf("a suite that passed: %+v", causes)
	}
	causes = explained("   dh_auto_build", "cp: error writing 'a': No space left on device",
		"   dh_install", "cp: error writing 'b': No space left on device")
	if len(causes) != 1 || causes[0].Kind != KindDiskFull || causes[0].Line.Number != 4 {
		t.Errorf("a full disk: %+v", causes)
	}
	causes = explained(
		"dh_missing: warning: usr/lib/x.la exists in debian/tmp but is not installed to anywhere",
		"dh_missing: error: missing files, aborting")
	if len(causes) == 0 || causes[0].Kind != KindNotInstalled || !causes[0].Sure {
		t.Errorf("%+v", causes)
	}
}
