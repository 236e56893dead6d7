package buildlog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFailures holds the causes of real failures: what bench/failures builds, shortened to what
// stands around the cause and at the end. The first line of each file is the cause.
func TestFailures(t *testing.T) {
	files, err := filepath.Glob("testdata/failures/*.log")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, log, _ := strings.Cut(string(text), "\n")
		got := "(nothing)"
		if causes := explained(strings.Split(log, "\n")...); len(causes) > 0 {
			got = fmt.Sprintf("%s: %s (line %d)", causes[0].Label(), causes[0].Text,
				causes[0].Line.Number)
		}
		if *update {
			if err := os.WriteFile(file, []byte(got+"\n"+log), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got != want {
			t.Errorf("%s: %s\nwant %s", file, got, want)
		}
	}
}

// TestSure holds when a cause is more than likely: soon before the end of its step, and alone.
func TestSure(t *testing.T) {
	const header = "x.c:1:10: fatal error: a.h: No such file or directory"
	const ends = "make[1]: *** [Makefile:3: x] Error 1"
	long := strings.Repeat("ok\n", soon)
	for _, tt := range []struct {
		lines string
		sure  bool
	}{
		{header + "\n" + ends, true},
		{header, false},
		{header + "\n" + long + ends, false},
		{ends + "\n" + header, false},
		{header + "\nx.c:(.text+0x4): undefined reference to `f'\n" + ends, false},
		{header + "\ncurl: (6) Could not resolve host: x\n" + ends, false},
		{header + "\n   dh_auto_test\n" + ends, false}, // it was survived
		{"make: *** [debian/rules:3: x] Error 1", false},
	} {
		causes := explained(strings.Split(tt.lines, "\n")...)
		if len(causes) == 0 || causes[0].Sure != tt.sure {
			t.Errorf("%.200q: %+v", tt.lines, causes)
		}
		for _, c := range causes[min(1, len(causes)):] {
			if c.Sure {
				t.Errorf("%.200q: two are sure: %+v", tt.lines, causes)
			}
		}
	}
}
