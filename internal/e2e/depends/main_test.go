// Package depends tests build dependencies: where packages come from, who chooses them, and what
// becomes of newer ones.
package depends

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m, "TestNews") }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "apt and dpkg install in jails, which are the same to root and to others"
