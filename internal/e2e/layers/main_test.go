// Package layers tests what is kept between builds: layers of installed build dependencies, and the
// cache of packages.
package layers

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "whether a layer is used is a matter of what went into it"
