package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// listFile writes a list, and returns how its lines are named.
func listFile(t *testing.T, text string) (file, at string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, "--list " + file + ":"
}

// TestReadList: a line has a source and its options; a bad one is named, with what to do.
func TestReadList(t *testing.T) {
	file, at := listFile(t, "# all\na # one\n\n b --timeout=4h --jobs=1 --profiles=nocheck,nodoc\n"+
		"c --skip\nd --skip=#1 --memory=2G\n")
	got, err := readList(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []pick{{spec: "a", where: at + "2"},
		{spec: "b", where: at + "4", options: []string{"--timeout=4h", "--jobs=1",
			"--profiles=nocheck,nodoc"}},
		{spec: "c", where: at + "5", skip: "left out by " + at + "5"},
		{spec: "d", where: at + "6", skip: "left out by " + at + "6"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(pick{})); diff != "" {
		t.Errorf("the list (-want +got):\n%s", diff)
	}
	r := pkgbuild.Request{Target: pkgbuild.Target{Profiles: []string{"cross"}}}
	if err := withOwn(&r, got[1].options); err != nil || r.Timeout != 4*time.Hour || r.Jobs != 1 ||
		strings.Join(r.Profiles, " ") != "cross nocheck nodoc" {
		t.Errorf("the request: %v, %d, %q, %v", r.Timeout, r.Jobs, r.Profiles, err)
	}
	for line, c := range map[string]struct{ says, hint string }{
		"a b":              {`"b" is one word too many`, "one SOURCE a line"},
		"-x":               {`"-x" is no source`, "SOURCE [--OPTION=VALUE"},
		"a --timeot=4h":    {"--timeot is no option of one source", "did you mean --timeout?"},
		"a --dist=sid":     {"--dist is no option of one source", "a line's options are --skip"},
		"a --timeout":      {"--timeout has no value", "--timeout=VALUE"},
		"a --timeout=soon": {`invalid duration "soon"`, ""},
		"a --jobs=-1":      {"-1 is negative", ""},
		"a --memory=much":  {"much", ""},
	} {
		file, at := listFile(t, "x\n"+line+"\n")
		_, err := readList(file)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), at+"2: ") ||
			!strings.Contains(err.Error(), c.says) ||
			!strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: %v, hint %q", line, err, fault.HintOf(err))
		}
	}
}

// logTo is a log of which a test reads what was said.
func logTo(out io.Writer) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(out)
	return log
}

// suiteOf has sources of these names.
func suiteOf(names ...string) *pkgbuild.Suite {
	s := &pkgbuild.Suite{Name: "bookworm"}
	s.Context.HostArch, s.Context.ArchAny, s.Context.ArchAll = "amd64", true, true
	for _, n := range names {
		s.Sources = append(s.Sources, &pkgbuild.SourceOffer{Package: n, Version: "1",
			Architecture: "any", Section: "contrib/perl"})
	}
	return s
}

