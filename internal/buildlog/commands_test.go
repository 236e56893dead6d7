package buildlog

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestCommands is about what a package prints for the service that runs the build.
func TestCommands(t *testing.T) {
	for text, want := range map[string]string{
		"::error file=a,line=1::text\n":   `\x3a:error file=a,line=1::text` + "\n",
		"ok\n \t::add-mask::x\n":          "ok\n \t" + `\x3a:add-mask::x` + "\n",
		"\u00a0::error::x\n":              "\u00a0" + `\x3a:error::x` + "\n",
		"\u3000\ufeff::error::x\n":        "\u3000\ufeff" + `\x3a:error::x` + "\n",
		"##[error]x\n":                    `\x23\x23[error]x` + "\n",
		"a ##vso[task.setvariable]x\n":    `a \x23\x23vso[task.setvariable]x` + "\n",
		"##teamcity[buildStop]\n":         `\x23\x23teamcity[buildStop]` + "\n",
		"### [x]\n#[derive(Debug)]\n##\n": "### [x]\n#[derive(Debug)]\n##\n",
		"std::a::b\n::a\nx ::a::\n":       "std::a::b\n::a\nx ::a::\n",
		"\x1b[0Ksection_start:1:a[collapsed=true]\r\x1b[0Kx": `^[[0Ksection\x5fstart:1:a` +
			`[collapsed=true]^M^[[0Kx`,
		"a section_end:1:a\n": `a section\x5fend:1:a` + "\n",
		"cut ##":              `cut \x23\x23`,
		"cut ##vs":            `cut \x23\x23vs`,
		"\x1b[0m::error::x":   "^[[0m::error::x",
	} {
		got := string(Visible([]byte(text)))
		if got != want || string(Visible([]byte(got))) != got {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := VisibleString("written in C#"); got != "written in C#" {
		t.Errorf("%q", got)
	}
}

// TestCommandsInLog has them come in pieces, and in lines that are too long to be held.
func TestCommandsInLog(t *testing.T) {
	var tee strings.Builder
	l := New(&strings.Builder{}, Options{Tee: &tee})
	s := l.Stream()
	for _, part := range []string{":", ":error::x\n", strings.Repeat("a", maxLine-1) + "#",
		"#[error]x\n", strings.Repeat("b", 2*maxLine) + "##", "[error]y\n"} {
		if _, err := s.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	s.Flush()
	for _, command := range []string{"\n::", "##["} {
		if strings.Contains("\n"+tee.String(), command) {
			text, _ := json.Marshal(strings.ReplaceAll(tee.String(), "aaaaaaaa", ""))
			t.Errorf("%q is shown: %.300s", command, text)
		}
	}
}
