package main

import (
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/rdeps"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// TestReadChange takes the packages of .changes files, and leaves other sources to be built.
func TestReadChange(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "heron_1-2_amd64.changes")
	text := "Source: heron\nVersion: 1-2\nArchitecture: amd64\nDistribution: bookworm\nFiles:\n"
	sums := "Checksums-Sha256:\n"
	for _, name := range []string{"libheron-dev_1-2_amd64.deb", "libheron-dbgsym_1-2_amd64.deb",
		"heron_1-2.tar.xz"} {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, []byte(name), 0o600))
		sum, _, err := regular.SHA256(path)
		check(t, err)
		text += fmt.Sprintf(" %x %d libs optional %s\n", md5.Sum([]byte(name)), len(name), name)
		sums += fmt.Sprintf(" %s %d %s\n", sum, len(name), name)
	}
	check(t, os.WriteFile(file, []byte(text+sums), 0o600))
	a := &app{table: suites.New()}
	c, err := a.readChange([]string{file, "egret"})
	check(t, err)
	want := &change{sources: []string{"egret"}, own: []string{"heron"}, suite: "bookworm",
		debs: []string{filepath.Join(dir, "libheron-dev_1-2_amd64.deb")}}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(change{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	check(t, os.WriteFile(want.debs[0], []byte("another"), 0o600))
	for _, bad := range []string{file, filepath.Join(dir, "nosuch.changes")} {
		if _, err := a.readChange([]string{bad}); fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// changed is a batch with a change, as it is in the end.
func changed() *batch.Batch {
	ended := func(status string, more func(*batch.Ended)) *batch.Ended {
		e := &batch.Ended{Status: status, Version: "1-1", Installed: true, With: []string{"lib"}}
		if more != nil {
			more(e)
		}
		return e
	}
	b := &batch.Batch{Head: batch.Head{Name: "rdeps-lib", Change: &batch.Change{}}}
	add := func(spec string, baseline int, e *batch.Ended) {
		b.Items = append(b.Items, batch.Item{Phase: batch.Finished, Last: e,
			Source: batch.Source{Spec: spec, Baseline: baseline}})
	}
	failed := func(e *batch.Ended) { e.Stage, e.Log = "build", "/l/\x1b.build" }
	add("breaks", 0, ended(batch.Attempted, failed))
	add("before", 0, ended(batch.Attempted, failed))
	add("mends", 0, ended(batch.Successful, nil))
	add("fine", 0, ended(batch.Successful, nil))
	add("breaks=1-1", 1, ended(batch.Successful, nil))
	add("before=1-1", 2, ended(batch.Attempted, func(e *batch.Ended) { e.Reused = true }))
	add("mends=1-1", 3, ended(batch.Attempted, failed))
	add("fine=1-1", 4, ended(batch.Successful, func(e *batch.Ended) {
		e.Compared = &batch.Comparison{Status: "differs", Summary: []string{"one file"}}
	}))
	return b
}

// TestEffectsText says what a change does, for people.
func TestEffectsText(t *testing.T) {
	const want = `the change breaks:
  breaks  1-1  attempted (build)  /l/^[.build
broken before:
  before  1-1  attempted (build)  /l/^[.build
the change mends:
  mends  1-1  without: attempted (build)
fine with the change differs:
  one file
known from earlier builds without the change: before
rdeps-lib: 1 broken by the change, 1 broken before, 1 mended, 1 fine
`
	if diff := cmp.Diff(want, effectsText(changed())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestNoteChange: a build knows which of the changed packages it was made with.
func TestNoteChange(t *testing.T) {
	c := &batch.Change{Packages: []batch.Changed{{Name: "lib", Version: "2", SHA256: "aa"},
		{Name: "other", Version: "2", SHA256: "bb"}}}
	for _, x := range []struct {
		have result.Package
		want []string
	}{
		{result.Package{Name: "lib", Version: "2", SHA256: "aa"}, []string{"lib"}},
		{result.Package{Name: "lib", Version: "2"}, []string{"lib"}},
		{result.Package{Name: "lib", Version: "2", SHA256: "cc"}, nil}, // the archive's
		{result.Package{Name: "lib", Version: "3"}, nil},
		{result.Package{Name: "x", Version: "2", SHA256: "aa"}, nil},
	} {
		var e batch.Ended
		noteChange(&e, &result.Result{Inputs: result.Inputs{Dependencies: []result.Package{x.have}},
			Checks: []result.Check{{Name: "autopkgtest", Outcome: "fail"}}}, c)
		if diff := cmp.Diff(batch.Ended{Installed: true, With: x.want, Tests: "fail"}, e); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", x.have, diff)
		}
	}
}

// TestReuseBaseline: what is known without the change is not built, unless it is tried again, or
// there is nothing left to be compared with.
func TestReuseBaseline(t *testing.T) {
	dir := t.TempDir()
	r := &result.Result{Source: result.Source{Name: "heron", Version: "1-1"}, Inputs: result.Inputs{
		Releases: []result.Release{{Suite: "crane", SHA256: "aa"}}}}
	file := filepath.Join(dir, "r.json")
	check(t, result.Write(file, r))
	x := &batchRun{change: &batch.Change{}, known: baselines{rdeps.BaselinesIn(dir), nil}}
	with := &batch.Ended{Status: batch.Attempted, Result: file}
	job := batch.Job{Try: 1, Of: with}
	if e := x.reuseBaseline(t.Context(), job); e != nil {
		t.Errorf("before anything is known: %+v", e)
	}
	gone := filepath.Join(dir, "gone.deb")
	check(t, x.known.Save(rdeps.Key(r, nil), &batch.Ended{Status: batch.Successful,
		Artefacts: []string{gone}}))
	if e := x.reuseBaseline(t.Context(), job); e == nil || !e.Reused || !e.Good() {
		t.Errorf("what is known: %+v", e)
	}
	job.Try = 2
	if e := x.reuseBaseline(t.Context(), job); e != nil {
		t.Errorf("tried again: %+v", e)
	}
	job.Try, with.Status, x.change.Compare = 1, batch.Successful, true
	if e := x.reuseBaseline(t.Context(), job); e != nil {
		t.Errorf("without anything to be compared with: %+v", e)
	}
	check(t, os.WriteFile(gone, nil, 0o600))
	e := x.reuseBaseline(t.Context(), job)
	if e == nil || e.Compared == nil || e.Compared.Status != result.CompareFailed ||
		!strings.Contains(strings.Join(e.Compared.Summary, ""), "gone.deb") {
		t.Errorf("a package that is none: %+v", e)
	}
}

// TestRdepsOptions refuses what nothing can be looked for with.
func TestRdepsOptions(t *testing.T) {
	good := rdepsOptions{depth: 1, match: []string{"lib*"}}
	check(t, good.check())
	for _, bad := range []rdepsOptions{{}, {depth: 1, limit: -1}, {depth: 1, maxFailures: -1},
		{depth: 1, match: []string{"["}}, {depth: 1, exclude: []string{"["}}} {
		if err := bad.check(); fault.KindOf(err) != fault.Usage {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
