package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
)

// packageTest is one test of debian/tests/control (autopkgtest's README.package-tests).
type packageTest struct {
	name         string
	argv         []string
	relations    string
	restrictions []string
	notHere      string // why its architectures leave it out
}

// asProgram has a shell run a file that need not be executable.
var asProgram = []string{"/bin/sh", "-c", `chmod a+x "$0" 2>/dev/null; exec "$0"`}

// testTimeout ends a test that takes longer, as autopkgtest's own default does.
const testTimeout = 10000 * time.Second

// met are the restrictions that our jails can meet, or that are none.
var met = []string{
	"rw-build-tree", "breaks-testbed", "allow-stderr", "needs-root", "skippable", "flaky",
	"superficial",
	"build-needed", notInstallable,
	"skip-foreign-architecture", // what a cross build has made is not tested at all
}

// notInstallable has a test skipped that wants what cannot be installed.
const notInstallable = "skip-not-installable"

// unmet says why a restriction cannot be met.
func unmet(restriction string) string {
	reasons := map[string]string{
		"isolation-container":     "no init runs in a jail, so installed services are not started",
		"isolation-machine":       "a jail has the kernel of its host",
		"needs-reboot":            "a jail cannot be rebooted",
		"needs-internet":          "a jail has no network",
		"needs-recommends":        "recommended packages are not installed",
		"needs-sudo":              "sudo is not set up for the test's user",
		"hint-testsuite-triggers": "it is no test, but a list of packages",
	}
	if why, ok := reasons[restriction]; ok {
		return why
	}
	return "it is not known here"
}

// verdict is how a test ended.
type verdict struct {
	word, why string
	last      []string // lines that it has printed
}

func (v verdict) String() string { return strings.TrimSpace(v.word + " " + v.why) }

// outcome is the verdict in the words of checks. What a flaky test says does not count.
func (v verdict) outcome() string {
	switch v.word {
	case "PASS":
		return OutcomePass
	case "FAIL":
		return OutcomeFail
	}
	return OutcomeSkipped
}

// Autopkgtest runs the tests of the source package, each in a jail of its own in which the packages
// that were built are installed. There is no network.
func Autopkgtest() Kind {
	return Kind{Name: "autopkgtest",
		run: func(ctx context.Context, b *Bench) (outcome, detail string, err error) {
			return b.autopkgtest(ctx)
		}}
}

func (b *Bench) autopkgtest(ctx context.Context) (outcome, detail string, err error) {
	tests, err := b.packageTests(ctx)
	if err != nil {
		return "", "", err
	}
	if len(tests) == 0 {
		b.Log.Printf("There is no debian/tests/control, or no test in it. What autodep8 would " +
			"make of a Testsuite field is not run.")
		return OutcomeNoTests, "", nil
	}
	var failed, skipped, passed []string
	var summary []string
	for _, t := range tests {
		v, err := b.runTest(ctx, t)
		if ctx.Err() != nil {
			return "", "", context.Cause(ctx)
		}
		if err != nil {
			v = verdict{word: "FAIL", why: err.Error()}
		}
		if v.word == "FAIL" && slices.Contains(t.restrictions, "flaky") {
			v.word = "FLAKY"
		}
		summary = append(summary, fmt.Sprintf("%-20s %s", t.name, v))
		b.Log.Info("test %s: %s", t.name, v)
		b.seen.Tests = append(b.seen.Tests, Test{t.name, v.outcome(), v.why, v.last})
		switch v.word {
		case "FAIL":
			failed = append(failed, t.name)
			b.found("test " + t.name + ": " + v.String())
			for _, line := range v.last {
				b.found("  " + line)
			}
		case "PASS":
			passed = append(passed, t.name)
		default:
			skipped = append(skipped, t.name+" ("+v.String()+")")
		}
	}
	b.Log.Printf("\nSummary of the tests:\n%s", strings.Join(summary, "\n"))
	switch {
	case len(failed) > 0:
		return OutcomeFail, "failed: " + strings.Join(failed, ", "), nil
	case len(passed) == 0:
		return OutcomeNoTests, strings.Join(skipped, "; "), nil
	case len(skipped) > 0:
		return OutcomePass, "not run: " + strings.Join(skipped, "; "), nil
	}
	return OutcomePass, "", nil
}

