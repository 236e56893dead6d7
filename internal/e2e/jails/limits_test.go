package jails

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// grows is a program in perl that wants so many MiB, twice.
func grows(mib string) string {
	return `my $x = "a" x (` + mib + `<<20); $x .= $x; print "had ", length $x`
}

// limitMet tells how a limit of memory was met, in a control group or for each process, and checks
// that it was said and held. Where the machine gives us groups they are to be used.
func limitMet(t *testing.T, o e2e.Outcome, said string, size string) (grouped bool) {
	t.Helper()
	spare := strings.Contains(said, "memory is limited to "+size+
		" MiB for each process, not for all together: ")
	killed := regexp.MustCompile(`memory ran out, with a limit of ` + size +
		` MiB: the kernel killed (perl \(pid \d+\)|the command|a process|\d+ processes)`).
		MatchString(o.Stderr)
	if spare == killed || spare && testenv.HasControllers(t, "memory") {
		t.Errorf("limited for each process: %v; a kill named: %v; %s", spare, killed, o)
	}
	if strings.Contains(o.Stdout, "had ") || o.Status == 0 {
		t.Errorf("the limit does not hold: %s", o)
	}
	return killed
}

// TestLimitFlags meets the limits, or what stands for them on this machine.
func TestLimitFlags(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "perl", "nproc")
	w := e2e.NewWorld(t)
	testenv.HostState(t)
	root := filepath.Join(w.Dir, "root")
	e2e.Check(t, e2e.MakeRoot(root))
	in := func(limit string, command ...string) e2e.Outcome {
		return w.Run(t,
			append([]string{"run", "--root", root, "--overlay", "-f", root + ".fstab", limit,
				"--"}, command...)...)
	}
	t.Run("memory", func(t *testing.T) {
		o := in("--memory=64M", "perl", "-e", grows("100"))
		if limitMet(t, o, o.Stderr, "64") && o.Status != 137 {
			t.Errorf("what the kernel kills ends by signal 9: %s", o)
		}
	})
	t.Run("quiet", func(t *testing.T) {
		said := strings.Contains(in("--memory=64M", "true").Stderr,
			"memory is limited to 64 MiB for each process")
		o := w.Must(t, "run", "-q", "--root", root, "--overlay", "-f", root+".fstab",
			"--memory=64M", "--", "true")
		if strings.Contains(o.Stderr, "memory is limited to 64 MiB for each process") != said {
			t.Errorf("that the limit does not hold for all together is said: %v; with -q: %s", said,
				o)
		}
	})
	t.Run("processors", func(t *testing.T) {
		o := in("--cpus=1", "nproc")
		spare := strings.Contains(o.Stderr,
			"processors are limited to 1 by what processes begin with, which they can "+
				"change: ")
		if o.Status != 0 || spare && (o.Stdout != "1\n" || testenv.HasControllers(t, "cpu")) {
			t.Error(o)
		}
	})
	t.Run("processes", func(t *testing.T) {
		o := in("--pids=40", "perl", "-e",
			`my @c; for my $n (0..500) { my $p = fork; if (!defined $p) { print $n; last } if (!$p) { $< = $> = 1 + $n % 3; sleep 100 } push @c, $p } kill 9, @c`)
		if strings.Contains(o.Stderr, "this kernel does not count those of a user namespace") &&
			!testenv.HasControllers(t, "pids") {
			return // before Linux 5.14, and it says so
		}
		// There is room for threads of ours.
		if n, err := strconv.Atoi(o.Stdout); err != nil || n < 30 || n > 80 {
			t.Errorf("%v processes could begin: %s", n, o)
		}
	})
	t.Run("session", func(t *testing.T) {
		begun := w.Must(t, "session", "begin", "--root", root, "--overlay", "-f", root+".fstab",
			"--memory=64M", "--name", "limited")
		ended := false
		defer func() {
			if !ended {
				w.Must(t, "session", "end", "limited")
			}
		}()
		o := w.Run(t, "session", "run", "limited", "--", "perl", "-e", grows("100"))
		grouped := limitMet(t, o, begun.Stderr, "64")
		// What one command ran into is not told to the next, but at the end.
		if o := w.Must(t, "session", "run", "limited", "--", "true"); strings.Contains(o.Stderr,
			"memory ran out") {
			t.Error(o)
		}
		o = w.Must(t, "session", "end", "limited")
		ended = true
		if strings.Contains(o.Stderr,
			"limited: memory ran out, with a limit of 64 MiB: ") != grouped {
			t.Error(o)
		}
	})
}

// TestBuildLimits builds what needs more memory than it may have.
func TestBuildLimits(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "hungry", Version: "1.0",
			Rules: e2e.BadRules("\t@echo options=$(DEB_BUILD_OPTIONS)\n\t@perl -e '" +
				strings.ReplaceAll(grows("300"), "$", "$$") + "' >&2\n")})
	o := w.Run(t, "build", "-d", "bookworm", "--result=r.json", "--memory=256M", "--cpus=1",
		"--pids=2000", dsc)
	log := e2e.Read(t, filepath.Join(w.Dir, "hungry_1.0_amd64.build"))
	e2e.WantIn(t, "log", log, `^Limits: memory 256 MiB, processors 1, processes 2000$`,
		`^options=parallel=1$`)
	if strings.Contains(log, "had ") {
		t.Error("the limit does not hold")
	}
	if limitMet(t, o, o.Stderr, "256") {
		e2e.Refusal{Status: 3,
			Says: []string{"memory ran out, with a limit of 256 MiB: the kernel killed "},
			Hint: "use a larger --memory, or fewer processes (-j)"}.Check(t, o)
		e2e.WantIn(t, "log", log, `^E: memory ran out, with a limit of 256 MiB: `,
			`^Status: given-back$`, `^Fail-Stage: check-memory$`)
		e2e.WantIn(t, "result", e2e.Read(t, filepath.Join(w.Dir, "r.json")), `"oom_kills": 1`)
		return
	}
	if o.Status != 2 {
		t.Error(o)
	}
	e2e.WantIn(t, "log", log,
		`^I: memory is limited to 256 MiB for each process, not for all together: `,
		`^Status: attempted$`)
}
