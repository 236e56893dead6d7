package release_test

import (
	"strings"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/suites"
)

// TestNoteIsShown: that another mirror is taken is said once, also to those who want to hear
// little.
func TestNoteIsShown(t *testing.T) {
	m := archivetest.New(t, nil)
	h := archivetest.AptHost(t, map[string]string{
		"etc/apt/sources.list": "deb tor+http://m.onion/debian bookworm main\n"})
	suite, err := suites.New().Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	repos, err := h.Repos(suite, "", "")
	if err != nil {
		t.Fatal(err)
	}
	repos[0].URI, repos[0].Keyrings = m.Repo.URI, m.Repo.Keyrings
	m.Repo = repos[0]
	const note = "taken from the distribution's own mirror"
	c := m.Client()
	for range 2 {
		if _, err := c.Release(t.Context(), m.Repo); err != nil {
			t.Fatal(err)
		}
	}
	if log := m.Log.String(); strings.Count(log, note) != 1 ||
		!strings.Contains(log, "shown=true") {
		t.Errorf("log: %s", log)
	}
}
