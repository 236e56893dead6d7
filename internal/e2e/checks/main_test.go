// Package checks tests the checks of what was built: installing, autopkgtest, piuparts, lintian.
package checks

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "a check happens in jails, which are the same to root and to others"
