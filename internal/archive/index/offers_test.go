package index_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
)

// TestOffers compares what is offered with the packages themselves, in an index that is larger than
// what is read of it at once.
func TestOffers(t *testing.T) {
	m := archivetest.New(t, func(s *fakedebian.Suite) {
		for i := range 60 {
			s.Add(fakedebian.Package{Name: fmt.Sprintf("many%d", i),
				Version: fmt.Sprintf("%d-1", i), Essential: i%7 == 0, Priority: "important",
				Depends: "alpha,\nbeta (>= 1)", PreDepends: "gamma",
				Description: archivetest.Noise(4000)})
		}
	})
	c := m.Client()
	release, packages, err := m.All(c)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*index.Package{}
	for p := range packages {
		want[p.Package] = p
	}
	err = c.Offers(t.Context(), release, "main", "amd64", func(o *index.Offer) error {
		p := want[o.Package]
		delete(want, o.Package)
		if p == nil || o.Version != p.Version || o.Priority != p.Priority ||
			o.Depends != p.Depends || o.PreDepends != p.PreDepends || o.Essential != p.Essential {
			t.Errorf("offered %+v, listed %+v", o, p)
			return nil
		}
		whole, err := o.Read()
		if err != nil {
			return err
		}
		whole.Repo = p.Repo
		every := func(reflect.Type) bool { return true } // also fields of packages of ours
		if diff := cmp.Diff(p, whole, cmp.Exporter(every)); diff != "" {
			t.Errorf("what is read of %s is another (-listed +read):\n%s", p, diff)
		}
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; %d were not offered", err, len(want))
	}
}
