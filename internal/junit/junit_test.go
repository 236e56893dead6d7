package junit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/result"
)

func TestWrite(t *testing.T) {
	begun := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	of := func(name, status, stage string) *result.Result {
		return &result.Result{
			Source:  result.Source{Name: name, Version: "1.0", From: "./" + name},
			Target:  result.Target{Distribution: "bookworm", HostArch: "amd64"},
			Outcome: result.Outcome{Status: status, FailStage: stage},
			Started: begun, Finished: begun.Add(10 * time.Second),
		}
	}
	good := of("good", "failed", "post-build") // by its checks alone
	good.Checks = []result.Check{
		{Name: "lintian", Outcome: "fail", Detail: "1 error, 0 warnings", Seconds: 1.5,
			Findings: []string{"E: good: <tag> \x01"}},
		{Name: "install check", Outcome: "warn", Detail: "1 file is left", Seconds: 1},
		{Name: "piuparts", Outcome: "skipped", Detail: "no", Seconds: 0},
		{Name: "autopkgtest", Outcome: "fail", Seconds: 2, Tests: []result.Test{
			{Name: "one", Outcome: "pass"}, {Name: "two", Outcome: "fail", Detail: "exit status 1",
				Last: []string{"a", "b"}}}},
	}
	bad := of("bad", "attempted", "build")
	bad.Outcome.Error, bad.Log = "Build failure", "/tmp/bad.build"
	bad.Outcome.Causes = []result.Cause{{Line: 7, Text: "no make"}}
	unknown := &result.Result{Source: result.Source{From: "nosuch"},
		Outcome: result.Outcome{Status: "given-back", Error: "there is none"}}
	file := filepath.Join(t.TempDir(), "junit.xml")
	if err := Write(file, []*result.Result{good, bad, unknown,
		of("empty", "skipped", "")}); err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nsbuild" tests="9" failures="3" errors="1" skipped="2" time="30.000">
  <testsuite name="good 1.0 bookworm amd64" timestamp="2026-11-02T10:00:00Z" tests="6" failures="2" errors="0" skipped="1" time="10.000">
    <testcase classname="good" name="build" time="5.500"></testcase>
    <testcase classname="good" name="lintian" time="1.500">
      <failure message="1 error, 0 warnings" type="fail">E: good: &lt;tag&gt; ` + "\uFFFD" + `</failure>
    </testcase>
    <testcase classname="good" name="install check" time="1.000">
      <system-out>1 file is left</system-out>
    </testcase>
    <testcase classname="good" name="piuparts" time="0.000">
      <skipped message="no"></skipped>
    </testcase>
    <testcase classname="good.autopkgtest" name="one" time="2.000"></testcase>
    <testcase classname="good.autopkgtest" name="two" time="0.000">
      <failure message="exit status 1" type="fail">a&#xA;b</failure>
    </testcase>
  </testsuite>
  <testsuite name="bad 1.0 bookworm amd64" timestamp="2026-11-02T10:00:00Z" tests="1" failures="1" errors="0" skipped="0" time="10.000">
    <testcase classname="bad" name="build" time="10.000">
      <failure message="Build failure" type="attempted">likely cause: no make (line 7)&#xA;stage: build&#xA;log: /tmp/bad.build</failure>
    </testcase>
  </testsuite>
  <testsuite name="nosuch" tests="1" failures="0" errors="1" skipped="0" time="0.000">
    <testcase classname="nosuch" name="build" time="0.000">
      <error message="there is none" type="given-back"></error>
    </testcase>
  </testsuite>
  <testsuite name="empty 1.0 bookworm amd64" timestamp="2026-11-02T10:00:00Z" tests="1" failures="0" errors="0" skipped="1" time="10.000">
    <testcase classname="empty" name="build" time="10.000">
      <skipped message="it builds nothing for this architecture"></skipped>
    </testcase>
  </testsuite>
</testsuites>
`
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
