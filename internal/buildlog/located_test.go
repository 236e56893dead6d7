package buildlog

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestLocated finds the places that compilers and make name, where make was when it did.
func TestLocated(t *testing.T) {
	l := New(io.Discard, Options{})
	fmt.Fprintln(l, "early.c:1:1: error: not yet")
	l.Section("Build")
	fmt.Fprint(l, `conftest.c:1:2: error: merely tried
make[1]: Entering directory '/<<PKGBUILDDIR>>/src'
greet.c:6:23: error: expected `+"\x1b[31m"+`‘;’
greet.c:6:23: error: expected `+"\x1b[31m"+`‘;’
make[1]: Leaving directory '/<<PKGBUILDDIR>>/src'
/<<PKGBUILDDIR>>/a.cc:1: fatal error: b.h: No such file or directory
error[E0425]: cannot find value
 --> src/main.rs:2:5
./x.go:3:4: undefined: y
debian/rules:3: *** missing separator.  Stop.
Main.java:7: error: ';' expected
CMake Error at CMakeLists.txt:9 (message):

  no such thing
warning: not an error
note: x.c:1:2: no error
`)
	want := []Located{
		{File: "greet.c", Dir: "/<<PKGBUILDDIR>>/src", At: 6, Column: 23,
			Text: "expected ^[[31m‘;’"},
		{File: "/<<PKGBUILDDIR>>/a.cc", At: 1, Text: "b.h: No such file or directory"},
		{File: "src/main.rs", At: 2, Column: 5, Text: "cannot find value"},
		{File: "./x.go", At: 3, Column: 4, Text: "undefined: y"},
		{File: "debian/rules", At: 3, Text: "missing separator"},
		{File: "Main.java", At: 7, Text: "';' expected"},
		{File: "CMakeLists.txt", At: 9, Text: "no such thing"},
	}
	if diff := cmp.Diff(want, l.Located(), cmpopts.IgnoreFields(Located{}, "Line")); diff != "" {
		t.Error(diff)
	}
	for i := range 100 {
		fmt.Fprintf(l, "many.c:%d:1: error: x\nmake: Entering directory '/x'\n", i)
	}
	fmt.Fprintf(l, "%s:1:1: error: x\n", strings.Repeat("x", 10*maxLine))
	if n := len(l.Located()); n != maxLocated {
		t.Errorf("%d are kept", n)
	}
}
