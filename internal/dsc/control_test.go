package dsc

import (
	"errors"
	"strings"
	"testing"
)

func TestParseControl(t *testing.T) {
	paras, err := ParseControl("x", strings.NewReader("# a comment\nSource: a\nBuild-Depends: "+
		"b,\n# c is\n# gone\n d  \n\n\nPackage:\ta\nDescription: one\n .\n  two\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paras) != 2 {
		t.Fatalf("%d paragraphs", len(paras))
	}
	if got := paras[0].Get("build-depends"); got != "b,\nd" {
		t.Errorf("Build-Depends is %q", got)
	}
	if f := paras[0].Field("Build-Depends"); f.lineOf(0) != 3 || f.lineOf(3) != 6 {
		t.Errorf("lines %d and %d", f.lineOf(0), f.lineOf(3))
	}
	if got := paras[1].Get("Description"); got != "one\n.\n two" {
		t.Errorf("Description is %q", got)
	}
	if paras[1].Line != 9 {
		t.Errorf("the second paragraph is on line %d", paras[1].Line)
	}
}

func TestParseControlErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"Source: a\nsource: b\n", "x:2: field source: stands twice: on this line and on line 1"},
		{" a\n", "x:1: is a continuation line, but there is no field before it"},
		{"A: 1\n\n b\n", "x:3: is a continuation line, but there is no field before it"},
		{"A: 1\nnonsense\n",
			`x:2: "nonsense" is neither a field (Name: value) nor a continuation line`},
		{"A b: 1\n", `x:1: "A b: 1" is neither a field (Name: value) nor a continuation line`},
		{"-A: 1\n", `x:1: "-A: 1" is neither a field (Name: value) nor a continuation line`},
		{"A\x01: b\n", `x:1: "A\x01: b" is neither a field (Name: value) nor a continuation line`},
	} {
		_, err := ParseControl("x", strings.NewReader(tt.text))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v\nwant %s", tt.text, err, tt.want)
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %T is not an *Error", tt.text, err)
		}
	}
	if _, err := ParseControl("x",
		strings.NewReader("A: "+strings.Repeat("x", maxControl))); err == nil ||
		!strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("a document that is too large: %v", err)
	}
}

// TestParseControlAsDpkg takes what dpkg takes: form feeds, blanks before a colon, control
// characters.
func TestParseControlAsDpkg(t *testing.T) {
	paras, err := ParseControl("x",
		strings.NewReader("Source : a\nX: b\x01\x1b\n\f\nPackage\t:\fa\v\n\fmore\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paras) != 2 || paras[0].Get("Source") != "a" || paras[0].Get("X") != "b\x01\x1b" ||
		paras[1].Get("Package") != "a\nmore" {
		t.Errorf("%+v", paras)
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add("Source: a\nBuild-Depends: b,\n c\n\nPackage: a\n")
	f.Add("A:\r\n b\r\n#c\n")
	f.Fuzz(func(t *testing.T, text string) {
		paras, err := ParseControl("x", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, p := range paras {
			if len(p.Fields) == 0 {
				t.Fatal("a paragraph without fields")
			}
			for i := range p.Fields {
				fl := &p.Fields[i]
				if p.Field(strings.ToUpper(fl.Name)) != fl {
					t.Fatalf("field %q is not found", fl.Name)
				}
				if n := strings.Count(fl.Value, "\n") + 1; n != len(fl.lines) {
					t.Fatalf("field %q has %d lines, %d line numbers", fl.Name, n, len(fl.lines))
				}
			}
		}
	})
}
