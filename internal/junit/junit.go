// Package junit writes what became of builds as JUnit XML, which CI systems show: a suite for each
// source, with its build and each check as tests, and the source's own tests where they ran.
//
// What the results say is internal/result's, and gathered by internal/pkgbuild.
package junit

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/result"
)

// suites and what is below it are the elements that CI systems agree on.
type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	counts
	Suites []suite `xml:"testsuite"`
}

type suite struct {
	Name  string `xml:"name,attr"`
	Begun string `xml:"timestamp,attr,omitempty"`
	counts
	Cases []testcase `xml:"testcase"`
}

// counts is how many tests of each kind there are, and the seconds that all took.
type counts struct {
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     seconds `xml:"time,attr"`
}

func (c *counts) add(more counts) {
	c.Tests += more.Tests
	c.Failures += more.Failures
	c.Errors += more.Errors
	c.Skipped += more.Skipped
	c.Time += more.Time
}

type seconds float64

func (s seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

type testcase struct {
	Class   string  `xml:"classname,attr"`
	Name    string  `xml:"name,attr"`
	Time    seconds `xml:"time,attr"`
	Failure *reason `xml:"failure"` // what was tested is to blame
	Error   *reason `xml:"error"`   // something else is
	Skipped *reason `xml:"skipped"`
	Output  string  `xml:"system-out,omitempty"`
}

type reason struct {
	Message string `xml:"message,attr,omitempty"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// Write stores the results in one step.
func Write(path string, all []*result.Result) error {
	doc := suites{Name: "nsbuild"}
	for _, r := range all {
		s := suiteOf(r)
		doc.add(s.counts)
		doc.Suites = append(doc.Suites, s)
	}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err == nil {
		err = atomicfile.Write(path, append([]byte(xml.Header), append(text, '\n')...),
			atomicfile.Options{Mode: 0o644})
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func suiteOf(r *result.Result) suite {
	name := r.Source.Name
	if name == "" { // it was not found out
		name = r.Source.From
	}
	s := suite{Name: strings.Join(strings.Fields(
		name+" "+r.Source.Version+" "+r.Target.Distribution+" "+r.Target.HostArch), " ")}
	if !r.Started.IsZero() {
		s.Begun = r.Started.UTC().Format(time.RFC3339)
	}
	s.Cases = append(s.Cases, buildOf(name, r))
	for _, c := range r.Checks {
		s.Cases = append(s.Cases, checkOf(name, c)...)
	}
	for _, c := range s.Cases {
		one := counts{Tests: 1, Time: c.Time}
		switch {
		case c.Failure != nil:
			one.Failures = 1
		case c.Error != nil:
			one.Errors = 1
		case c.Skipped != nil:
			one.Skipped = 1
		}
		s.add(one)
	}
	return s
}

// buildOf is the build itself, as far as the checks. The package is to blame for a build that was
// attempted, and for no other failure.
func buildOf(name string, r *result.Result) testcase {
	c := testcase{Class: name, Name: "build", Time: seconds(r.Finished.Sub(r.Started).Seconds())}
	for _, check := range r.Checks {
		c.Time -= seconds(check.Seconds)
	}
	c.Time = max(c.Time, 0)
	why := &reason{Message: r.Outcome.Error, Type: r.Outcome.Status}
	var text []string
	for _, cause := range r.Outcome.Causes {
		label := "likely cause"
		if cause.Certain {
			label = "cause"
		}
		text = append(text, fmt.Sprintf("%s: %s (line %d)", label, cause.Text, cause.Line))
	}
	for _, line := range []struct{ label, value string }{{"stage", r.Outcome.FailStage},
		{"hint", r.Outcome.Hint}, {"log", r.Log}} {
		if line.value != "" {
			text = append(text, line.label+": "+line.value)
		}
	}
	why.Text = strings.Join(text, "\n")
	switch r.Outcome.Status {
	case "successful":
	case "skipped":
		c.Skipped = &reason{Message: "it builds nothing for this architecture"}
	case "attempted":
		c.Failure = why
	default:
		// A check that let the build fail says so itself.
		if r.Outcome.FailStage != postBuild || len(r.Checks) == 0 {
			c.Error = why
		}
	}
	return c
}

// postBuild is sbuild's name of the stage of the checks.
const postBuild = "post-build"

// checkOf is a check; of one that has run tests, each of these.
func checkOf(name string, c result.Check) []testcase {
	if len(c.Tests) == 0 {
		one := testcase{Class: name, Name: c.Name, Time: seconds(c.Seconds)}
		one.judge(c.Outcome, c.Detail, c.Findings)
		return []testcase{one}
	}
	var all []testcase
	for i, t := range c.Tests {
		one := testcase{Class: name + "." + c.Name, Name: t.Name}
		if i == 0 { // only of all together is it known
			one.Time = seconds(c.Seconds)
		}
		one.judge(t.Outcome, t.Detail, t.Last)
		all = append(all, one)
	}
	return all
}

// judge has a test end as a check has.
func (c *testcase) judge(outcome, detail string, findings []string) {
	why := &reason{Message: detail, Type: outcome, Text: strings.Join(findings, "\n")}
	switch outcome {
	case "fail":
		c.Failure = why
	case "error":
		c.Error = why
	case "skipped", "no tests":
		why.Text, why.Type = "", ""
		if why.Message == "" {
			why.Message = outcome
		}
		c.Skipped = why
	default: // pass, info, warn
		c.Output = strings.TrimPrefix(strings.Join(append([]string{detail}, findings...), "\n"), "\n")
	}
}
