// Package foreign tests the command lines of sbuild and schroot.
package foreign

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "another command line is translated alike for every caller"
