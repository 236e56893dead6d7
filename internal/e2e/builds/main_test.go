// Package builds tests builds: what comes out of them, what is said of it, where they write, and
// many at once.
package builds

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
