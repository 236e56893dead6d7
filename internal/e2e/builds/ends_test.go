package builds

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/result"
	"nsbuild/internal/testenv"
)

// oldSuccess puts the result of another build where this one's goes.
func oldSuccess(t *testing.T, w *e2e.World) string {
	t.Helper()
	file := filepath.Join(w.Dir, "r.json")
	e2e.Check(t, result.Write(file, &result.Result{Source: result.Source{From: "old"},
		Outcome: result.Outcome{Status: "successful"}}))
	return file
}

// ours are names that nobody knows but nsbuild.
var ours = regexp.MustCompile(`\.nsbuild-|/run-`)

// TestResultOfWhatDidNotBegin has builds fail before there is a log: the result says why, and is
// not that of an earlier build.
func TestResultOfWhatDidNotBegin(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.NewWorld(t)
	w.WriteTree(t, "tree-1.0")
	for _, c := range []struct {
		name, args   string
		env          string
		exit         int
		from, status string
		says         string
	}{
		{"no source", "a.dsc", "", 3, "a.dsc", "given-back", "open a.dsc: no such file"},
		{"no suite", "-d nosuch tree-1.0", "", 64, "tree-1.0", "failed",
			`--dist: suite "nosuch" is not known`},
		{"no plan", "a.plan.json", "", 64, "a.plan.json", "failed", "reading the plan a.plan.json"},
		{"no directory", "-d sid -o /proc/nowhere tree-1.0", "", 64, "tree-1.0", "failed",
			"the results cannot be stored: mkdir /proc/nowhere: "},
		{"no place", "-d sid -o /proc tree-1.0", "", 64, "tree-1.0", "failed",
			"the results cannot be stored: writing to /proc: "},
		{"no state", "tree-1.0", "NSBUILD_STATE=/proc/nowhere", 1, "tree-1.0", "failed",
			"making the state directory"},
		{"contradiction", "--nolog --log-dir=. tree-1.0", "", 64, "tree-1.0", "failed",
			"--nolog and --log-dir contradict each other"},
		{"contradiction of every verb", "--offline --refresh tree-1.0", "", 64, "tree-1.0",
			"failed", "--offline and --refresh contradict each other"},
		{"flag that is none", "tree-1.0 --frob", "", 64, "tree-1.0", "failed",
			"unknown flag: --frob"},
		{"no number", "-j two tree-1.0", "", 64, "tree-1.0", "failed",
			`--jobs "two": a number is expected`},
		{"no value", "tree-1.0 --dist", "", 64, "tree-1.0", "failed", "flag needs an argument"},
		{"no hook", "--hook=nosuch tree-1.0", "", 64, "tree-1.0", "failed", "nosuch"},
		{"plan", "--plan=a.plan.json tree-1.0", "", 64, "tree-1.0", "failed",
			"--result contradicts --plan"},
		{"wrong configuration", "tree-1.0", "NSBUILD_BUILD_JOBS=two", 64, "tree-1.0", "failed",
			"jobs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := *w
			if c.env != "" {
				w.Env = []string{c.env}
			}
			file := oldSuccess(t, &w)
			o := w.Run(t, append([]string{"build", "--result=r.json"},
				strings.Fields(c.args)...)...)
			if o.Status != c.exit {
				t.Error(o)
			}
			e2e.Valid(t, "result.schema.json", e2e.Read(t, file))
			r, err := result.Read(file)
			e2e.Check(t, err)
			if r.Source.From != c.from || r.Outcome.Status != c.status ||
				!strings.Contains(r.Outcome.Error, c.says) || ours.MatchString(o.Stderr) ||
				r.Outcome.FailStage != "" {
				t.Errorf("of %q: %+v", r.Source.From, r.Outcome)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		for _, name := range []string{".", "/dev/null"} {
			o := w.Run(t, "build", "--result="+name, "a.dsc")
			e2e.Refusal{Status: 64, Says: []string{"--result " + name + " is "},
				Hint: "name a file"}.Check(t, o)
		}
	})
}

// severalResults reads the results of several builds: where each comes from, and how it ended.
func severalResults(t *testing.T, w *e2e.World) (ends []string) {
	t.Helper()
	text := e2e.Read(t, filepath.Join(w.Dir, "r.json"))
	e2e.Valid(t, "results.schema.json", text)
	var s result.Several
	e2e.Check(t, json.Unmarshal([]byte(text), &s))
	for _, r := range s.Results {
		one, err := json.Marshal(r)
		e2e.Check(t, err)
		e2e.Valid(t, "result.schema.json", string(one))
		ends = append(ends, r.Source.From+" "+r.Outcome.Status+" "+r.Outcome.FailStage)
	}
	return ends
}

// TestResultsOfSeveral: the results of several builds are one document, with each of them.
func TestResultsOfSeveral(t *testing.T) {
	w := e2e.NewWorld(t)
	for _, more := range []string{"", "--chain"} {
		args := strings.Fields("build --result=r.json a.dsc b.dsc " + more)
		oldSuccess(t, w)
		if o := w.Run(t, args...); o.Status != 3 {
			t.Error(o)
		}
		ends := severalResults(t, w)
		if strings.Join(ends, ",") != "a.dsc given-back ,b.dsc given-back " {
			t.Errorf("%q: %q", more, ends)
		}
	}
}

// silent is a mirror that never answers.
func silent(t *testing.T) *fakedebian.Server {
	t.Helper()
	a, _ := e2e.SmallSuite(t)
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()})
	srv.Fault("Release", fakedebian.Fault{StallAfter: 1})
	return srv
}

