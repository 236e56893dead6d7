package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRuns(t *testing.T) {
	var l look
	got := l.runs("\x1b[1mbold\x1b[0;31m red\x1b[39m · <\x1b[2Kplain\x1b[2;96mdim   ")
	want := []run{{look{bold: true}, "bold"}, {look{colour: 1}, " red"}, {look{}, " · <"},
		{look{}, "plain"}, {look{dim: true, colour: 6}, "dim"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(run{}, look{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("dim c6", l.class()); diff != "" {
		t.Error("the next line begins otherwise: " + diff)
	}
}

func TestDraw(t *testing.T) {
	got := draw("a <title>", "$ a\n  \x1b[31mb & c\x1b[0m  \n\n\n")
	for _, part := range []string{"<title>a &lt;title&gt;</title>", "$ a</text>",
		`<text class="c1" x="32.8" y="67" textLength="42.0" lengthAdjust="spacingAndGlyphs">` +
			"b &amp; c</text>"} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is not in\n%s", part, got)
		}
	}
}

// TestPictures looks at the pictures that the documentation has.
func TestPictures(t *testing.T) {
	names, err := filepath.Glob("../../docs/pictures/*.svg")
	if err != nil || len(names) < 3 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(text, new(struct{})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(text) > 40<<10 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
}
