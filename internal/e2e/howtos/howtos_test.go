// Package howtos runs how-tos, as internal/e2e/docs does: those that need no more than the excerpt
// of the archive. The two take their time beside each other.
package howtos

import (
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/e2e/docs"
)

func TestMain(m *testing.M) { e2e.Main(m) }

func TestHowtos(t *testing.T) { docs.TryHowtos(t, true) }
