package builds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
	"nsbuild/internal/testenv"
)

// TestPlan plans a build, which makes nothing, and builds the plan twice without a network: with
// the same packages, and for the second time out of a layer.
func TestPlan(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	s := e2e.Small("planned")
	s.Fields = append(s.Fields, fakedebian.Field{Name: "Build-Depends", Value: "hello"})
	source := w.WriteSource(t, s)
	file := filepath.Join(w.Dir, "planned"+plan.Suffix)
	before := w.Files(t)
	o := w.Must(t, "build", "-q", "-d", "bookworm", "-P", "nocheck", "--plan="+file, source)
	if o.Stdout != file+"\n" {
		t.Errorf("it printed %q", o.Stdout)
	}
	if made := w.Files(t); len(made) != len(before)+1 {
		t.Errorf("planning made %q of %q", made, before)
	}
	e2e.Valid(t, "plan.schema.json", e2e.Read(t, file))
	p, err := plan.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range p.Dependencies.Packages {
		names = append(names, d.Name)
	}
	if !slices.Contains(names, "hello") {
		t.Errorf("what apt wants: %q", names)
	}
	for _, cached := range []bool{false, true} {
		out := t.TempDir()
		o := w.Must(t, "build", "-q", "--offline", "--output="+out, "--result="+
			filepath.Join(out, "r.json"), file)
		if !strings.Contains(o.Stdout, "planned_1.0_amd64.changes") {
			t.Errorf("it built %q", o.Stdout)
		}
		r, err := result.Read(filepath.Join(out, "r.json"))
		if err != nil {
			t.Fatal(err)
		}
		if r.Inputs.Layer.Cached != cached || !slices.Equal(r.Target.Options, p.Target.Options) ||
			r.Inputs.Base.Generation != p.Base.Generation {
			t.Errorf("the result says %+v, %+v", r.Inputs, r.Target)
		}
		if cached {
			continue
		}
		for _, d := range r.Inputs.Dependencies {
			if !slices.ContainsFunc(p.Dependencies.Packages, func(one plan.Package) bool {
				return one.Name == d.Name && one.Version == d.Version && one.Arch == d.Arch
			}) {
				t.Errorf("%s %s was installed and not planned", d.Name, d.Version)
			}
		}
	}
	configured := *w
	configured.Env = append(slices.Clone(w.Env), "NSBUILD_BUILD_RUN_LINTIAN=true")
	o = configured.Must(t, "build", "--offline", "--output="+t.TempDir(), file)
	if !strings.Contains(o.Stderr, "the configured checks are not made") {
		t.Errorf("it said %q", o.Stderr)
	}
	t.Run("refused", func(t *testing.T) { refusePlans(t, w, file, source, p) })
}

// refusePlans builds plans of what is not as it was.
func refusePlans(t *testing.T, w *e2e.World, file, source string, p *plan.Plan) {
	changed := func(change func(*plan.Plan)) string {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var other plan.Plan
		if err := json.Unmarshal(text, &other); err != nil {
			t.Fatal(err)
		}
		change(&other)
		to := filepath.Join(t.TempDir(), "other"+plan.Suffix)
		if err := plan.Write(to, &other); err != nil {
			t.Fatal(err)
		}
		return to
	}
	const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	unknown := filepath.Join(t.TempDir(), "unknown"+plan.Suffix)
	text := strings.Replace(e2e.Read(t, file), `"program"`, `"colour": "red", "program"`, 1)
	if err := os.WriteFile(unknown, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"a flag that it decides", []string{"-d", "trixie", file}, 64,
			"--dist: the plan decides that"},
		{"a field that is not known", []string{unknown}, 64, "unknown field"},
		{"another base", []string{changed(func(p *plan.Plan) { p.Base.Digest = sum })},
			3, "is not here any more"},
		{"no base", []string{changed(func(p *plan.Plan) { p.Base.Name = "nowhere" })},
			3, "base nowhere (generation"},
		{"another source", []string{changed(func(p *plan.Plan) { p.Source.Files[0].SHA256 = sum })},
			3, "is not as it was planned"},
		{"a package that is gone", []string{changed(func(p *plan.Plan) {
			p.Dependencies.Packages[0].SHA256 = sum
		})}, 3, p.Dependencies.Packages[0].Name},
		{"fewer packages", []string{changed(func(p *plan.Plan) {
			p.Dependencies.Packages = slices.DeleteFunc(p.Dependencies.Packages,
				func(one plan.Package) bool { return one.Name == "hello" })
		})}, 3, "hello"},
		{"another environment", []string{changed(func(p *plan.Plan) {
			p.Environment[0] = "PATH=/elsewhere"
		})}, 3, "the environment would not be as planned"},
		{"a plan of a plan", []string{"--plan=x" + plan.Suffix, file}, 64, "is a plan"},
		{"another name", []string{"--plan=x.json", source}, 64, "ends in " + plan.Suffix},
	} {
		o := w.Run(t, append([]string{"build", "-q", "--offline"}, c.args...)...)
		if o.Status != c.status || !strings.Contains(o.Stderr, c.says) {
			t.Errorf("%s: %v", c.name, o)
		}
	}
}
