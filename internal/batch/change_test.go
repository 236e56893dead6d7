package batch

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
)

// played is how a source is built with a change and without.
type played struct{ with, without Ended }

// rdeps are sources of each kind.
func rdeps() map[string]played {
	good, bad := Ended{Status: Successful}, Ended{Status: Attempted}
	installed := func(e Ended, with ...string) Ended {
		e.Installed, e.With = true, with
		return e
	}
	tests := func(e Ended, outcome string) Ended { e.Tests = outcome; return e }
	return map[string]played{
		"fine":      {installed(good, "lib"), good},
		"untouched": {installed(good), good},
		"breaks":    {installed(bad, "lib"), good},
		"before":    {installed(bad, "lib"), bad},
		"lonely":    {installed(bad), good}, // it was not built with the change
		"mends":     {installed(good, "lib"), bad},
		"tests":     {tests(installed(good, "lib"), "fail"), tests(good, "pass")},
		"flaky":     {tests(installed(good, "lib"), "fail"), tests(good, "fail")},
		"conflict":  {Ended{Status: GivenBack, Stage: "install-deps"}, good},
		"gone":      {installed(bad, "lib"), Ended{Status: GivenBack}},
		"ours":      {Ended{Status: Failed}, good},
		"mirror":    {Ended{Status: GivenBack, Transient: true}, good},
		"skipped":   {Ended{Status: Skipped}, good},
	}
}

// runChange runs a batch with a change, up to stop builds. Which items were built without it is
// returned, with the baselines of what is known to fail without it.
func runChange(t *testing.T, b *Batch, stop int) (without []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := 0
	err := b.Run(ctx, Runner{Room: Room{Builds: 1},
		Engine: InProcess(func(_ context.Context, j Job) *Ended {
			if begun++; begun == stop {
				cancel()
				return &Ended{Status: Failed}
			}
			p := rdeps()[j.Spec]
			e := p.with
			if slices.Contains(j.Packages, "/lib.deb") == (j.Of != nil) {
				t.Errorf("%s is built with %q, baseline: %v", j.Spec, j.Packages, j.Of != nil)
			}
			if j.Of != nil {
				e = p.without
				without = append(without, j.Spec)
			}
			return &e
		}),
		Finished: func(b *Batch, item int) []Source {
			// of one it is known that it fails without the change
			known := b.Items[item].Spec == "mends" && b.Items[item].Baseline == 0 &&
				b.BaselineOf(item) == nil
			if !known && !b.NeedsBaseline(item) {
				return nil
			}
			return []Source{{Spec: b.Items[item].Spec, Baseline: item + 1}}
		}})
	if stop == 0 && err != nil {
		t.Fatal(err)
	}
	if stop > 0 && fault.KindOf(err) != fault.Interrupted && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	slices.Sort(without)
	return without
}

// TestVerdicts: what is not built with a change is built without it, once, also when the batch was
// stopped in between; that says what the change does.
func TestVerdicts(t *testing.T) {
	want := map[string]Verdict{"fine": Fine, "untouched": Untouched, "breaks": Breaks,
		"before": Before, "lonely": Before, "mends": Mends, "tests": Breaks, "flaky": Before,
		"conflict": Breaks, "mirror": Undecided, "gone": Undecided, "ours": Undecided,
		"skipped": NotBuilt}
	for _, stop := range []int{0, 1, 4, 12, 15} {
		synctest.Test(t, func(t *testing.T) {
			s := In(t.TempDir())
			h := Head{Name: "b", Dir: "/", Output: "/out",
				Change: &Change{Packages: []Changed{{Name: "lib", Path: "/lib.deb"}}}}
			for name := range want {
				h.Sources = append(h.Sources, Source{Spec: name})
			}
			b, err := s.Create(h)
			if err != nil {
				t.Fatal(err)
			}
			var without []string
			if stop > 0 {
				without = runChange(t, b, stop)
			}
			b = reopened(t, s, b)
			without = append(without, runChange(t, b, 0)...)
			slices.Sort(without)
			baselines := []string{"before", "breaks", "conflict", "flaky", "gone", "mends", "tests"}
			if diff := cmp.Diff(baselines, without); diff != "" {
				t.Errorf("built without the change (-want +got):\n%s", diff)
			}
			got := map[string]Verdict{}
			for i, v := range reopened(t, s, b).Verdicts() {
				if v != "" {
					got[b.Items[i].Spec] = v
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCompared: where packages are to be compared, each source is built without the change, too.
func TestCompared(t *testing.T) {
	b := &Batch{Head: Head{Change: &Change{Compare: true}}, Items: []Item{
		{Phase: Finished, Last: &Ended{Status: Successful}},
		{Phase: Running},
		{Phase: Finished, Last: &Ended{Status: Skipped}},
		{Phase: Finished, Last: &Ended{Status: Successful}},
		{Source: Source{Baseline: 4}, Phase: Waiting},
	}}
	for i, want := range []bool{true, false, false, false, false} {
		if got := b.NeedsBaseline(i); got != want {
			t.Errorf("source %d: %v", i, got)
		}
	}
}

// TestChangedSince: packages that are gone, or others by now, are no longer the change.
func TestChangedSince(t *testing.T) {
	c := &Change{Packages: []Changed{{Path: "/a.deb", SHA256: "aa"}}}
	for _, x := range []struct {
		digest string
		err    error
		ok     bool
	}{{"aa", nil, true}, {"bb", nil, false}, {"", os.ErrNotExist, false},
		{"", os.ErrPermission, false}} {
		err := c.Check(func(string) (string, int64, error) { return x.digest, 0, x.err })
		if (err == nil) != x.ok {
			t.Errorf("%+v: %v", x, err)
		}
	}
}
