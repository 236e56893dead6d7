// Package bases tests bases: their lock files, their export and import, and what shells have saved
// into them.
package bases

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
