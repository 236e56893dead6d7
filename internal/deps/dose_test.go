package deps

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// report is like what dose-debcheck writes of a source that wants what cannot be had. It is made
// up after the manual page.
const report = `output-version: 1.2
report:
 -
  package: sbuild-build-depends-main-dummy
  version: 0.invalid.0
  architecture: amd64
  status: broken
  reasons:
   -
    missing:
     pkg:
      package: lib
      version: 1.0-1
      architecture: amd64
      unsat-dependency: nosuch:amd64 (>= 2)
     depchains:
      -
       depchain:
        -
         package: sbuild-build-depends-main-dummy
         version: 0.invalid.0
         architecture: amd64
         depends: tool:amd64
        -
         package: tool
         version: 1.0-1
         architecture: amd64
         depends: lib:amd64
   -
    conflict:
     pkg1:
      package: one
      version: 1
      architecture: amd64
      unsat-conflict: two:amd64
     pkg2:
      package: two
      version: 2
      architecture: amd64
     depchain1:
      -
       depchain:
        -
         package: sbuild-build-depends-main-dummy
         version: 0.invalid.0
         architecture: amd64
         depends: one:amd64
     depchain2:
      -
       depchain:
        -
         package: sbuild-build-depends-main-dummy
         version: 0.invalid.0
         architecture: amd64
         depends: two:amd64

background-packages: 5
broken-packages: 1
`

// TestDoseReasons makes sentences of what dose-debcheck reports.
func TestDoseReasons(t *testing.T) {
	for _, c := range []struct {
		report string
		want   []string
	}{
		{"", nil}, {"Fatal error: unknown field\n", nil},
		{report, []string{
			"lib 1.0-1 needs nosuch:amd64 (>= 2), which there is not (the source → tool)",
			"one 1 conflicts with two 2"}},
		{"missing:\n pkg:\n  package: sbuild-build-depends-main-dummy\n  version: 0.invalid.0\n" +
			"  unsat-dependency: \x1b[1mx\n", []string{
			`the source needs ^[[1mx, which there is not`}},
		{strings.Repeat("missing:\n pkg:\n  package: a\n  unsat-dependency: b\n", 9),
			strings.Split(strings.Repeat("a needs b, which there is not\n", 5), "\n")[:5]},
		{"version: 1\npkg:\n version: 1\n", nil},
	} {
		if diff := cmp.Diff(c.want, doseReasons(c.report)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.report, diff)
		}
	}
}

// TestExplain has dose-debcheck installed and asked, where that was asked for and it can be had.
func TestExplain(t *testing.T) {
	asked := ""
	for _, c := range []struct {
		name, explainer, has string
		says, never          string
	}{
		{"asked for", ExplainerDose, "dose-distcheck",
			"\n  dose-debcheck: lib 1.0-1 needs nosuch:amd64 (>= 2), which there is not", ""},
		{"not asked for", "", "dose-distcheck", "Depends: nosuch", "dose-debcheck"},
		{"there is none", ExplainerDose, "other", "Depends: nosuch", "dose-debcheck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, pack(c.has, ""), pack("tool", "lib"), pack("lib", "nosuch"))
			w.fake.Programs["/bin/sh"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
				text, err := p.ReadFile(p.Argv[5])
				if err != nil {
					return p.Fail(err)
				}
				asked = string(text)
				p.Printf("%s", report)
				return fakejail.Exit(1)
			}
			r := w.request(w.base("bookworm"), "tool")
			r.Explainer = c.explainer
			got := w.install(r)
			if got.err == nil || !strings.Contains(got.err.Error(), c.says) ||
				c.never != "" && strings.Contains(got.err.Error(), c.never) {
				t.Errorf("%v", got.err)
			}
		})
	}
	const want = "Package: sbuild-build-depends-main-dummy\nVersion: 0.invalid.0\n" +
		"Architecture: amd64\nDepends: tool\n"
	if asked != want {
		t.Errorf("dose-debcheck was asked about %q, want %q", asked, want)
	}
}
