package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
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

// Restrictions that ask for more than an ordinary jail.
const (
	needsInternet   = "needs-internet"
	needsRecommends = "needs-recommends"
	needsSudo       = "needs-sudo"
)

// met are the restrictions that our jails can meet, or that are none.
var met = []string{
	"rw-build-tree", needsRecommends, needsSudo, "breaks-testbed", "allow-stderr", "needs-root",
	"skippable", "flaky",
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
		needsInternet:             "a jail has no network; --check-network gives it",
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

// TestOptions say how the tests of a source are run.
type TestOptions struct {
	// Network gives that of the host to the tests that need the internet.
	Network bool
	// Keep takes what a test has left for people out of its jail; nil: it is left there.
	Keep func(ctx context.Context, test string, from jails.Files, dir string) error
}

// Autopkgtest runs the tests of the source package, each in a jail of its own in which the packages
// that were built are installed. There is no network but for tests that ask for it, and are given
// it.
func Autopkgtest(o TestOptions) Kind {
	return Kind{Name: "autopkgtest",
		run: func(ctx context.Context, b *Bench) (outcome, detail string, err error) {
			return b.autopkgtest(ctx, o)
		}}
}

func (b *Bench) autopkgtest(ctx context.Context, o TestOptions) (outcome, detail string,
	err error) {
	tests, err := b.packageTests(ctx)
	if err != nil {
		return "", "", err
	}
	if len(tests) == 0 {
		b.Log.Printf("There is no debian/tests/control, or no test in it, and no Testsuite field " +
			"that autodep8 would make tests of.")
		return OutcomeNoTests, "", nil
	}
	var failed, skipped, passed []string
	var summary []string
	for _, t := range tests {
		v, err := b.runTest(ctx, t, o)
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

// runTest runs one test.
func (b *Bench) runTest(ctx context.Context, t packageTest, o TestOptions) (v verdict,
	err error) {
	if t.notHere != "" {
		return verdict{word: "SKIP", why: t.notHere}, nil
	}
	for _, r := range t.restrictions {
		if !slices.Contains(met, r) && (r != needsInternet || !o.Network) {
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
	if errors.Is(err, apt.ErrUnresolved) && t.has(needsRecommends) {
		return verdict{word: "SKIP",
			why: needsRecommends + ", and what is recommended cannot be installed"}, nil
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
	if t.has(needsSudo) {
		if err := c.allowSudo(ctx); err != nil {
			return v, fmt.Errorf("setting up sudo: %w", err)
		}
	}
	if slices.Contains(t.restrictions, "build-needed") {
		c.failing = c.Command(b.Source.Path(), "debian/rules", "build")
		status, err := c.Run(ctx, c.failing)
		if err != nil || !status.Success() {
			return verdict{word: "FAIL", why: "debian/rules build: " + status.String()}, err
		}
	}
	v, err = c.executeTest(ctx, &t)
	if err == nil && o.Keep != nil {
		err = o.Keep(ctx, t.name, c.Jail, c.artifacts)
	}
	return v, err
}

// has tells whether a test has a restriction.
func (t *packageTest) has(restriction string) bool {
	return slices.Contains(t.restrictions, restriction)
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
	} else if test.has(needsSudo) {
		command.Groups = append(command.Groups, sudoGID)
	}
	if test.has(needsInternet) {
		command.Network = sandbox.NetworkHost
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
