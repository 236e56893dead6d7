package kept

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
