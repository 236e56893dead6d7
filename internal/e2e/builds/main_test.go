// Package builds tests builds: what comes out of them, what is said of it, where they write, and
// many at once.
package builds

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "what is built, and said of it, is decided in jails, which are the " +
	"same to root and to others"
