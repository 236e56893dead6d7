package annotate

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDetect(t *testing.T) {
	for variable, want := range map[string]Service{"GITHUB_ACTIONS=true": GitHub,
		"GITLAB_CI=true": GitLab, "GITHUB_ACTIONS=": None, "GITLAB_CI=false": None,
		"CI=true": None} {
		got := Detect(func(name string) string {
			value, _ := strings.CutPrefix(variable, name+"=")
			if value == variable {
				return ""
			}
			return value
		})
		if got != want {
			t.Errorf("%s: %s, want %s", variable, got, want)
		}
	}
}

// TestShow writes notes of which each is one line, whatever is in them.
func TestShow(t *testing.T) {
	for _, c := range []struct {
		note Note
		want string
	}{
		{Note{File: "src/a.c", Line: 6, Column: 23, Title: "greet 1.0", Text: "expected ‘;’"},
			"::error file=src/a.c,line=6,col=23,title=greet 1.0::expected ‘;’\n"},
		{Note{Text: "100% of\nit\r::set-output name=a::b"},
			"::error::100%25 of%0Ait^M::set-output name=a::b\n"},
		{Note{Warning: true, File: "a,line=1::x\x1b[0m", Title: "1:2"},
			"::warning file=a%2Cline=1%3A%3Ax^[[0m,title=1%3A2::\n"},
		{Note{Line: 3, Text: "a place without a file is none"},
			"::error::a place without a file is none\n"},
	} {
		got := GitHub.Show(c.note)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
		if strings.Count(got, "\n") != 1 {
			t.Errorf("%q", got)
		}
	}
	if got := GitLab.Show(Note{Text: "x"}) + None.Show(Note{Text: "x"}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestFolds(t *testing.T) {
	if got := GitHub.Begin(1, "a\nb%") + GitHub.End(1); got != "::group::a%0Ab%25\n::endgroup::\n" {
		t.Errorf("%q", got)
	}
	form := regexp.MustCompile(`^\x1b\[0Ksection_start:\d+:nsbuild_7\[collapsed=true\]` +
		`\r\x1b\[0Kbuild\n` +
		`\x1b\[0Ksection_end:\d+:nsbuild_7\r\x1b\[0K\n$`)
	if got := GitLab.Begin(7, "build") + GitLab.End(7); !form.MatchString(got) {
		t.Errorf("%q", got)
	}
	if got := None.Begin(1, "x") + None.End(1); got != "" {
		t.Errorf("%q", got)
	}
}

// TestFile finds the file that a tool has meant, and none outside of the source.
func TestFile(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "greet")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "src"), 0o755),
		os.WriteFile(filepath.Join(dir, "src", "a.c"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "b.c"), nil, 0o644),
		os.WriteFile(filepath.Join(top, "out.c"), nil, 0o644),
		os.Symlink("../out.c", filepath.Join(dir, "link.c"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, dir, want string }{
		{"a.c", "/<<PKGBUILDDIR>>/src", "src/a.c"},
		{"src/a.c", "/<<PKGBUILDDIR>>", "src/a.c"},
		{"../src/a.c", "/<<PKGBUILDDIR>>/obj-x86", "src/a.c"},
		{"../src/a.c", "", "src/a.c"},
		{"/<<PKGBUILDDIR>>/b.c", "", "b.c"},
		{"<<PKGBUILDDIR>>/./b.c", "", "b.c"},
		{"./b.c", "", "b.c"},
		{"src", "", ""},
		{"a.c", "", ""},
		{"../out.c", "", ""},
		{"link.c", "", ""},
		{"/etc/passwd", "", ""},
		{"/<<PKGBUILDDIR>>/../out.c", "", ""},
		{"", "", ""},
	} {
		if got := (Source{Dir: dir}).File(c.file, c.dir); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.file, c.dir, got, c.want)
		}
	}
	if got := (Source{Dir: dir, Top: top}).File("b.c", ""); got != "greet/b.c" {
		t.Errorf("below the top: %q", got)
	}
	if got := (Source{Dir: dir, Top: t.TempDir()}).File("b.c", ""); got != "b.c" {
		t.Errorf("elsewhere: %q", got)
	}
	if got := (Source{}).File("b.c", ""); got != "" {
		t.Errorf("without a directory: %q", got)
	}
}
