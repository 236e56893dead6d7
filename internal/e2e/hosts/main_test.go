// Package hosts tests nsbuild on machines that lack something, and called by all kinds of
// processes.
package hosts

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
