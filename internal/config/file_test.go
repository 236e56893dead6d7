package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	text := "offline = true\nrefresh-after = \"5m\" # a comment\n\n[build]\njobs = 1_0\nprofiles " +
		"= [\n  \"nocheck\", \"nodoc\",\n]\ndist = '''\nsid'''\n[session.begin]\nhostname = " +
		"\"\\u0041\"\n[ session ]\nrun.user = \"x\"\n"
	got, err := parse("f", []byte(text))
	want := []Setting{
		{"", "offline", []string{"true"}, false, "f", 1},
		{"", "refresh-after", []string{"5m"}, false, "f", 2},
		{"build", "jobs", []string{"10"}, false, "f", 5},
		{"build", "profiles", []string{"nocheck", "nodoc"}, true, "f", 6},
		{"build", "dist", []string{"sid"}, false, "f", 9},
		{"session.begin", "hostname", []string{"A"}, false, "f", 12},
		{"session.run", "user", []string{"x"}, false, "f", 14},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got[3].Name() != "build.profiles" || got[0].Name() != "offline" || got[3].Origin() != "f:6" {
		t.Error(got[3].Name(), got[0].Name(), got[3].Origin())
	}
	for text, want := range map[string]string{
		"a = 1\na = 2\n":                 "f:2: ",
		"a = 1\n[b]\nc = ":               "f:3: ",
		"\n[[x]]\na = 1":                 "f:2: [[x]]",
		"x = inf\ny = 1.5e":              "f:2: ",
		"x = 1979-05-27":                 "f:1: x: ",
		"x = { a = 1 }":                  "f:1: x: ",
		"x = [[1]]":                      "f:1: x: ",
		"[build]\ndist = \"a\"\nsuite=x": "f:3: ",
	} {
		if _, err := parse("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a = 1\n[b.c]\nd = ['x', \"\\u00e9\"]\n")
	f.Add("[[x]]\na.b = {c = 1}\n")
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parse("f", []byte(text))
		if err != nil {
			return
		}
		for _, s := range settings {
			if s.Line < 1 || s.Line > 1+strings.Count(text, "\n") || !s.List && len(s.Values) != 1 {
				t.Errorf("%+v", s)
			}
		}
	})
}
