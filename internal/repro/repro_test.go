package repro

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/compared"
	"nsbuild/internal/deb"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// package made up of files, each with the text that a build puts into it.
type fakeBuild struct {
	t     *testing.T
	files func(v pkgbuild.Vary, number int) map[string]string
	fails func(v pkgbuild.Vary) error

	mu     sync.Mutex
	builds int
	beside int
	held   int // builds that do not begin at the same time as another
}

func (f *fakeBuild) Source() (name, version string) { return "hello", "1" }
func (f *fakeBuild) Close()                         {}
func (f *fakeBuild) Beside(n int)                   { f.beside = max(n, f.beside) }

func (f *fakeBuild) Build(_ context.Context, _ string, change func(*pkgbuild.Request)) (
	*pkgbuild.Outcome, error) {
	var r pkgbuild.Request
	change(&r)
	out := &pkgbuild.Outcome{}
	f.mu.Lock()
	if r.Hold != nil {
		f.held++
	}
	f.mu.Unlock()
	if f.fails != nil {
		if err := f.fails(r.Vary); err != nil {
			return out, err
		}
	}
	f.mu.Lock()
	f.builds++
	number := f.builds
	f.mu.Unlock()
	for name, text := range f.files(r.Vary, number) {
		var data bytes.Buffer
		err := deb.Write(&data, deb.Package{Control: "Package: " + name + "\nVersion: 1\n" +
			"Architecture: all\nDescription: none\n", Time: time.Unix(1e9, 0),
			Files: []deb.File{{Path: "/usr/share/" + name, Body: []byte(text)}}})
		file := filepath.Join(r.Output, name+"_1_all.deb")
		if err == nil {
			err = os.WriteFile(file, data.Bytes(), 0o644)
		}
		if err != nil {
			f.t.Error(err)
		}
		out.Artefacts = append(out.Artefacts, file)
	}
	return out, nil
}

// TestRun has builds that differ by nothing, by variations, by themselves, and that fail.
func TestRun(t *testing.T) {
	same := func(pkgbuild.Vary, int) map[string]string { return map[string]string{"one": "text"} }
	failure := fault.New(fault.Attempted, "", "make said no")
	for _, c := range []struct {
		name    string
		build   *fakeBuild
		verdict compared.Verdict
		kind    fault.Kind // of the error
		says    []string
		itself  bool
		causes  [][]string
	}{
		{name: "same", build: &fakeBuild{files: same}, verdict: compared.Identical},
		{name: "host and umask", build: &fakeBuild{
			files: func(v pkgbuild.Vary, _ int) map[string]string {
				return map[string]string{"one": v.Host, "two": v.Umask, "three": "text"}
			}}, verdict: compared.Differs, kind: fault.Differs, says: []string{"2 files differ"},
			causes: [][]string{{"host"}, {"umask"}}},
		{name: "a file more", build: &fakeBuild{
			files: func(v pkgbuild.Vary, _ int) map[string]string {
				if v.Home != "" {
					return map[string]string{"one": "text", "two": "text"}
				}
				return same(v, 0)
			}}, verdict: compared.Differs, kind: fault.Differs, causes: [][]string{{"home"}}},
		{name: "by itself", build: &fakeBuild{
			files: func(_ pkgbuild.Vary, n int) map[string]string {
				return map[string]string{"one": strings.Repeat("x", n), "two": "text"}
			}}, verdict: compared.Differs, kind: fault.Differs, itself: true},
		{name: "by itself, and by ids", build: &fakeBuild{
			files: func(v pkgbuild.Vary, n int) map[string]string {
				return map[string]string{"one": strings.Repeat("x", n),
					"two": strings.Repeat("y", v.UID+1)}
			}}, verdict: compared.Differs, kind: fault.Differs, itself: true, causes: [][]string{{"ids"}}},
		{name: "fails varied", build: &fakeBuild{files: same,
			fails: func(v pkgbuild.Vary) error {
				if v.OneProcessor {
					return failure
				}
				return nil
			}}, verdict: compared.Failed, kind: fault.Attempted,
			says: []string{"it builds, but not varied: make said no"}, causes: [][]string{{"cpus"}}},
		{name: "fails", build: &fakeBuild{files: same,
			fails: func(pkgbuild.Vary) error { return failure }}, verdict: compared.Failed,
			kind: fault.Attempted, says: []string{"make said no"}},
		{name: "cannot", build: &fakeBuild{files: same,
			fails: func(pkgbuild.Vary) error {
				return fault.New(fault.GivenBack, "", "no mirror")
			}}, verdict: compared.Undecided, kind: fault.GivenBack, says: []string{"no mirror"}},
	} {
		for _, atOnce := range []int{1, 2} {
			t.Run(c.name, func(t *testing.T) {
				b := &fakeBuild{t: t, files: c.build.files, fails: c.build.fails}
				r, err := runWith(t, b, Request{Vary: usual(), Bisect: true, AtOnce: atOnce,
					Output: t.TempDir()})
				var causes [][]string
				for _, one := range r.Causes {
					causes = append(causes, one.Variations)
					if len(one.Files) == 0 && !one.Fails {
						t.Errorf("nothing differs by %q", one.Variations)
					}
				}
				if d := cmp.Diff(c.causes, causes); d != "" || r.Verdict != c.verdict ||
					(err == nil) != (c.kind == 0) || err != nil && fault.KindOf(err) != c.kind ||
					(len(r.Itself) > 0) != c.itself || r.Beside != (atOnce > 1) ||
					r.Beside != (b.beside > 1) || b.held != 2*(atOnce-1) {
					t.Errorf("%+v, %v: %s", r, err, d)
				}
				for _, text := range c.says {
					if err == nil || !strings.Contains(err.Error(), text) {
						t.Errorf("it does not say %q: %v", text, err)
					}
				}
			})
		}
	}
}

// runWith is Run with builds that are made up.
func runWith(t *testing.T, b builder, r Request) (*Report, error) {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	e := &pkgbuild.Env{Program: "nsbuild 1", StateDir: t.TempDir(), Log: log}
	if err := e.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &run{Request: r, env: e, build: b, report: &Report{Variations: r.Vary,
		Verdict: compared.Undecided, Version: "1"}}
	err := w.run(t.Context())
	_ = w.report.Lines()
	return w.report, errors.Join(err, e.Close(context.WithoutCancel(t.Context())))
}

// TestChoose reads lists of variations.
func TestChoose(t *testing.T) {
	all := strings.Join(names(Variations()), " ")
	most := strings.Join(usual(), " ")
	for list, want := range map[string]string{
		"": most, "all": all, "none": "", "host,umask": "host umask", "umask host": "host umask",
		"+path": most + " path", "-host": strings.TrimPrefix(most, "host "),
		"none,+home": "home", "all,-path,-time": most, "host,-host": "",
	} {
		got, err := Choose(list)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v", list, got, err)
		}
	}
	for list, hint := range map[string]string{
		"hots": "did you mean host?", "+nosuch": "known are host, user,", "-": "known are host,",
	} {
		_, err := Choose(list)
		if fault.KindOf(err) != fault.Usage || !strings.HasPrefix(fault.HintOf(err), hint) {
			t.Errorf("%q: %v", list, err)
		}
	}
	for _, v := range Variations() {
		if d := cmp.Diff(vary(nil), vary([]string{v.Name})); d == "" {
			t.Errorf("%s varies nothing", v.Name)
		}
	}
}
