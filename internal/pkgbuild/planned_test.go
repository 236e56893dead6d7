package pkgbuild

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/deps"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/sandbox"
)

// plan plans the build of a source, and writes the plan to a file.
func (w *world) plan(from string, with ...func(*Request)) (p *plan.Plan, file string, err error) {
	w.t.Helper()
	e := w.open(w.t.Context())
	defer e.end()
	r := w.request(from)
	for _, change := range with {
		change(&r)
	}
	if p, err = e.Plan(w.t.Context(), r); err != nil {
		return nil, "", err
	}
	file = filepath.Join(w.t.TempDir(), "hello"+plan.Suffix)
	w.check(plan.Write(file, p))
	return p, file, nil
}

// TestPlan plans a build with all that a plan can say, and follows it when the mirror has other
// packages, and when there is none any more.
func TestPlan(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	p, file, err := w.plan(spec, func(r *Request) {
		r.BinNMU, r.BinNMUVersion, r.Maintainer = "Rebuild.", 3, "A B <ab@mirror.example>"
		r.ArchAll, r.Profiles, r.Options = false, []string{"nodoc"}, []string{"nodoc"}
		r.AddDepends, r.AddConflicts = []string{"libold-dev"}, []string{"nosuch"}
		r.Limits, r.MaxResults = sandbox.Limits{Memory: 3 << 30, CPUs: 8, PIDs: 500}, 1<<30
	})
	w.check(err)
	var names []string
	for _, one := range p.Dependencies.Packages {
		names = append(names, one.Name)
		if len(one.SHA256) != 64 || one.Size == 0 || !strings.HasPrefix(one.URI, "http://") {
			t.Errorf("%+v", one)
		}
	}
	if want := []string{"build-essential", "dpkg-dev", "gcc-12", "libcrane-dev", "libcrane1",
		"libold-dev"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if p.Target.BuildType != "any" || p.Target.Distribution != suiteName || !p.Target.Asked ||
		p.Base.Generation != 1 || len(p.Repositories) != 1 || p.Kind.EntryDate == "" ||
		p.Limits.Processes != 500 || p.Limits.MaxResults != 1<<30 {
		t.Errorf("%+v", p)
	}
	if o := p.Target.Options; len(o) != 2 || o[0] != "nodoc" ||
		!strings.HasPrefix(o[1], "parallel=") {
		t.Errorf("%q", o)
	}
	follow := func(what string) {
		b := w.must(file, func(r *Request) { // which the plan decides
			r.Suite, r.ArchAll, r.Lintian = "", true, true
		})
		stem := "hello_2.10-3+b3_" + w.arch
		want := []string{stem + ".deb", stem + ".buildinfo", stem + ".changes"}
		if !slices.Equal(b.files(), want) {
			t.Errorf("%s: %q, want %q", what, b.files(), want)
		}
		if got := fmt.Sprint(b.result.Inputs.Dependencies); !strings.Contains(got,
			"{libcrane-dev 1.0-1 ") {
			t.Errorf("%s: %s", what, got)
		}
		w.tells(what, b.log, "is that of the plan of ", "Limits: memory 3072 MiB")
		w.tells(what, strings.Join(b.said, "\n"), "the configured checks are not made")
	}
	follow("at once")
	w.suite.Add(fakedebian.Package{Name: "libcrane-dev", Version: "2.0-1", Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick})
	w.publish()
	w.check(os.RemoveAll(filepath.Join(w.dir, "cache/layers")))
	follow("with something newer on the mirror")
	w.offline = true
	w.check(os.RemoveAll(filepath.Join(w.dir, "cache/layers")))
	follow("offline")
}

// TestPlanCannotBe asks for plans that nobody can make.
func TestPlanCannotBe(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	for _, c := range []struct {
		name string
		from string
		with func(*Request)
		fail string // of the jails' calls
		kind fault.Kind
		err  string
	}{
		{"aptitude installs to know", spec, func(r *Request) { r.Resolver = deps.ResolverAptitude },
			"", fault.Usage, "only the resolver apt says what it wants"},
		{"no such package", spec, func(r *Request) { r.AddDepends = []string{"nosuch"} }, "",
			fault.GivenBack, "apt found no solution"},
		{"no source", filepath.Join(w.dir, "nosuch.dsc"), func(*Request) {}, "", fault.GivenBack,
			"no such file"},
		{"no jail", spec, func(*Request) {}, "NewJail", fault.GivenBack, "refused"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.fail = func(call fakejail.Call) error {
				if call.Op == c.fail {
					return errors.New("refused")
				}
				return nil
			}
			defer func() { w.fail = nil }()
			_, _, err := w.plan(c.from, c.with)
			if err == nil || !strings.Contains(err.Error(), c.err) || fault.KindOf(err) != c.kind {
				t.Errorf("%v (kind %d)", err, fault.KindOf(err))
			}
			w.nothingLeft()
		})
	}
}

