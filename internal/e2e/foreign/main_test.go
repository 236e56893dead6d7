// Package foreign tests the command lines of sbuild and schroot.
package foreign

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
