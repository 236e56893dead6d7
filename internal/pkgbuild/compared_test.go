package pkgbuild

import (
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
)

// compared is what became of the comparison of a build that was successful.
func (b *built) compared(t *testing.T) *result.Compare {
	t.Helper()
	if b.err != nil || b.result.Compare == nil {
		t.Fatalf("%v, %+v", b.err, b.result.Compare)
	}
	return b.result.Compare
}

func with(what string, more ...func(*Request)) func(*Request) {
	return func(r *Request) {
		r.Compare = what
		for _, m := range more {
			m(r)
		}
	}
}

// TestCompareDirectory: the log and the result have what differs from the packages of a directory.
func TestCompareDirectory(t *testing.T) {
	w := newWorld(t)
	first := w.must(w.source(crane()))
	same := w.must(w.source(crane()), with(first.dir)).compared(t)
	if same.Status != result.CompareSame || !same.Comparison.Same {
		t.Errorf("%+v", same)
	}
	next := crane()
	next.Version = "2.10-4"
	b := w.must(w.source(next), with(first.dir))
	c := b.compared(t)
	if c.Status != result.CompareDiffers || c.Comparison.Was != first.dir ||
		len(c.Comparison.Packages) == 0 || c.Comparison.Packages[0].Is != "2.10-4" {
		t.Errorf("%+v", c)
	}
	w.tells("the log", b.log, "| Comparison", "packages   2.10-3 → 2.10-4: ")
	empty := w.must(w.source(next), with(t.TempDir())).compared(t)
	if empty.Status != result.CompareFailed || !strings.Contains(empty.Note, "has no package") {
		t.Errorf("%+v", empty)
	}
	e := w.open(t.Context())
	defer e.end()
	r := w.request(w.source(next))
	r.Compare = filepath.Join(w.dir, "none")
	if err := r.Validate(); fault.KindOf(err) != fault.Usage {
		t.Errorf("%v", err)
	}
}

// TestComparePrevious: the build before is the last one in the directory of the results for the
// same suite, also where this one replaces it.
func TestComparePrevious(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	first := w.must(spec, with(ComparePrevious))
	if c := first.compared(t); c.Status != result.CompareNothing {
		t.Errorf("%+v", c)
	}
	into := func(r *Request) { r.Output = first.dir }
	if c := w.must(spec, with(ComparePrevious, into)).compared(t); c.Status !=
		result.CompareSame || c.Version != "2.10-3" {
		t.Errorf("%+v", c)
	}
	next := crane()
	next.Version = "2.10-4"
	if c := w.must(w.source(next), with(ComparePrevious, into)).compared(t); c.Status !=
		result.CompareDiffers || c.Version != "2.10-3" ||
		filepath.Dir(c.Comparison.Was) != first.dir {
		t.Errorf("%+v", c)
	}
}

// TestCompareArchive: the newest version that the suite has of the source is what counts.
func TestCompareArchive(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	if c := w.must(spec, with(CompareArchive)).compared(t); c.Status != result.CompareNothing ||
		!strings.Contains(c.Note, "crane has no packages of hello") {
		t.Errorf("%+v", c)
	}
	for _, p := range []fakedebian.Package{
		{Name: "hello", Version: "2.10-1"}, {Name: "hello", Version: "2.10-2",
			Depends: "libgone"},
		{Name: "hello-old", Version: "2.10-1", Source: "hello"},
		{Name: "hello-lost", Version: "2.10-2", Source: "hello"},
		{Name: "hello-other", Version: "9", Source: "other"}} {
		p.Architecture = w.arch
		p.DataCompression, p.ControlCompression = quick, quick
		w.suite.Add(p)
	}
	w.publish()
	b := w.must(spec, with(CompareArchive))
	c := b.compared(t)
	if c.Status != result.CompareDiffers || c.Version != "2.10-2" {
		t.Fatalf("%+v", c)
	}
	if got := strings.Join(c.Comparison.Summary(), "\n"); !strings.Contains(got, "- hello-lost_") ||
		strings.Contains(got, "hello-old") || !strings.Contains(got, "- libgone") {
		t.Error(got)
	}
}
