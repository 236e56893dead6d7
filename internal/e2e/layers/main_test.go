// Package layers tests what is kept between builds: layers of installed build dependencies, and the
// cache of packages.
package layers

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
