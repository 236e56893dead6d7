// Package checks tests the checks of what was built: installing, autopkgtest, piuparts, lintian.
package checks

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
