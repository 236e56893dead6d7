package kept

import (
	"os"
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m, "TestLimitsInTime") }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "how long a build may take, and what is kept of it, is the same to " +
	"root and to others"

// scratches are two places where builds write that are kept: an overlay, and a plain tree. The tree
// of root's builds differs from the user's in the owners, which TestDiff compares.
func scratches(overlay string) []string {
	if os.Getuid() == 0 {
		return []string{overlay}
	}
	return []string{overlay, "copy"}
}
