package rdeps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/batch"
	"nsbuild/internal/dsc"
	"nsbuild/internal/result"
)

// suite is made-up: libcrane-dev and the virtual crane-api are changed, by the source crane.
func suite() []*index.SourceOffer {
	offer := func(name, depends string, change func(*index.SourceOffer)) *index.SourceOffer {
		o := &index.SourceOffer{Package: name, Version: "1-1", Architecture: "any",
			BuildDepends: "debhelper-compat (= 13), " + depends}
		if change != nil {
			change(o)
		}
		return o
	}
	return []*index.SourceOffer{
		offer("alternative", "x | libcrane-dev", nil),
		offer("crane", "libcrane-dev", nil),
		offer("direct", "libcrane-dev", nil),
		offer("elsewhere", "libcrane-dev", func(o *index.SourceOffer) { o.Architecture = "s390x" }),
		offer("indep", "x", func(o *index.SourceOffer) {
			o.Architecture, o.BuildDependsIndep = "any all", "libcrane-dev"
		}),
		offer("named-alike", "libcrane-dev-doc", nil),
		offer("nocheck", "libcrane-dev <!nocheck>", nil),
		offer("older", "libcrane-dev (<< 2)", nil),
		offer("on-s390x", "libcrane-dev [s390x]", nil),
		offer("provided", "crane-api", nil),
		offer("tested", "x", func(o *index.SourceOffer) { o.Testsuite = "autopkgtest" }),
		offer("third", "libfar-dev", nil),
		offer("through", "libheron-dev", nil),
		offer("triggered", "x", func(o *index.SourceOffer) {
			o.Testsuite, o.TestsuiteTriggers = "autopkgtest-pkg-perl", "foo, libcrane-dev"
		}),
	}
}

func search() *Search {
	return &Search{
		Changed: []*index.Package{
			{Package: "libcrane-dev", Version: "2-1", Architecture: "amd64",
				Relations: index.Relations{Provides: "crane-api"}},
		},
		Own: []string{"crane"}, Depth: 1, FirstOnly: true,
		Context: dsc.Context{BuildArch: "amd64", HostArch: "amd64", ArchAny: true, ArchAll: true,
			Profiles: []string{"nocheck"}},
		Binaries: func(fn func(*index.Package) error) error {
			for _, p := range []index.Package{
				{Package: "libcrane-dev", Version: "1-1", Source: "crane"},
				{Package: "libheron-dev", Version: "1", Source: "heron (1-2)",
					Relations: index.Relations{Depends: "x, libcrane-dev (>= 2)"}},
				{Package: "libfar-dev", Version: "1",
					Relations: index.Relations{Depends: "libheron-dev"}},
				{Package: "tested", Version: "1",
					Relations: index.Relations{PreDepends: "libcrane-dev"}},
				{Package: "libold-dev", Version: "1",
					Relations: index.Relations{Depends: "libcrane-dev (<< 2)"}},
			} {
				if err := fn(&p); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// TestSources asks in several ways what a change can do something to.
func TestSources(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Search)
		want   string
	}{
		{"direct", func(*Search) {}, "direct indep provided"},
		{"any alternative", func(s *Search) { s.FirstOnly = false },
			"alternative direct indep provided"},
		{"without profile", func(s *Search) { s.Context.Profiles = nil },
			"direct indep nocheck provided"},
		{"for all architectures alone", func(s *Search) {
			s.Context.ArchAny = false
		}, "indep"},
		{"depth 2", func(s *Search) { s.Depth = 2 }, "direct indep provided through"},
		{"depth 3", func(s *Search) { s.Depth = 3 }, "direct indep provided third through"},
		{"tests", func(s *Search) { s.Tests = true }, "direct indep provided tested triggered"},
		{"match", func(s *Search) { s.Match = []string{"p*", "in?ep"} }, "indep provided"},
		{"exclude", func(s *Search) { s.Exclude = []string{"p*", "in?ep"} }, "direct"},
		{"limit", func(s *Search) { s.Limit = 1 }, "direct"},
		{"an older version", func(s *Search) { s.Changed[0].Version = "1-2" },
			"direct indep older provided"},
	} {
		s := search()
		c.change(s)
		found, err := s.Sources(suite())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range found {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

// TestFound looks at what is said of a source.
func TestFound(t *testing.T) {
	s := search()
	s.Depth, s.Match = 3, []string{"th*"}
	found, err := s.Sources(suite())
	if err != nil {
		t.Fatal(err)
	}
	want := []*Found{{Name: "third", Version: "1-1", Via: []string{"libfar-dev"}, Depth: 3},
		{Name: "through", Version: "1-1", Via: []string{"libheron-dev"}, Depth: 2}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	s.Match = []string{"["}
	if _, err := s.Sources(suite()); err == nil {
		t.Error("a pattern that is none is taken")
	}
}

// TestBaselines keeps how a build has ended, and finds it by what has decided it.
func TestBaselines(t *testing.T) {
	dir := t.TempDir()
	b := BaselinesIn(dir)
	r := &result.Result{Source: result.Source{Name: "heron", Version: "1-1"},
		Target: result.Target{Distribution: "crane", BuildType: "binary"},
		Inputs: result.Inputs{Releases: []result.Release{{Suite: "crane", SHA256: "aa"}}}}
	key := Key(r, []string{"--output=x", "--profiles=nocheck"})
	if key == "" || key != Key(r, []string{"--profiles=nocheck", "--jobs-at-once=1"}) {
		t.Error("what decides nothing makes another key")
	}
	if key == Key(r, nil) {
		t.Error("a profile makes no other key")
	}
	failed := &batch.Ended{Status: batch.Attempted, Stage: "build", Beside: true}
	if err := b.Save(key, failed); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "baselines", "old.json")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * kept)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	got, err := b.Find(key)
	if diff := cmp.Diff(&batch.Ended{Status: batch.Attempted, Stage: "build"}, got); diff != "" ||
		err != nil {
		t.Errorf("%v, want -, got +:\n%s", err, diff)
	}
	r.Inputs.Releases[0].SHA256 = "bb"
	other := Key(r, []string{"--profiles=nocheck"})
	if got, err := b.Find(other); got != nil || err != nil {
		t.Errorf("of other archives: %+v, %v", got, err)
	}
	if err := b.Save(other, &batch.Ended{Status: batch.GivenBack, Transient: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Find(other); got != nil || err != nil {
		t.Errorf("what time may mend is known: %+v, %v", got, err)
	}
	if err := b.Save(key, failed); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("an old one is still there")
	}
	if r.Inputs.Releases = nil; Key(r, nil) != "" {
		t.Error("a build without archives has a key")
	}
	if err := os.WriteFile(b.path(key), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Find(key); got != nil || err != nil {
		t.Errorf("a damaged one: %+v, %v", got, err)
	}
}
