// Package depends tests build dependencies: where packages come from, who chooses them, and what
// becomes of newer ones.
package depends

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