// packageTests reads the tests from the source package, unpacked in a jail: it is as hostile as any
// source.
func (b *Bench) packageTests(ctx context.Context) (tests []packageTest, err error) {
	c := b.bare()
	if err := c.open(ctx, false); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := b.Source.Unpack(ctx, c.Worker); err != nil {
		return nil, err
	}
	f, err := c.Jail.Open(path.Join(b.Source.Path(), "debian/tests/control"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	paragraphs, err := dsc.ParseControl("debian/tests/control", io.LimitReader(f, source.MaxDSC))
	if err != nil {
		return nil, err
	}
	for _, p := range paragraphs {
		found, err := b.testsOf(p)
		if err != nil {
			return nil, err
		}
		tests = append(tests, found...)
	}
	return tests, nil
}

// testsOf are the tests of one paragraph.
func (b *Bench) testsOf(p *dsc.Paragraph) ([]packageTest, error) {
	words := func(field string) []string {
		return strings.FieldsFunc(p.Get(field), func(r rune) bool {
			return strings.ContainsRune(" ,\n\t", r)
		})
	}
	t := packageTest{restrictions: words("Restrictions"),
		notHere: leftOut(b.Arch, words("Architecture"))}
	depends := p.Get("Depends")
	if p.Field("Depends") == nil {
		depends = "@"
	}
	if slices.Contains(t.restrictions, "build-needed") {
		depends += ", @builddeps@"
	}
	var relations []string
	for one := range strings.SplitSeq(depends, ",") {
		switch one = strings.TrimSpace(one); one {
		case "":
		case "@":
			relations = append(relations, b.exactly(b.builtPackages()))
		case "@builddeps@":
			relations = append(relations, b.BuildDepends()...)
		case "@recommends@":
			t.restrictions = append(t.restrictions, "needs-recommends")
		default:
			relations = append(relations, one)
		}
	}
	t.relations = strings.Join(slices.DeleteFunc(relations, func(s string) bool { return s == "" }),
		", ")
	dir := p.Get("Tests-Directory")
	if dir == "" {
		dir = "debian/tests"
	}
	var tests []packageTest
	for _, name := range words("Tests") {
		if strings.Contains(name, "/") {
			return nil, fmt.Errorf("debian/tests/control: the name of test %q has a slash", name)
		}
		one := t
		file := "./" + path.Join(dir, name)
		one.name, one.argv = name,
			append(slices.Clone(asProgram), file)
		tests = append(tests, one)
	}
	if command := p.Get("Test-Command"); command != "" {
		t.name, t.argv = fmt.Sprintf("command%d", len(tests)+1), []string{"bash", "-ec", command}
		if features := p.Get("Features"); strings.Contains(features, "test-name=") {
			_, name, _ := strings.Cut(features, "test-name=")
			t.name, _, _ = strings.Cut(strings.TrimSpace(name), ",")
		}
		tests = append(tests, t)
	}
	return tests, nil
}

// leftOut says why a test is not for an architecture, "" when it is: it names those that it is for,
// or with ! those that it is not for.
func leftOut(arch string, list []string) string {
	positive, listed := false, false
	for _, a := range list {
		name, negative := strings.CutPrefix(a, "!")
		switch matches := dsc.MatchArch(arch, name); {
		case name == "all":
			return "Architecture: all is not allowed in debian/tests/control"
		case negative && matches:
			return "it is not for " + arch
		case !negative:
			positive, listed = true, listed || matches
		}
	}
	mixed := slices.ContainsFunc(list, func(a string) bool { return strings.HasPrefix(a, "!") })
	switch {
	case positive && mixed:
		return "its Architecture has some with an exclamation mark and some without"
	case positive && !listed:
		return "it is not for " + arch
	}
	return ""
}

// runTest runs one test.
func (b *Bench) runTest(ctx context.Context, t packageTest) (v verdict, err error) {
	if t.notHere != "" {
		return verdict{word: "SKIP", why: t.notHere}, nil
	}
	for _, r := range t.restrictions {
		if !slices.Contains(met, r) {
			return verdict{word: "SKIP", why: r + ": " + unmet(r)}, nil
		}
	}
	b.Log.Printf("\n== test %s", t.name)
	held := b.inBase(b.builtPackages()) // which are there whether the test wants them or not
	c, err := b.withBuilt(ctx, strings.Trim(b.exactly(held)+", "+t.relations, ", "))
	if errors.Is(err, apt.ErrUnresolved) && slices.Contains(t.restrictions, notInstallable) {
		return verdict{word: "SKIP",
			why: notInstallable + ", and what it wants cannot be installed"}, nil
	}
	if err != nil {
		return v, err
	}
	defer func() {
		outcome := v.outcome()
		if slices.Contains(t.restrictions, "flaky") && err == nil {
			outcome = OutcomeSkipped // what it says does not count
		}
		err = c.end(ctx, b.making+": "+t.name, outcome, v.why, err)
	}()
	if err := c.prepareTest(ctx, held); err != nil {
		return v, err
	}
	if slices.Contains(t.restrictions, "build-needed") {
		c.failing = c.Command(b.Source.Path(), "debian/rules", "build")
		status, err := c.Run(ctx, c.failing)
		if err != nil || !status.Success() {
			return verdict{word: "FAIL", why: "debian/rules build: " + status.String()}, err
		}
	}
	return c.executeTest(ctx, &t)
}

// testDir is what is a test's own, in its jail.
const testDir = "/tmp/autopkgtest"

// prepareTest opens a jail with what was built, the source, and a test's own directories. The
// packages that are held are those that the base has, too.
func (t *testbed) prepareTest(ctx context.Context, held []string) error {
	if err := t.open(ctx, false); err != nil {
		return err
	}
	unseen := t.unseen(held)
	if err := t.show(ctx, unseen...); err != nil {
		return err
	}
	if err := t.installFiles(ctx, unseen); err != nil {
		return err
	}
	if err := t.Source.Unpack(ctx, t.Worker); err != nil {
		return err
	}
	t.unpacked = true
	for _, dir := range []string{testDir + "/tmp", testDir + "/artifacts", testDir + "/home"} {
		if err := t.Jail.Mkdir(dir, 0o755, bootstrap.BuilderUID, bootstrap.BuilderGID); err != nil {
			return err
		}
	}
	return nil
}

// executeTest runs a test's command in the open jail.
func (t *testbed) executeTest(ctx context.Context, test *packageTest) (v verdict, err error) {
	command := t.Command(t.Source.Path(), test.argv...)
	t.artifacts = testDir + "/artifacts"
	if slices.Contains(test.restrictions, "needs-root") {
		command.UID, command.GID = 0, 0
		command.Env = buildroot.Env()
	}
	command.Env = append(
		slices.DeleteFunc(command.Env, func(s string) bool {
			return strings.HasPrefix(s, "HOME=")
		}), "HOME="+testDir+"/home", "AUTOPKGTEST_TMP="+testDir+"/tmp",
		"AUTOPKGTEST_ARTIFACTS="+testDir+"/artifacts",
		"AUTOPKGTEST_NORMAL_USER="+bootstrap.BuilderName, "DEBIAN_FRONTEND=noninteractive",
		"LANG=C.UTF-8")
	t.failing = command
	tooLong, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	out, errs := t.Bench.Log.Stream(), t.Bench.Log.Stream()
	defer errs.Flush()
	defer out.Flush()
	var said lengthOf
	var last lastLines
	status, err := t.Jail.RunTo(tooLong, command, io.MultiWriter(out, &last),
		io.MultiWriter(errs, &said, &last))
	switch {
	case err != nil && ctx.Err() == nil && tooLong.Err() != nil:
		v = verdict{word: "FAIL", why: fmt.Sprintf("it took longer than %v", testTimeout)}
	case err != nil:
		return v, err
	default:
		v = test.judge(status, said > 0)
	}
	if v.word == "FAIL" {
		v.last = last.all()
	}
	return v, nil
}

// judge says what the end of a test's command means.
func (t *packageTest) judge(status sandbox.Status, stderr bool) verdict {
	switch {
	case status.Code == 77 && status.Signal == 0 && slices.Contains(t.restrictions, "skippable"):
		return verdict{word: "SKIP", why: "exit status 77 and marked as skippable"}
	case !status.Success():
		return verdict{word: "FAIL", why: status.String()}
	case stderr && !slices.Contains(t.restrictions, "allow-stderr"):
		return verdict{word: "FAIL",
			why: "it wrote to standard error (allow-stderr is not among its restrictions)"}
	case slices.Contains(t.restrictions, "superficial"):
		return verdict{word: "PASS", why: "(superficial)"}
	}
	return verdict{word: "PASS"}
}

// lengthOf counts what is written to it.
type lengthOf int64

func (n *lengthOf) Write(p []byte) (int, error) { *n += lengthOf(len(p)); return len(p), nil }

// lastLines keeps the last lines of what is written to it, by both streams of a program.
type lastLines struct {
	mu    sync.Mutex
	lines []string
	line  []byte
}

// mostLast is how many lines are kept.
const mostLast = 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range p {
		if x != '\n' {
			if len(l.line) < widestLine {
				l.line = append(l.line, x)
			}
			continue
		}
		l.end()
	}
	return len(p), nil
}

// end ends a line.
func (l *lastLines) end() {
	l.lines = append(l.lines, string(l.line))
	l.lines = l.lines[max(0, len(l.lines)-mostLast):]
	l.line = l.line[:0]
}

func (l *lastLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.end()
	}
	return l.lines
}
