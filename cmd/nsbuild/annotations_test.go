package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/annotate"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/result"
)

// TestAnnotations says what was wrong with a build at the places where it was.
func TestAnnotations(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "debian"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "a.c"), nil, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "debian", "control"), nil, 0o600))
	attempted := &pkgbuild.Outcome{Status: buildlog.Attempted,
		Located: []buildlog.Located{{Line: 7, File: "a.c", At: 6, Column: 2, Text: "expected ;"},
			{Line: 9, File: "/usr/include/x.h", At: 1, Text: "no"}},
		Causes: []buildlog.Cause{{Line: buildlog.Line{Number: 7}, Text: "a compile error"}},
		Result: &result.Result{Source: result.Source{Name: "greet", Version: "1:1.0", From: dir},
			Outcome: result.Outcome{Status: "attempted", Error: "it died"}}}
	given := &pkgbuild.Outcome{Status: buildlog.GivenBack, Located: attempted.Located,
		Result: &result.Result{Source: result.Source{From: "./hello"},
			Outcome: result.Outcome{Error: "no mirror\n::add-mask::x"}}}
	good := &pkgbuild.Outcome{Status: buildlog.Successful, Result: &result.Result{
		Source: attempted.Result.Source, Checks: []result.Check{{Name: "piuparts", Outcome: "pass"},
			{Name: "lintian", Outcome: "warn", Detail: "1 warning", Findings: []string{
				"W: greet source: a-tag [debian/control:3]", "N: what it means", "E: other [no:1]"}}}}}
	for _, c := range []struct {
		o    *pkgbuild.Outcome
		want string
	}{
		{attempted, "::error file=a.c,line=6,col=2,title=greet 1%3A1.0::expected ;\n" +
			"::error title=greet 1%3A1.0::/usr/include/x.h:1: no\n"},
		{given, "::error title=hello::no mirror%0A\\x3a:add-mask::x\n"},
		{good, "::warning title=greet 1%3A1.0%3A lintian::1 warning\n" +
			"::warning file=debian/control,line=3,title=greet 1%3A1.0%3A lintian::" +
			"greet source: a-tag [debian/control:3]\n" +
			"::error title=greet 1%3A1.0%3A lintian::other [no:1]\n"},
	} {
		var out strings.Builder
		(&app{service: annotate.GitHub}).annotate(&out, c.o)
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Error(diff)
		}
		out.Reset()
		(&app{service: annotate.GitLab}).annotate(&out, c.o)
		(&app{}).annotate(&out, c.o)
		if out.Len() > 0 {
			t.Errorf("%q", out.String())
		}
	}
}

// TestServiceOf: what is printed is for a service where nobody else reads it.
func TestServiceOf(t *testing.T) {
	t.Setenv("GITHUB_ACTIONS", "true")
	file, err := os.Create(filepath.Join(t.TempDir(), "x"))
	check(t, err)
	defer file.Close()
	for _, c := range []struct {
		json       bool
		name, want annotate.Service
	}{
		{false, annotate.Auto, annotate.GitHub}, {false, annotate.None, annotate.None},
		{false, annotate.GitLab, annotate.GitLab}, {true, annotate.Auto, annotate.None},
	} {
		a := &app{stderr: file, globalFlags: globalFlags{json: c.json}}
		if got := a.serviceOf(string(c.name)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestErrorText: what a package has printed is harmless in an error and in its hint, also of one of
// several builds.
func TestErrorText(t *testing.T) {
	err := fault.Wrap(fault.GivenBack, "::set-output name=x::\x1b[2J",
		errors.New("dpkg-source:\n::add-mask::a\x1b]0;title\a"))
	got := errorText("gr\x1beet: ", err)
	want := "nsbuild: gr^[eet: dpkg-source:\n\\x3a:add-mask::a^[]0;title^G\n" +
		"hint: ::set-output name=x::^[[2J\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
