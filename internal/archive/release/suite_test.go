package release_test

import (
	"slices"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
)

// TestAs: a suite that no table has is made as its Release file says.
func TestAs(t *testing.T) {
	for _, test := range []struct {
		codename, suite, like string
		components, want      []string
	}{
		{"bullseye", "roost", "bullseye", []string{"main", "contrib"}, []string{"main"}},
		{"crane", "bookworm", "bookworm", []string{"main", "toys"}, []string{"main"}},
		// as the newest
		{"crane", "crane", "trixie", []string{"birds", "toys"}, []string{"birds", "toys"}},
	} {
		m := archivetest.New(t, func(s *fakedebian.Suite) {
			s.Codename, s.Suite, s.Components = test.codename, test.suite, test.components
		})
		m.Repo.Suite, m.Repo.Components = test.codename, nil
		r, err := m.Client().Release(t.Context(), m.Repo)
		if err != nil {
			t.Fatal(err)
		}
		like, err := suites.New().Lookup(test.like)
		if err != nil {
			t.Fatal(err)
		}
		s := suites.New().Complete(suites.Custom(test.codename), r.Repo().Components,
			r.Codename(), r.Suite())
		if s.Name != test.codename || !slices.Equal(s.Layout(), like.Layout()) ||
			!slices.Equal(s.Components, test.want) {
			t.Errorf("%s (%s): %+v, as %s %q", test.codename, test.suite, s, test.like,
				like.Layout())
		}
		if got := suites.New().Complete(like, r.Repo().Components, r.Codename(),
			r.Suite()); !slices.Equal(got.Layout(), like.Layout()) ||
			!slices.Equal(got.Components, like.Components) {
			t.Errorf("%s of the table became %+v", like.Name, got)
		}
	}
}