// TestKnown: names are looked up before anything is built: the first that does not exist is named
// with its line and what it may have been, and what is not for the architecture is left out.
func TestKnown(t *testing.T) {
	suite := suiteOf("hello", "helper", "tree", "zsys")
	suite.Sources[3].Architecture = "arm64 armhf"
	var said strings.Builder
	picks := []pick{{spec: "hello"}, {spec: "zsys", where: "--list l:3"}, {spec: "tree=1"},
		{spec: "x.dsc"}, {spec: "other/sid"}}
	if err := known(picks, suite, logTo(&said)); err != nil {
		t.Error(err)
	}
	if picks[1].skip != "it is for arm64 armhf, not for amd64" || picks[0].skip != "" ||
		!strings.Contains(said.String(), "--list l:3: zsys") {
		t.Errorf("%+v, %s", picks, said.String())
	}
	picks = append(picks, pick{spec: "helo", where: "--list l:7"}, pick{spec: "none"})
	err := known(picks, suite, logTo(io.Discard))
	if err == nil || err.Error() != "--list l:7: no source helo is in bookworm; and 1 more are not: "+
		"none" || fault.HintOf(err) != "did you mean hello?" {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// TestOnce: what is named twice is built once, and that is said; with other options it is an error.
func TestOnce(t *testing.T) {
	var said strings.Builder
	picks, err := once([]pick{{spec: "a"}, {spec: "b"}, {spec: "a", where: "--list l:2"}},
		logTo(&said))
	if err != nil || len(picks) != 2 || !strings.Contains(said.String(), "--list l:2: a is named") {
		t.Errorf("%+v, %v, %s", picks, err, said.String())
	}
	_, err = once([]pick{{spec: "a", where: "--list l:1"},
		{spec: "a", where: "--list l:2", options: []string{"--jobs=1"}}}, logTo(io.Discard))
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "--list l:2: a stands "+
		"elsewhere, too (--list l:1)") {
		t.Errorf("with other options: %v", err)
	}
}

// TestSelection: patterns and sections choose among all, and what is named with options keeps
// these.
func TestSelection(t *testing.T) {
	suite := suiteOf("liba", "libb", "zlib")
	suite.Sources[1].Section = "net"
	for _, c := range []struct {
		s    selection
		want string
	}{
		{selection{}, "liba libb zlib"},
		{selection{match: []string{"lib*"}}, "liba libb"},
		{selection{match: []string{"zlib", "libb"}}, "libb zlib"},
		{selection{sections: []string{"perl"}}, "liba zlib"},
		{selection{sections: []string{"contrib/*"}, limit: 1}, "liba"},
		{selection{match: []string{"none"}}, ""},
	} {
		picks, err := c.s.choose(suite.Sources)
		var names []string
		for _, p := range picks {
			names = append(names, p.spec)
		}
		if got := strings.Join(names, " "); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %s, %v", c.s, got, err)
		}
	}
	own := []pick{{spec: "zlib", options: []string{"--jobs=1"}}}
	if got := withChosen(own, []pick{{spec: "liba"}, {spec: "zlib"}}); len(got) != 2 ||
		len(got[0].options) != 1 {
		t.Errorf("with a list: %+v", got)
	}
	for _, bad := range []selection{{match: []string{"x"}}, {limit: 1}, {all: true, limit: -1},
		{all: true, match: []string{"["}}} {
		if err := bad.check(); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestManyNames: a list of 30,000 is read, and looked up, in no time worth mentioning.
func TestManyNames(t *testing.T) {
	var names []string
	for i := range 30000 {
		names = append(names, fmt.Sprint("source", i))
	}
	file, _ := listFile(t, strings.Join(names, "\n"))
	picks, err := readList(file)
	if err != nil {
		t.Fatal(err)
	}
	if picks, err = once(picks, logTo(io.Discard)); err != nil || len(picks) != len(names) {
		t.Fatalf("%d, %v", len(picks), err)
	}
	if err := known(picks, suiteOf(names...), logTo(io.Discard)); err != nil {
		t.Error(err)
	}
}

// TestCheckOutput: the directory of the results is none of the sources, whatever they are called.
func TestCheckOutput(t *testing.T) {
	here, err := filepath.Abs(".")
	check(t, err)
	for _, c := range []struct {
		name, output, spec string
		refused            bool
	}{
		{"hello", "", "hello", true}, {"hello", "", "./hello/", true}, {"all", "", "hello", false},
		{"all", here, ".", true}, {"hello", "out", "hello", false},
		{"all", "hello", "hello", true}, {"hello", "", "hello/sid", false},
	} {
		err := checkOutput(c.name, c.output, []string{"other", c.spec})
		if (err != nil) != c.refused || err != nil && (fault.KindOf(err) != fault.Usage ||
			!strings.Contains(fault.HintOf(err), "--output")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
