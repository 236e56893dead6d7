package buildlog

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSteps reads what dpkg-buildpackage and debhelper say that they run, and nothing else.
func TestSteps(t *testing.T) {
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	l := New(io.Discard, Options{Now: func() time.Time { now = now.Add(time.Second); return now }})
	fmt.Fprintln(l, " dpkg-source -b .") // before
	l.BeginSteps()
	fmt.Fprint(l, `dpkg-buildpackage: info: source package hello
 dpkg-source --before-build .
 debian/rules binary
dh binary
   dh_auto_configure
	./configure --build=x
checking for dh_x... no
   debian/rules override_dh_auto_test
make[1]: Entering directory '/build'
	dh_auto_test -- V=1
   dh_`+strings.Repeat("x", 100)+`
   debian/rules
 dpkg-genchanges --build=binary >../x.changes
`)
	var names []string
	for i, s := range l.Steps() {
		names = append(names, fmt.Sprint(s.Line, " ", s.Name))
		if i > 0 && s.Begun.Before(l.Steps()[i-1].Begun) {
			t.Error("a step begins before the one before it")
		}
	}
	fmt.Fprintln(l, "   dh_late")
	want := []string{"3 dpkg-source", "4 debian/rules binary", "6 dh_auto_configure",
		"9 debian/rules override_dh_auto_test", "14 dpkg-genchanges"}
	if diff := cmp.Diff(want, names); diff != "" || len(l.Steps()) != len(want) {
		t.Error(diff)
	}
	l.BeginSteps()
	for range 2 * maxSteps {
		fmt.Fprintln(l, "   dh_x")
	}
	if n := len(l.Steps()); n != maxSteps {
		t.Errorf("%d steps", n)
	}
}
