// Package depends tests build dependencies: where packages come from, the layers that keep them,
// and the cache.
package depends

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
