// Package mirrors tests bases of archives and mirrors that are made up: faulty ones, old ones, and
// those of derivatives.
package mirrors

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m, "TestCreateRefuses", "TestCreateOvercomes") }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "what a mirror serves is the same to root and to others"
