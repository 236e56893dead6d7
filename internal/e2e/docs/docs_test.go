package docs

import (
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// TestTutorial is somebody's first quarter of an hour, from nothing. As that of TestHowtos, its
// reader is an ordinary user.
func TestTutorial(t *testing.T) {
	e2e.AsUserOnly(t, "the pages are for ordinary users")
	e2e.RealWorld(t) // has the packages fetched
	testenv.HostState(t)
	w := e2e.NewWorld(t)
	w.Cache = e2e.SharedCache()
	try(t, w, "tutorial.md")
}

// TestHowtos runs the how-tos that need all of the archive.
func TestHowtos(t *testing.T) { TryHowtos(t, false) }
