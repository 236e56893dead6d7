// Package ends tests ends that come early: signals, kills, timeouts.
package ends

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m, "TestEnds") }