// TestPlanIsRefused follows plans of which something is not as it was planned.
func TestPlanIsRefused(t *testing.T) {
	w := newWorld(t)
	_, file, err := w.plan(w.source(crane()))
	w.check(err)
	for _, c := range []struct {
		name   string
		change func(p *plan.Plan)
		with   func(*Request)
		ends   string
		err    string
	}{
		{name: "nothing", ends: "successful"},
		{name: "a hook", with: func(r *Request) {
			r.Hooks = w.hooks("", map[string]string{"before-build": "true"})
		},
			ends: "given-back, fetch-src, given back", err: "the hooks would not be as planned"},
		{name: "relations", change: func(p *plan.Plan) { p.Dependencies.Depends = "other" },
			err: "the build dependencies would not be as planned"},
		{name: "environment", change: func(p *plan.Plan) {
			p.Environment = append(p.Environment, "LC_ALL=de_DE")
		}, err: "the environment would not be as planned"},
		{name: "a package less", change: func(p *plan.Plan) {
			p.Dependencies.Packages = p.Dependencies.Packages[1:]
		}, err: "installing the build dependencies"},
		{name: "another hash", change: func(p *plan.Plan) {
			for i := range p.Dependencies.Packages {
				p.Dependencies.Packages[i].SHA256 = strings.Repeat("0", 64)
				p.Dependencies.Packages[i].SHA512 = ""
			}
		}, err: "a package of the plan"},
		{name: "the base's packages", change: func(p *plan.Plan) { p.Base.Digest = "x" },
			err: "the plan's base, generation 1 of crane, is not here any more"},
		{name: "the base", change: func(p *plan.Plan) { p.Base.Name = "heron" },
			err: "the plan's base heron (generation 1) is not here"},
		{name: "no kind of build", change: func(p *plan.Plan) { p.Target.BuildType = "half" },
			err: `the plan builds "half", which is no kind of build`},
		{name: "another source", change: func(p *plan.Plan) { p.Source.Version = "2.10-4" },
			err: "the source would not be as planned"},
		{name: "no suite", change: func(p *plan.Plan) { p.Target.Distribution = "heron" },
			err: "heron"},
	} {
		w.in(c.name, func(t *testing.T) {
			p, err := plan.Read(file)
			w.check(err)
			if c.change != nil {
				c.change(p)
			}
			own := filepath.Join(w.t.TempDir(), "own"+plan.Suffix)
			w.check(plan.Write(own, p))
			w.check(os.RemoveAll(filepath.Join(w.dir, "cache/layers")))
			b := w.build(own, func(r *Request) { r.Suite = "" }, c.with)
			if c.ends != "" && b.ends() != c.ends || (b.err == nil) != (c.err == "") {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			w.tells("the error", fmt.Sprint(b.err), c.err)
		})
	}
}

// TestPlanFromElsewhere: a plan that was made on another machine has a base made that is missing,
// and one that is older brought up to date.
func TestPlanFromElsewhere(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.must(spec)
	here, older := filepath.Join(w.dir, "state", "bases"), filepath.Join(w.dir, "older")
	if out, err := exec.Command("cp", "-a", here, older).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.newer("base-files", "12.1")
	_, file, err := w.plan(spec)
	w.check(err)
	if got, _ := w.generation(); got != 2 {
		t.Fatalf("it was planned over generation %d", got)
	}
	w.check(os.RemoveAll(here))
	w.check(os.Rename(older, here))
	if b := w.build(file, func(r *Request) { r.Suite = "" }); b.ends() != "successful" {
		t.Errorf("over an older base: %s (%v)", b.ends(), b.err)
	}
	w.check(os.RemoveAll(here))
	b := w.build(file, func(r *Request) { r.Suite = "" })
	w.tells("without a base", fmt.Sprint(b.err), "making base crane") // which this mirror cannot
}
