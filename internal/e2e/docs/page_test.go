package docs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nsbuild/internal/e2e"
)

func TestParse(t *testing.T) {
	const text = "# A page\n\nFirst:\n\n    $ cd /tmp && \\\n    >   pwd\n    /tmp\n\n    $ false  " +
		"# status 1\n\n```make Makefile\nall:\n```\n\n```sh\nrm -rf /\n```\n\n    no command\n\n" +
		"    $ nsbuild list\n    …\n\n    SUITE\n    build   1.5s\n"
	want := []step{
		{line: 5, command: "cd /tmp && \\\n  pwd", output: []string{"/tmp"}},
		{line: 9, command: "false  # status 1", status: 1},
		{line: 11, file: "Makefile", text: "all:\n"},
		{line: 21, command: "nsbuild list", output: []string{"…", "", "SUITE", "build   1.5s"}},
	}
	got, err := parse(text)
	e2e.Check(t, err)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{}),
		cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if _, err := parse("```sh\nx\n"); err == nil {
		t.Error("a block without an end is taken")
	}
	for printed, shown := range map[string]bool{
		"\nSUITE\nbuild 7.0s\n":         true,
		"x\ny\n\nSUITE\nbuild    12s\n": true,
		"\nSUITE\nbuild failed\n":       false,
		"\nSUITE\nbuild 7.0s\nmore\n":   false,
	} {
		is, err := got[3].shows(printed)
		e2e.Check(t, err)
		if is != shown {
			t.Errorf("%q: shown is %v", printed, is)
		}
	}
}