// TestResultWhenStopped stops builds at any moment before their log: the result says so. Whatever
// a build is killed by, that of an earlier one is not taken for its own.
func TestResultWhenStopped(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	srv := silent(t)
	first, second := w.WriteSource(t, e2e.Small("first")), w.WriteSource(t, e2e.Small("second"))
	w.Env = []string{"NSBUILD_CREATE_KEYRING=" + fakedebian.Keyring(t, fakedebian.KeyArchive)}
	args := []string{"build", "-d", "bookworm", "--result=r.json", "--mirror=" + srv.URL("debian"),
		first}
	chance := e2e.Chance(t)
	file := filepath.Join(w.Dir, "r.json")
	taken := e2e.Moment{Name: "the old result's end", Come: func() bool {
		_, err := os.Stat(file)
		return errors.Is(err, fs.ErrNotExist)
	}}
	for i, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT,
		syscall.SIGHUP, syscall.SIGKILL, syscall.SIGKILL} {
		many := i%2 == 1
		args := args
		if many {
			args = append(args[:len(args):len(args)], second)
		}
		oldSuccess(t, w)
		later := time.Duration(chance.Int64N(int64(300 * time.Millisecond)))
		_, o := w.At(t, taken, later, signal, args...)
		if o.Status != 128+int(signal) {
			t.Errorf("%v after %v: %s", signal, later, o)
		}
		if signal == syscall.SIGKILL {
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a build that was killed has a result: %v", err)
			}
			continue
		}
		if many {
			ends := severalResults(t, w)
			if strings.Join(ends, ",") != first+" failed abort,"+second+" failed abort" {
				t.Errorf("%v after %v: %q", signal, later, ends)
			}
			continue
		}
		e2e.Valid(t, "result.schema.json", e2e.Read(t, file))
		r, err := result.Read(file)
		e2e.Check(t, err)
		if r.Source.From != first || r.Outcome.Status != "failed" ||
			r.Outcome.FailStage != "abort" || !strings.Contains(r.Outcome.Error, "stopped by SIG") {
			t.Errorf("%v after %v: of %q: %+v", signal, later, r.Source.From, r.Outcome)
		}
	}
}

// TestResultOfStoppedBuild stops a build in the middle: its result has what it came to.
func TestResultOfStoppedBuild(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, fakedebian.Source{Name: "endless", Version: "1.0",
		Rules: e2e.BadRules("\t@echo it has begun; sleep 1000\n")})
	file := oldSuccess(t, w)
	log := filepath.Join(w.Dir, "endless_1.0_amd64.build")
	building := e2e.Moment{Name: "the build", Come: func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "\nit has begun")
	}}
	_, o := w.At(t, building, 0, syscall.SIGTERM, "build", "-d", "bookworm", "--result=r.json", dsc)
	if o.Status != 128+int(syscall.SIGTERM) {
		t.Error(o)
	}
	e2e.Valid(t, "result.schema.json", e2e.Read(t, file))
	r, err := result.Read(file)
	e2e.Check(t, err)
	log, err = filepath.EvalSymlinks(log)
	e2e.Check(t, err)
	if r.Source.Name != "endless" || r.Source.Format == "" || len(r.Source.Files) == 0 ||
		r.Log != log || r.Outcome.FailStage != "abort" || r.Inputs.Base.Digest == "" ||
		len(r.Stages) == 0 || !r.Stages[len(r.Stages)-1].Failed {
		t.Errorf("%+v", r)
	}
}

// TestNoSource builds in a source directory without naming it, into a directory that is not there.
func TestNoSource(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.WriteSource(t, e2e.Small("here"))
	e2e.Check(t, exec.Command("dpkg-source", "-x", filepath.Join(w.Dir, "here_1.0.dsc"),
		filepath.Join(w.Dir, "here-1.0")).Run())
	here := *w
	here.Dir = filepath.Join(w.Dir, "here-1.0")
	o := here.Must(t, "build", "-q", "-d", "bookworm", "-o", "../out")
	if want := filepath.Join(w.Dir, "out", "here_1.0_amd64.changes") + "\n"; !strings.HasSuffix(
		o.Stdout, want) {
		t.Errorf("%s\nwant %s", o, want)
	}
	here.Dir = filepath.Join(w.Dir, "out")
	e2e.Refusal{Status: 64, Says: []string{"build: which source?"}, Hint: "--help"}.Check(t,
		here.Run(t, "build"))
}
